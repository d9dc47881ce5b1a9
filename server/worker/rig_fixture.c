#include "server/worker/rig_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/worker/check_fixture.h"
#include "server/worker/worker_state.h"
#include "server/worker/worker_turn.h"

/* Turns that anything may take to come to rest; more is a circle. */
#define TURNS_MAX 1000

#define EVENTS_MAX 256

/* Numbers for listeners: the fake only passes them on. */
#define LISTEN_FD_FIRST 9000

/* The one that is started: the engine's verbs know no other way to it. */
static struct rig *started;

static uint64_t rig_monotonic_ns(void *context)
{
    return ((const struct rig *)context)->now_ns;
}

static int64_t rig_wall_seconds(void *context)
{
    return ((const struct rig *)context)->wall_seconds;
}

void rig_init(struct rig *rig)
{
    *rig = (struct rig){
        .connection_max = 4,
        .listen_count = 1,
        .gate = {.watch_fd = -1},
        .now_ns = 1000 * NS_PER_SEC,
        .wall_seconds = 1700000000,
        .control_event_fd = -1,
    };
    settings_init(&rig->settings);
    rig->settings.table_slots = 8;
    rig->settings.sendfile_bytes = 0;
    rig->settings.access_log = "none";
    rig->clock = (struct clock){rig_monotonic_ns, rig_wall_seconds, rig};
}

int rig_set_up(void **state)
{
    static struct rig rig; /* one test at a time */
    rig_init(&rig);
    *state = &rig;
    return 0;
}

int rig_tear_down(void **state)
{
    rig_stop(*state);
    return 0;
}

static int
create_fake(const struct engine_config *config, struct engine **ret_engine, const char **ret_what)
{
    (void)ret_what; /* cannot fail */
    *ret_engine = fake_create(config);
    return 0;
}

/* The fake only records a close; the peer is to see it, too. */
static void close_for_real(struct engine *engine, int fd)
{
    started->fake_verbs->close_fd(engine, fd);
    ASSERT(close(fd) == 0);
}

static int update_or_fail(struct engine *engine,
                          uint32_t first_slot,
                          const int32_t *fds,
                          const uint32_t *serials,
                          uint32_t count)
{
    if (started->failing_updates_count > 0) {
        started->failing_updates_count--;
        return -ENOMEM;
    }
    return started->fake_verbs->update_files(engine, first_slot, fds, serials, count);
}

void rig_start(struct rig *rig)
{
    ASSERT(rig->listen_count <= RIG_LISTENERS_MAX);
    rig->control_event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(rig->control_event_fd >= 0);
    for (uint32_t i = 0; i < RIG_LISTENERS_MAX; i++) {
        rig->listen_fds[i] = LISTEN_FD_FIRST + (int)i;
    }
    const struct worker_config config = {
        .index = 0,
        .settings = &rig->settings,
        .listen_fds = rig->listen_fds,
        .listen_count = rig->listen_count,
        .connection_max = rig->connection_max,
        .freshness = &rig->gate,
        .clock = &rig->clock,
        .create_engine = create_fake,
        .control_event_fd = rig->control_event_fd,
    };
    ASSERT(worker_create(&config, &rig->worker) == 0);
    ASSERT(worker_start_engine(rig->worker) == 0);
    rig->engine = rig->worker->engine;
    rig->fake_verbs = rig->engine->verbs;
    rig->verbs = *rig->fake_verbs;
    rig->verbs.close_fd = close_for_real;
    rig->verbs.update_files = update_or_fail;
    rig->engine->verbs = &rig->verbs;
    started = rig;
    alloc_seal_thread();
}

/* One turn; returns the events that it took. */
static uint32_t take_turn(struct rig *rig)
{
    struct engine_event events[EVENTS_MAX];
    const int event_count = engine_wait(rig->engine, events, EVENTS_MAX);
    ASSERT(event_count >= 0);
    worker_turn(rig->worker, events, (uint32_t)event_count);
    rig_check(rig);
    return (uint32_t)event_count;
}

void rig_turn(struct rig *rig)
{
    (void)take_turn(rig); /* with or without events */
}

