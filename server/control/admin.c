#include "server/control/admin.h"

#include <errno.h>
#include <ev.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/control/admin_answer.h"
#include "server/http/request.h"

/* How long accepting rests when there is no descriptor for one more connection. */
#define ACCEPT_REST_SECONDS 0.1

enum admin_state {
    ADMIN_FREE,
    ADMIN_RECEIVING,
    ADMIN_SENDING,
    ADMIN_LINGERING,
};

struct admin_conn {
    enum admin_state state;
    int fd;
    struct admin *admin;
    ev_io io;
    ev_timer deadline;
    size_t head_bytes;
    char *answer; /* malloc'ed; SENDING */
    size_t answer_bytes;
    size_t sent_bytes;
    char head[ADMIN_HEAD_MAX];
};

struct admin {
    struct admin_config config;
    struct admin_counters counters;
    ev_io accept_io;
    ev_timer accept_rest;
    uint32_t conn_count;
    struct admin_conn conns[ADMIN_CONNECTIONS_MAX];
};

/* The one way out of every state. */
static void conn_close(struct admin_conn *conn)
{
    struct admin *admin = conn->admin;
    ASSERT(conn->state != ADMIN_FREE);
    ev_io_stop(admin->config.loop, &conn->io);
    ev_timer_stop(admin->config.loop, &conn->deadline);
    (void)close(conn->fd); /* what had to arrive was acknowledged by the peer's close */
    free(conn->answer);
    conn->answer = NULL;
    conn->state = ADMIN_FREE;
    admin->conn_count--;
}

static void conn_wait_for(struct admin_conn *conn, int events)
{
    ev_io_stop(conn->admin->config.loop, &conn->io);
    ev_io_set(&conn->io, conn->fd, events);
    ev_io_start(conn->admin->config.loop, &conn->io);
}

/* Reads on until the peer has closed. */
static void conn_linger(struct admin_conn *conn)
{
    char ignored[4096];
    ssize_t got = recv(conn->fd, ignored, sizeof(ignored), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_close(conn);
    }
}

static void conn_send(struct admin_conn *conn)
{
    ssize_t sent = send(conn->fd, conn->answer + conn->sent_bytes,
                        conn->answer_bytes - conn->sent_bytes, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            conn_close(conn);
        }
        return;
    }
    conn->sent_bytes += (size_t)sent;
    if (conn->sent_bytes == conn->answer_bytes) {
        (void)shutdown(conn->fd, SHUT_WR); /* a broken connection shows in the next recv */
        conn->state = ADMIN_LINGERING;
        conn_wait_for(conn, EV_READ);
    }
}

/* Takes over `answer`. Without one there was no memory, and none for saying so either. */
static void conn_answer(struct admin_conn *conn, struct admin_answer answer)
{
    if (answer.text == NULL) {
        log_warn("admin answer dropped: no memory");
        conn_close(conn);
        return;
    }
    conn->answer = answer.text;
    conn->answer_bytes = answer.bytes;
    conn->sent_bytes = 0;
    conn->state = ADMIN_SENDING;
    conn_wait_for(conn, EV_WRITE);
    conn_send(conn);
}

static void conn_parse(struct admin_conn *conn)
{
    struct admin *admin = conn->admin;
    struct http_request request;
    struct http_refusal refusal;
    ssize_t consumed =
        http_parse_request(span_of(conn->head, conn->head_bytes), &request, &refusal);
    if (consumed == 0 && conn->head_bytes < ADMIN_HEAD_MAX) {
        return;
    }
    admin->counters.requests++;
    if (consumed > 0) {
        conn_answer(conn, admin_answer_request(&admin->config, &request));
        return;
    }
    if (consumed == 0) {
        conn_answer(conn, admin_answer_error(&admin->config, 431, false));
        return;
    }
    log_debug("admin request refused reason=%s", refusal.word);
    conn_answer(conn, admin_answer_error(&admin->config, refusal.status, refusal.is_head));
}

static void conn_receive(struct admin_conn *conn)
{
    ASSERT(conn->head_bytes < ADMIN_HEAD_MAX);
    ssize_t got =
        recv(conn->fd, conn->head + conn->head_bytes, ADMIN_HEAD_MAX - conn->head_bytes, 0);
    if (got > 0) {
        conn->head_bytes += (size_t)got;
        conn_parse(conn);
        return;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_close(conn);
    }
}

