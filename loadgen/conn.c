#include "loadgen/conn.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loadgen/verify.h"
#include "server/base/check.h"

/* Bodies that nobody looks at are dropped in the kernel from so many bytes on: no copy. */
#define SKIP_BYTES_MIN (16 * 1024)
#define SKIP_BYTES_MAX (4 * 1024 * 1024)

/* For "%.*s": an int of the span's bytes, then the bytes. */
#define SPAN_ARGS(span) (int)(span).bytes, (const char *)(span).ptr

static uint64_t now(const struct conn *conn)
{
    return clock_monotonic_ns(conn->thread->clock);
}

static void watch(struct conn *conn, int events)
{
    ev_io_stop(conn->thread->loop, &conn->io);
    ev_io_set(&conn->io, conn->fd, events);
    ev_io_start(conn->thread->loop, &conn->io);
}

static void close_socket(struct conn *conn)
{
    if (conn->fd >= 0) {
        ev_io_stop(conn->thread->loop, &conn->io);
        (void)close(conn->fd); /* what is lost with it was lost to us already */
        conn->fd = -1;
    }
}

static void stop(struct conn *conn)
{
    ASSERT(conn->state != CONN_STOPPED);
    close_socket(conn);
    conn->state = CONN_STOPPED;
    conn->thread->running--;
    if (conn->thread->running == 0) {
        ev_break(conn->thread->loop, EVBREAK_ALL);
    }
}

/* ----------------------------------------------------------------------------------- the end */

static void count(struct conn *conn, enum outcome outcome, uint64_t now_ns)
{
    struct tally *tally = &conn->thread->tally;
    tally_count(tally, outcome, now_ns - conn->begin_ns);
    if (conn->first_byte_ns != 0) {
        histogram_record(&tally->first_byte, conn->first_byte_ns - conn->begin_ns);
    }
    conn->thread->last_end_ns = now_ns;
}

/* Ends the request and the connection; the next attempt waits a little longer than the last one. */
static void fail(struct conn *conn, enum outcome outcome, uint64_t now_ns)
{
    count(conn, outcome, now_ns);
    close_socket(conn);
    conn->state = CONN_WAITING;
    conn->retry_ns = now_ns + (CONN_BACKOFF_MIN_NS << conn->backoff_shift);
    if (conn->backoff_shift < CONN_BACKOFF_SHIFT_MAX) {
        conn->backoff_shift++;
    }
}

static void fail_connect(struct conn *conn, int error_number)
{
    const char *remedy = "";
    if (error_number == EADDRNOTAVAIL) {
        remedy = "; no local port is free: widen net.ipv4.ip_local_port_range";
    }
    tally_sample(&conn->thread->tally, OUTCOME_CONNECT, "%s: %s%s", conn->endpoint->url,
                 strerror(error_number), remedy);
    fail(conn, OUTCOME_CONNECT, now(conn));
}

static void fail_reset(struct conn *conn, const char *what)
{
    tally_sample(&conn->thread->tally, OUTCOME_RESET, "%.*s: %s %s", SPAN_ARGS(conn->target->path),
                 what,
                 conn->first_byte_ns == 0 ? "before an answer" : "in the middle of an answer");
    fail(conn, OUTCOME_RESET, now(conn));
}

static void fail_protocol(struct conn *conn, enum response_violation violation, uint64_t now_ns)
{
    tally_sample(&conn->thread->tally, OUTCOME_PROTOCOL, "%.*s: %s", SPAN_ARGS(conn->target->path),
                 response_violation_text(violation));
    fail(conn, OUTCOME_PROTOCOL, now_ns);
}

static void fail_timeout(struct conn *conn, uint64_t now_ns)
{
    if (conn->state == CONN_CONNECTING) {
        fail_connect(conn, ETIMEDOUT);
        return;
    }
    tally_sample(&conn->thread->tally, OUTCOME_TIMEOUT, "%.*s: nothing came for %.3f s",
                 SPAN_ARGS(conn->target->path),
                 (double)(now_ns - conn->activity_ns) / (double)NS_PER_SEC);
    fail(conn, OUTCOME_TIMEOUT, now_ns);
}

/* ----------------------------------------------------------------------------------- sending */

/* Sends what is left of the request. Mostly one call takes it all, and nothing is watched for. */
static void send_rest(struct conn *conn)
{
    struct span rest = span_skip(conn->target->request, conn->sent_bytes);
    ssize_t sent = send(conn->fd, rest.ptr, rest.bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        fail_reset(conn, strerror(errno));
        return;
    }
    conn->sent_bytes += sent < 0 ? 0 : (size_t)sent;
    if (conn->sent_bytes < conn->target->request.bytes) {
        conn->activity_ns = now(conn);
        watch(conn, EV_READ | EV_WRITE);
        return;
    }
    conn->state = CONN_RECEIVING;
    if ((conn->io.events & EV_WRITE) != 0) {
        watch(conn, EV_READ);
    }
}