void rig_run(struct rig *rig)
{
    (void)take_turn(rig); /* for what is in the mailbox; events may follow from that */
    for (uint32_t i = 0; take_turn(rig) > 0; i++) {
        ASSERT(i < TURNS_MAX);
    }
}

void rig_pass_ms(struct rig *rig, uint64_t ms)
{
    const uint64_t end_ns = rig->now_ns + ms * NS_PER_MS;
    while (rig->now_ns < end_ns) {
        const uint64_t left_ns = end_ns - rig->now_ns;
        const uint64_t step_ns = left_ns < rig->worker->tick_ns ? left_ns : rig->worker->tick_ns;
        rig->now_ns += step_ns;
        if (step_ns == rig->worker->tick_ns &&
            fake_find(rig->engine, ENGINE_TIMEOUT, RIG_WORKER_TOKEN) != NULL) {
            fake_end(rig->engine, ENGINE_TIMEOUT, RIG_WORKER_TOKEN, 0);
            rig_run(rig); /* without a tick nothing wakes the worker */
        }
    }
}

static int queue_socket(struct rig *rig, uint32_t listener_index, int fd, int peer_fd)
{
    struct rig_peer *peers =
        realloc(rig->peers, (rig->peer_count + 1) * sizeof(*peers)); /* the test's memory */
    ASSERT(peers != NULL);
    rig->peers = peers;
    rig->peers[rig->peer_count++] = (struct rig_peer){.fd = peer_fd};
    fake_accept(rig->engine, (struct engine_token){.index = listener_index, .generation = 1}, fd);
    return fd;
}

int rig_queue_accept(struct rig *rig, uint32_t listener_index)
{
    int fds[2];
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    return queue_socket(rig, listener_index, fds[0], fds[1]);
}

/* The token of the connection on `fd`, the newest peer. */
static struct engine_token accepted_token(struct rig *rig, int fd)
{
    rig_run(rig);
    for (uint32_t i = 0; i < rig->worker->conn_top; i++) {
        const struct conn *conn = &rig->worker->conns[i];
        if (conn->state != CONN_FREE && conn->fd == fd) {
            const struct engine_token token = {.index = i, .generation = conn->generation};
            rig->peers[rig->peer_count - 1].token = token;
            return token;
        }
    }
    ASSERT(false); /* it was not taken */
    return (struct engine_token){0};
}

struct engine_token rig_open(struct rig *rig)
{
    return accepted_token(rig, rig_queue_accept(rig, 0));
}