static void on_conn_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct admin_conn *conn = io->data;
    switch (conn->state) {
    case ADMIN_RECEIVING:
        conn_receive(conn);
        return;
    case ADMIN_SENDING:
        conn_send(conn);
        return;
    case ADMIN_LINGERING:
        conn_linger(conn);
        return;
    case ADMIN_FREE:
        break;
    }
    ASSERT(conn->state != ADMIN_FREE);
}

static void on_conn_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct admin_conn *conn = timer->data;
    /* A peer that has its answer and does not close is slow, but owes nothing. */
    if (conn->state != ADMIN_LINGERING) {
        conn->admin->counters.timeouts++;
    }
    conn_close(conn);
}

static void conn_open(struct admin *admin, int fd)
{
    struct admin_conn *conn = admin->conns;
    while (conn->state != ADMIN_FREE) {
        conn++;
    }
    ASSERT(conn < admin->conns + ADMIN_CONNECTIONS_MAX);
    conn->state = ADMIN_RECEIVING;
    conn->fd = fd;
    conn->admin = admin;
    conn->head_bytes = 0;
    admin->conn_count++;
    ev_io_init(&conn->io, on_conn_io, fd, EV_READ);
    conn->io.data = conn;
    ev_io_start(admin->config.loop, &conn->io);
    ev_timer_init(&conn->deadline, on_conn_deadline, (double)admin->config.deadline_ms / 1e3, 0.0);
    conn->deadline.data = conn;
    ev_timer_start(admin->config.loop, &conn->deadline);
}

/* One connection too many: says so, and does not wait to see it arrive. */
static void conn_turn_away(struct admin *admin, int fd)
{
    admin->counters.connections_full++;
    struct admin_answer answer = admin_answer_error(&admin->config, 503, false);
    if (answer.text != NULL) {
        char ignored[ADMIN_HEAD_MAX];
        (void)recv(fd, ignored, sizeof(ignored), 0); /* unread bytes would reset the connection */
        (void)send(fd, answer.text, answer.bytes, MSG_NOSIGNAL); /* it may be gone already */
        free(answer.text);
    }
    (void)close(fd);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct admin *admin = io->data;
    int fault = FAULT("admin_accept");
    int fd = fault != 0
                 ? -1
                 : accept4(admin->config.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int error = fault != 0 ? fault : errno;
    if (fd >= 0 && admin->conn_count == ADMIN_CONNECTIONS_MAX) {
        conn_turn_away(admin, fd);
    } else if (fd >= 0) {
        conn_open(admin, fd);
    } else if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
        /* The listener stays readable: without a rest this would be a busy loop. */
        admin->counters.accept_failures++;
        ev_io_stop(loop, &admin->accept_io);
        ev_timer_start(loop, &admin->accept_rest);
    } /* else the peer is gone again: nothing to do */
}

static void on_accept_rest(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct admin *admin = timer->data;
    ev_timer_stop(loop, timer);
    ev_timer_set(timer, ACCEPT_REST_SECONDS, 0.0);
    ev_io_start(loop, &admin->accept_io);
}

int admin_create(const struct admin_config *config, struct admin **ret_admin)
{
    struct admin *admin = alloc_zeroed(1, sizeof(*admin));
    if (admin == NULL) {
        return -ENOMEM;
    }
    admin->config = *config;
    ev_io_init(&admin->accept_io, on_accept, config->listen_fd, EV_READ);
    admin->accept_io.data = admin;
    ev_timer_init(&admin->accept_rest, on_accept_rest, ACCEPT_REST_SECONDS, 0.0);
    admin->accept_rest.data = admin;
    ev_io_start(config->loop, &admin->accept_io);
    *ret_admin = admin;
    return 0;
}

const struct admin_counters *admin_counters(const struct admin *admin)
{
    return &admin->counters;
}

uint32_t admin_connection_count(const struct admin *admin)
{
    return admin->conn_count;
}

void admin_destroy(struct admin *admin)
{
    if (admin == NULL) {
        return;
    }
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        if (admin->conns[i].state != ADMIN_FREE) {
            conn_close(&admin->conns[i]);
        }
    }
    ev_io_stop(admin->config.loop, &admin->accept_io);
    ev_timer_stop(admin->config.loop, &admin->accept_rest);
    alloc_free(admin);
}