/* The socket is connected and its watcher reads. */
static void start_send(struct conn *conn)
{
    conn->state = CONN_SENDING;
    conn->sent_bytes = 0;
    conn->first_byte_ns = 0;
    conn->is_verifying = false;
    conn->begin_ns = now(conn);
    conn->activity_ns = conn->begin_ns;
    send_rest(conn);
}

static void on_connected(struct conn *conn)
{
    conn->thread->tally.connects++;
    response_reader_init(&conn->reader, conn->reader.line);
    watch(conn, EV_READ);
    start_send(conn);
}

static void on_connect(struct conn *conn)
{
    int error_number = 0;
    socklen_t bytes = sizeof(error_number);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error_number, &bytes) < 0) {
        error_number = errno;
    }
    if (error_number != 0) {
        fail_connect(conn, error_number);
        return;
    }
    on_connected(conn);
}

static void start_connect(struct conn *conn)
{
    const struct endpoint *endpoint = conn->endpoint;
    conn->begin_ns = now(conn);
    conn->activity_ns = conn->begin_ns;
    conn->first_byte_ns = 0;
    conn->state = CONN_CONNECTING;
    int family = endpoint->address.ss_family;
    conn->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        fail_connect(conn, errno);
        return;
    }
    int one = 1;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only speed */
    const struct sockaddr *address = (const void *)&endpoint->address;
    if (connect(conn->fd, address, endpoint->address_bytes) == 0) {
        on_connected(conn);
        return;
    }
    if (errno != EINPROGRESS) {
        fail_connect(conn, errno);
        return;
    }
    watch(conn, EV_WRITE);
}

/* Takes the next request, or stops when there is none. */
static void start_request(struct conn *conn)
{
    struct conn_thread *thread = conn->thread;
    if (thread->is_stopping || thread->requests_left == 0) {
        stop(conn);
        return;
    }
    if (thread->requests_left != UINT64_MAX) {
        thread->requests_left--;
    }
    conn->target = &conn->endpoint->targets[conn->next_target];
    conn->next_target++;
    if (conn->next_target == conn->endpoint->target_count) {
        conn->next_target = 0;
    }
    if (conn->fd < 0) {
        start_connect(conn);
        return;
    }
    start_send(conn);
}

/* --------------------------------------------------------------------------------- receiving */

static enum outcome judge_body(struct conn *conn, bool is_cut)
{
    const struct verify_answer answer = {
        .path = conn->target->path,
        .path_id = conn->target->path_id,
        .file_index = conn->target->file_index,
        .is_cut = is_cut,
        .head = &conn->reader.head,
        .sent_ns = conn->begin_ns,
        .first_byte_ns = conn->first_byte_ns,
    };
    return verify_judge(conn->thread->log, &conn->check, &answer, &conn->thread->tally);
}

static enum outcome judge(struct conn *conn)
{
    if (conn->is_verifying) {
        return judge_body(conn, false);
    }
    unsigned status = conn->reader.head.status;
    if (status == 200) {
        return OUTCOME_GOOD;
    }
    tally_sample(&conn->thread->tally, OUTCOME_STATUS, "%.*s: status %u",
                 SPAN_ARGS(conn->target->path), status);
    return OUTCOME_STATUS;
}

static void on_head(struct conn *conn)
{
    struct conn_thread *thread = conn->thread;
    unsigned status = conn->reader.head.status;
    ASSERT(status < TALLY_STATUS_MAX);
    thread->tally.statuses[status]++;
    if (conn->reader.interim_count > 0) {
        /* A 103 came first, perhaps long before the server turned to the file. */
        conn->first_byte_ns = conn->activity_ns;
    }
    conn->is_verifying = thread->verifies_all && status == 200;
    if (conn->is_verifying) {
        version_check_init(&conn->check);
    }
}

/* The answer is complete. `surplus_bytes` came after it, although nothing else was asked for. */
static void on_answer(struct conn *conn, size_t surplus_bytes, uint64_t now_ns)
{
    if (surplus_bytes > 0) {
        fail_protocol(conn, RESPONSE_VIOLATION_SURPLUS, now_ns);
        return;
    }
    count(conn, judge(conn), now_ns);
    conn->backoff_shift = 0;
    /* An answer to half a request: the other half must not be taken for the next one. */
    bool is_early = conn->state == CONN_SENDING;
    if (!conn->reader.head.is_keep_alive || is_early) {
        close_socket(conn);
    }
    start_request(conn);
}