struct engine_token rig_open_tcp(struct rig *rig)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(listener >= 0);
    ASSERT(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    ASSERT(listen(listener, 1) == 0);
    ASSERT(getsockname(listener, (struct sockaddr *)&address, &address_bytes) == 0);
    const int peer_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(peer_fd >= 0);
    ASSERT(connect(peer_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ASSERT(fd >= 0);
    ASSERT(close(listener) == 0);
    return accepted_token(rig, queue_socket(rig, 0, fd, peer_fd));
}

struct conn *rig_conn(struct rig *rig, struct engine_token token)
{
    struct conn *conn = &rig->worker->conns[token.index];
    const bool is_current = conn->generation == token.generation && conn->state != CONN_FREE;
    return is_current ? conn : NULL;
}

enum conn_state rig_state(struct rig *rig, struct engine_token token)
{
    const struct conn *conn = rig_conn(rig, token);
    return conn == NULL ? CONN_FREE : conn->state;
}

static struct rig_peer *find_peer(struct rig *rig, struct engine_token token)
{
    for (uint32_t i = rig->peer_count; i > 0; i--) {
        struct rig_peer *peer = &rig->peers[i - 1];
        if (peer->token.index == token.index && peer->token.generation == token.generation) {
            return peer;
        }
    }
    ASSERT(false); /* no such connection */
    return NULL;
}

int rig_peer_fd(struct rig *rig, struct engine_token token)
{
    return find_peer(rig, token)->fd;
}

void rig_close_peer(struct rig *rig, struct engine_token token)
{
    struct rig_peer *peer = find_peer(rig, token);
    ASSERT(close(peer->fd) == 0);
    peer->fd = -1;
}

bool rig_is_closed(struct rig *rig, struct engine_token token)
{
    uint8_t byte;
    const ssize_t got = recv(rig_peer_fd(rig, token), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return rig_conn(rig, token) == NULL && (got == 0 || (got < 0 && errno == ECONNRESET));
}

bool rig_is_in_flight(struct rig *rig, struct engine_token token, enum engine_op op)
{
    return fake_find(rig->engine, op, token) != NULL;
}

void rig_receive_bytes(struct rig *rig, struct engine_token token, struct span bytes)
{
    while (bytes.bytes > 0) {
        const size_t piece =
            bytes.bytes < RECEIVE_BUFFER_BYTES ? bytes.bytes : RECEIVE_BUFFER_BYTES;
        fake_receive(rig->engine, token, span_of(bytes.ptr, piece));
        bytes = span_skip(bytes, piece);
    }
}

void rig_receive(struct rig *rig, struct engine_token token, const char *text)
{
    rig_receive_bytes(rig, token, span_of_string(text));
}

void rig_request(struct rig *rig, struct engine_token token, const char *text)
{
    rig_receive(rig, token, text);
    rig_turn(rig);
}

void rig_end(struct rig *rig, struct engine_token token, enum engine_op op, int32_t result)
{
    fake_end(rig->engine, op, token, result);
    rig_turn(rig);
}

void rig_read(struct rig *rig, struct engine_token token, uint32_t byte_max)
{
    const struct fake_operation *read = fake_find(rig->engine, ENGINE_READ, token);
    ASSERT(read != NULL);
    const int fd =
        read->file.is_slot ? fake_slot_fd(rig->engine, read->file.number) : (int)read->file.number;
    const size_t wanted = read->bytes < byte_max ? read->bytes : byte_max;
    uint8_t *bytes = malloc(wanted);
    ASSERT(bytes != NULL);
    const ssize_t got = pread(fd, bytes, wanted, (off_t)read->offset);
    ASSERT(got >= 0);
    fake_read(rig->engine, token, span_of(bytes, (size_t)got));
    free(bytes);
    rig_turn(rig);
}

void rig_finish(struct rig *rig, struct engine_token token)
{
    for (uint32_t i = 0; i < TURNS_MAX; i++) {
        if (rig_is_in_flight(rig, token, ENGINE_SEND)) {
            fake_send_all(rig->engine, token);
            rig_turn(rig);
        } else if (rig_is_in_flight(rig, token, ENGINE_READ)) {
            rig_read(rig, token, UINT32_MAX);
        } else {
            rig_run(rig);
            return;
        }
    }
    ASSERT(false); /* a circle */
}

/* Everything that is in flight ends as if the peers had gone and the disk had failed. */
static void end_operations(struct rig *rig)
{
    static const struct {
        enum engine_op op;
        int32_t result;
    } ends[] = {
        {ENGINE_SEND, -EPIPE}, {ENGINE_READ, -EIO}, {ENGINE_POLL, POLLHUP}, {ENGINE_RECEIVE, 0}};
    for (uint32_t i = 0; i < rig->worker->conn_top; i++) {
        const struct engine_token token = {.index = i,
                                           .generation = rig->worker->conns[i].generation};
        for (size_t at = 0; at < ARRAY_COUNT(ends); at++) {
            if (rig_is_in_flight(rig, token, ends[at].op)) {
                fake_end(rig->engine, ends[at].op, token, ends[at].result);
            }
        }
    }
}

static void wind_down(struct rig *rig)
{
    rig->failing_updates_count = 0;
    fake_hold_cancels(rig->engine, false);
    fake_hold_releases(rig->engine, false);
    for (uint32_t i = 0; rig->worker->conn_count > 0 || rig->worker->misses.pending_count > 0;
         i++) {
        ASSERT(i < TURNS_MAX);
        control_take(rig);
        while (rig->control.miss_count > 0) {
            control_load(rig, 503, NULL);
        }
        end_operations(rig);
        rig_run(rig);
    }
    if (!rig->worker->is_draining) {
        control_tell(rig, MESSAGE_DRAIN);
    }
    rig_run(rig);
    control_take(rig);
}

void rig_stop(struct rig *rig)
{
    if (rig->worker == NULL) {
        return;
    }
    if (rig->worker->engine != NULL) { /* the test has not stopped it */
        wind_down(rig);
        ASSERT(rig->control.drained_count == 1);
        rig_check_empty(rig);
        worker_stop_engine(rig->worker);
    }
    alloc_unseal_thread();
    worker_destroy(rig->worker);
    rig->worker = NULL;
    started = NULL;
    for (uint32_t i = 0; i < rig->peer_count; i++) {
        ASSERT(rig->peers[i].fd < 0 || close(rig->peers[i].fd) == 0);
    }
    free(rig->peers);
    rig->peers = NULL;
    ASSERT(close(rig->control_event_fd) == 0);
    control_deinit(&rig->control);
}

/* What an answer says of itself. */
struct answer_head {
    uint32_t status;
    size_t head_bytes; /* with the empty line; 0: not whole */
    size_t body_bytes;
    bool is_closing;
};

static struct answer_head read_head(const char *text)
{
    struct answer_head head = {0};
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) {
        return head;
    }
    head.head_bytes = (size_t)(end - text) + 4;
    head.status = (uint32_t)strtoul(text + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = strstr(text, "Content-Length: ");
    if (length != NULL && length < end) {
        head.body_bytes = strtoul(length + strlen("Content-Length: "), NULL, 10);
    }
    const char *closing = strstr(text, "Connection: close");
    head.is_closing = closing != NULL && closing < end;
    return head;
}

static size_t describe_answer(const struct answer_head *head,
                              const char *body,
                              size_t body_bytes,
                              char *text,
                              size_t room_bytes)
{
    const size_t shown_max = 16;
    char shown[64] = "";
    if (head->status == 200 || head->status == 206) {
        if (head->body_bytes > 2 * shown_max) {
            (void)snprintf(shown, sizeof(shown), " %.*s..%zu", (int)shown_max, body,
                           head->body_bytes);
        } else if (head->body_bytes > 0) {
            (void)snprintf(shown, sizeof(shown), " %.*s", (int)head->body_bytes, body);
        }
    }
    const int bytes =
        snprintf(text, room_bytes, "%u%s%s%s, ", head->status, shown,
                 head->is_closing ? " close" : "", body_bytes < head->body_bytes ? " cut" : "");
    ASSERT(bytes > 0 && (size_t)bytes < room_bytes);
    return (size_t)bytes;
}

const char *rig_describe(struct rig *rig, struct span bytes)
{
    char *all = calloc(1, bytes.bytes + 1);
    ASSERT(all != NULL);
    if (bytes.bytes > 0) {
        memcpy(all, bytes.ptr, bytes.bytes);
    }
    size_t at = 0;
    size_t text_bytes = 0;
    rig->text[0] = '\0';
    while (at < bytes.bytes) {
        const struct answer_head head = read_head(all + at);
        if (head.head_bytes == 0) {
            (void)snprintf(rig->text + text_bytes, sizeof(rig->text) - text_bytes, "cut");
            break;
        }
        at += head.head_bytes;
        const size_t left = bytes.bytes - at;
        const size_t body_bytes = left < head.body_bytes ? left : head.body_bytes;
        text_bytes += describe_answer(&head, all + at, body_bytes, rig->text + text_bytes,
                                      sizeof(rig->text) - text_bytes);
        at += body_bytes;
    }
    free(all);
    return rig->text;
}

const char *rig_answers(struct rig *rig, struct engine_token token)
{
    return rig_describe(rig, fake_sent(rig->engine, token));
}

const char *rig_raw(struct rig *rig, struct engine_token token)
{
    const struct span sent = fake_sent(rig->engine, token);
    ASSERT(sent.bytes < sizeof(rig->text));
    if (sent.bytes > 0) {
        memcpy(rig->text, sent.ptr, sent.bytes);
    }
    rig->text[sent.bytes] = '\0';
    return rig->text;
}