static void consume(struct conn *conn, struct span in, uint64_t now_ns)
{
    for (;;) {
        struct span body;
        switch (response_reader_next(&conn->reader, &in, &body)) {
        case RESPONSE_NEED_INPUT:
            return;
        case RESPONSE_HEAD:
            on_head(conn);
            break;
        case RESPONSE_BODY:
            if (conn->is_verifying) {
                version_check_feed(&conn->check, body);
            }
            break;
        case RESPONSE_END:
            on_answer(conn, in.bytes, now_ns);
            return;
        case RESPONSE_VIOLATED:
            fail_protocol(conn, conn->reader.violation, now_ns);
            return;
        }
    }
}

/* The peer has closed. */
static void on_end_of_stream(struct conn *conn, uint64_t now_ns)
{
    if (response_reader_is_idle(&conn->reader)) {
        fail_reset(conn, "closed");
        return;
    }
    bool is_in_body = response_reader_is_in_body(&conn->reader);
    if (response_reader_end_of_stream(&conn->reader) == RESPONSE_END) {
        on_answer(conn, 0, now_ns);
        return;
    }
    if (is_in_body && conn->is_verifying) {
        fail(conn, judge_body(conn, true), now_ns);
        return;
    }
    fail_protocol(conn, conn->reader.violation, now_ns);
}

/* Reads into the thread's buffer, or drops bytes of a body in the kernel. */
static ssize_t receive(struct conn *conn, uint64_t *ret_skipped)
{
    uint64_t skippable = 0;
    if (!conn->is_verifying) {
        skippable = response_reader_skippable_bytes(&conn->reader);
    }
    *ret_skipped = 0;
    if (skippable < SKIP_BYTES_MIN) {
        return recv(conn->fd, conn->thread->buffer, CONN_BUFFER_BYTES, 0);
    }
    size_t bytes_max = skippable < SKIP_BYTES_MAX ? (size_t)skippable : SKIP_BYTES_MAX;
    ssize_t bytes = recv(conn->fd, NULL, bytes_max, MSG_TRUNC);
    *ret_skipped = bytes > 0 ? (uint64_t)bytes : 0;
    return bytes;
}

static void on_readable(struct conn *conn)
{
    uint64_t skipped;
    ssize_t bytes = receive(conn, &skipped);
    if (bytes < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fail_reset(conn, strerror(errno));
        }
        return;
    }
    uint64_t now_ns = now(conn);
    if (bytes == 0) {
        on_end_of_stream(conn, now_ns);
        return;
    }
    conn->activity_ns = now_ns;
    conn->thread->tally.received_bytes += (uint64_t)bytes;
    if (conn->first_byte_ns == 0) {
        conn->first_byte_ns = now_ns;
    }
    if (skipped > 0) {
        response_reader_skip(&conn->reader, skipped);
    }
    consume(conn, span_of(conn->thread->buffer, skipped > 0 ? 0 : (size_t)bytes), now_ns);
}

static void on_io(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    (void)loop;
    struct conn *conn = container_of(watcher, struct conn, io);
    if (conn->state == CONN_CONNECTING) {
        on_connect(conn);
        return;
    }
    if ((events & EV_WRITE) != 0 && conn->state == CONN_SENDING) {
        send_rest(conn);
    }
    if ((events & EV_READ) != 0 && conn->fd >= 0) {
        on_readable(conn);
    }
}

void conn_init(struct conn *conn,
               struct conn_thread *thread,
               const struct endpoint *endpoint,
               size_t target_index,
               char *line)
{
    ASSERT(target_index < endpoint->target_count);
    *conn = (struct conn){
        .thread = thread,
        .endpoint = endpoint,
        .next_target = target_index,
        .state = CONN_WAITING,
        .fd = -1,
    };
    response_reader_init(&conn->reader, line);
    ev_init(&conn->io, on_io);
    thread->running++;
}

/* -------------------------------------------------------------------------------------- time */

void conn_on_tick(struct conn *conn, uint64_t now_ns)
{
    const struct conn_thread *thread = conn->thread;
    bool is_over = thread->is_stopping || thread->requests_left == 0;
    switch (conn->state) {
    case CONN_WAITING:
        if (is_over || now_ns >= conn->retry_ns) {
            start_request(conn);
        }
        return;
    case CONN_CONNECTING:
    case CONN_SENDING:
    case CONN_RECEIVING:
        /* What was sent since `now_ns` was taken is newer than it. */
        if (now_ns > conn->activity_ns && now_ns - conn->activity_ns > thread->timeout_ns) {
            fail_timeout(conn, now_ns);
        }
        return;
    case CONN_STOPPED:
        return;
    }
}

void conn_abandon(struct conn *conn, uint64_t now_ns)
{
    if (conn->state == CONN_STOPPED) {
        return;
    }
    if (conn->state != CONN_WAITING) {
        struct tally *tally = &conn->thread->tally;
        tally->unfinished++;
        if (now_ns > conn->begin_ns && now_ns - conn->begin_ns > tally->unfinished_max_ns) {
            tally->unfinished_max_ns = now_ns - conn->begin_ns;
        }
    }
    stop(conn);
}
