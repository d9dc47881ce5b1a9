/*
 * Bodies by sendfile(2), over real sockets to a peer that reads them: whole, in pieces, from files
 * that are not in the page cache, fail, or change.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/sender.h"
#include "server/worker/worker_state.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* More than any socket holds. */
#define LARGE_BYTES ((size_t)20000003)

/* What the peer has read. */
static uint8_t stream[2 * LARGE_BYTES];
static size_t stream_bytes;

static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig->settings.sendfile_bytes = 1000;
    rig_start(rig);
    stream_bytes = 0;
    return rig;
}

/* Takes what has arrived. False at the end of the stream, or when it was reset. */
static bool peer_take(struct rig *rig, struct engine_token conn)
{
    for (;;) {
        const ssize_t got = recv(rig_peer_fd(rig, conn), stream + stream_bytes,
                                 sizeof(stream) - stream_bytes, MSG_DONTWAIT);
        if (got <= 0) {
            return got < 0 && errno == EAGAIN;
        }
        stream_bytes += (size_t)got;
    }
}

/* A send of the engine's goes to the peer, too. */
static void send_for_real(struct rig *rig, struct engine_token conn)
{
    const struct fake_operation *send_of = fake_find(rig->engine, ENGINE_SEND, conn);
    assert_int_equal(send_of->verb, FAKE_START_SEND);
    assert_int_equal(fcntl(send_of->fd, F_GETFL) & O_NONBLOCK, 0); /* as the engine wants it */
    assert_int_equal(send(send_of->fd, send_of->memory, send_of->bytes, 0), send_of->bytes);
    fake_send_all(rig->engine, conn);
    rig_turn(rig);
}

/* One step of the answer under way. */
static void step(struct rig *rig, struct engine_token conn)
{
    if (rig_is_in_flight(rig, conn, ENGINE_READ)) {
        rig_read(rig, conn, UINT32_MAX);
    } else if (rig_is_in_flight(rig, conn, ENGINE_SEND)) {
        send_for_real(rig, conn);
    } else {
        struct pollfd room = {.fd = rig_conn(rig, conn)->fd, .events = POLLOUT};
        assert_int_equal(poll(&room, 1, 10000), 1);
        rig_end(rig, conn, ENGINE_POLL, room.revents);
    }
    (void)peer_take(rig, conn);
}

static void send_all(struct rig *rig, struct engine_token conn)
{
    (void)peer_take(rig, conn);
    while (rig_state(rig, conn) == CONN_SENDING) {
        step(rig, conn);
    }
}

/* The peer reads until it has `bytes`: the kernel may still be on its way with the last ones. */
static void peer_await(struct rig *rig, struct engine_token conn, size_t bytes)
{
    while (stream_bytes < bytes) {
        struct pollfd some = {.fd = rig_peer_fd(rig, conn), .events = POLLIN};
        assert_int_equal(poll(&some, 1, 10000), 1);
        assert_true(peer_take(rig, conn));
    }
}

static size_t head_bytes(size_t at)
{
    const uint8_t *end = memmem(stream + at, stream_bytes - at, "\r\n\r\n", 4);
    assert_non_null(end);
    return (size_t)(end - (stream + at)) + 4;
}

/* At `at` in the stream there is a head with the file's bytes behind it. Returns where it ends. */
static size_t assert_answer_at(struct rig *rig, struct engine_token conn, size_t at, size_t bytes)
{
    peer_await(rig, conn, at + 100);
    assert_memory_equal(stream + at, "HTTP/1.1 20", 11);
    at += head_bytes(at);
    peer_await(rig, conn, at + bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (stream[at + i] != "0123456789abcdef"[i % 16]) {
            fail_msg("byte %zu of %zu is wrong", i, bytes);
        }
    }
    return at + bytes;
}

/* The same, and nothing follows. */
static void
assert_last_answer_at(struct rig *rig, struct engine_token conn, size_t at, size_t bytes)
{
    const size_t end = assert_answer_at(rig, conn, at, bytes);
    assert_int_equal(end, stream_bytes);
}

static void small_file_goes_in_one_step(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 10000));
    version_put(rig, version_memory(rig, "b", "beta"));
    const struct engine_token conns[] = {rig_open(rig), rig_open_tcp(rig)};
    for (size_t i = 0; i < ARRAY_COUNT(conns); i++) {
        stream_bytes = 0;
        rig_request(rig, conns[i], GET("/a") GET("/a")); /* and the next at once */
        assert_int_equal(rig_state(rig, conns[i]), CONN_IDLE);
        const size_t end = assert_answer_at(rig, conns[i], 0, 10000);
        assert_last_answer_at(rig, conns[i], end, 10000);
        rig_request(rig, conns[i], GET("/b")); /* by the engine, on a socket that blocks */
        send_for_real(rig, conns[i]);
        assert_string_equal(rig_answers(rig, conns[i]), "200 beta, ");
    }
    assert_int_equal(RIG_COUNTER(rig, bodies_sendfile), 4);
    assert_int_equal(RIG_COUNTER(rig, responses_2xx), 6);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_START_READ), 0);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_START_POLL), 0);
}

static int tcp_option(struct rig *rig, struct engine_token conn, int name)
{
    int value = -1;
    socklen_t value_bytes = sizeof(value);
    assert_int_equal(getsockopt(rig_conn(rig, conn)->fd, IPPROTO_TCP, name, &value, &value_bytes),
                     0);
    return value;
}

/* Corked while the body goes; its end is pushed, not left to the kernel's timer. */
static void end_of_a_body_is_pushed(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", LARGE_BYTES));
    version_put(rig, version_memory(rig, "b", "beta"));
    const struct engine_token conn = rig_open_tcp(rig);
    rig_request(rig, conn, GET("/a"));
    assert_int_equal(rig_state(rig, conn), CONN_SENDING);
    assert_int_equal(tcp_option(rig, conn, TCP_CORK), 1);
    assert_int_equal(tcp_option(rig, conn, TCP_NODELAY), 0);
    send_all(rig, conn);
    assert_int_equal(tcp_option(rig, conn, TCP_NODELAY), 1);
    rig_request(rig, conn, GET("/b"));
    assert_int_equal(tcp_option(rig, conn, TCP_CORK), 0);
}

static void body_below_the_limit_is_read(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 999));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    assert_true(rig_is_in_flight(rig, conn, ENGINE_READ));
}

static void large_file_goes_as_the_socket_takes_it(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", LARGE_BYTES));
    const struct engine_token conns[] = {rig_open(rig), rig_open_tcp(rig)};
    uint64_t sent_bytes = 0;
    for (size_t i = 0; i < ARRAY_COUNT(conns); i++) {
        stream_bytes = 0;
        rig_request(rig, conns[i], GET("/a"));
        assert_true(rig_is_in_flight(rig, conns[i], ENGINE_POLL));
        assert_int_equal(fake_find(rig->engine, ENGINE_POLL, conns[i])->poll_events, POLLOUT);
        send_all(rig, conns[i]);
        assert_int_equal(rig_state(rig, conns[i]), CONN_IDLE);
        assert_last_answer_at(rig, conns[i], 0, LARGE_BYTES);
        sent_bytes += stream_bytes;
        assert_int_equal(RIG_COUNTER(rig, bytes_sent), sent_bytes);
    }
}

/* One call moves a bounded piece, however much room there is. */
static void one_step_moves_a_bounded_piece(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", LARGE_BYTES));
    const struct engine_token conn = rig_open_tcp(rig);
    rig_request(rig, conn, GET("/a"));
    uint64_t before = RIG_COUNTER(rig, bytes_sent);
    assert_true(before <= SENDFILE_PIECE_BYTES + 1000);
    while (rig_state(rig, conn) == CONN_SENDING) {
        step(rig, conn);
        const uint64_t after = RIG_COUNTER(rig, bytes_sent);
        assert_true(after - before <= SENDFILE_PIECE_BYTES);
        before = after;
    }
    (void)assert_answer_at(rig, conn, 0, LARGE_BYTES);
}

static void head_waits_for_room_in_the_socket(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 10000));
    const struct engine_token conn = rig_open(rig);
    static const char filler[4096];
    size_t filler_bytes = 0;
    ssize_t sent;
    while ((sent = send(rig_conn(rig, conn)->fd, filler, sizeof(filler), MSG_DONTWAIT)) > 0) {
        filler_bytes += (size_t)sent;
    }
    rig_request(rig, conn, GET("/a"));
    assert_true(rig_is_in_flight(rig, conn, ENGINE_POLL));
    assert_int_equal(RIG_COUNTER(rig, bytes_sent), 0);
    send_all(rig, conn);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    assert_last_answer_at(rig, conn, filler_bytes, 10000);
}

static void poll_that_fails_closes(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", LARGE_BYTES));
    static const int32_t results[] = {-ECANCELED, POLLERR, POLLHUP, POLLOUT | POLLHUP};
    for (uint32_t i = 0; i < ARRAY_COUNT(results); i++) {
        const struct engine_token conn = rig_open(rig);
        rig_request(rig, conn, GET("/a"));
        rig_end(rig, conn, ENGINE_POLL, results[i]);
        assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
        rig_end(rig, conn, ENGINE_RECEIVE, 0);
        assert_int_equal(rig_state(rig, conn), CONN_FREE);
        assert_int_equal(RIG_COUNTER(rig, aborted_peer), i + 1);
    }
}

static void peer_that_leaves_is_noticed(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", LARGE_BYTES));
    const struct engine_token conns[] = {rig_open(rig), rig_open_tcp(rig)};
    for (uint32_t i = 0; i < ARRAY_COUNT(conns); i++) {
        rig_close_peer(rig, conns[i]);
        rig_request(rig, conns[i], GET("/a"));
        for (int turn = 0; rig_state(rig, conns[i]) == CONN_SENDING && turn < 1000; turn++) {
            rig_end(rig, conns[i], ENGINE_POLL, POLLOUT);
        }
        assert_int_equal(rig_state(rig, conns[i]), CONN_CLOSING);
        rig_end(rig, conns[i], ENGINE_RECEIVE, 0);
        assert_int_equal(RIG_COUNTER(rig, aborted_peer), i + 1);
    }
}

/* ---- files that are not in the page cache ---- */

static void drop_from_cache(const struct hand_version *version)
{
    assert_int_equal(fdatasync(version->version.fd), 0); /* what is dirty stays */
    assert_int_equal(posix_fadvise(version->version.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

/* Whether dropping works here at all: not on a file system in memory. */
static bool can_be_cold(const struct hand_version *version)
{
    uint8_t byte;
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    drop_from_cache(version);
    const ssize_t got = preadv2(version->version.fd, &piece, 1, 0, RWF_NOWAIT);
    drop_from_cache(version);
    return got < 0;
}

static void cold_file_is_read_by_the_engine_and_sent_in_order(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 3000000);
    version_put(rig, a);
    if (!can_be_cold(a)) {
        skip();
    }
    const struct engine_token conn = rig_open_tcp(rig);
    rig_request(rig, conn, GET("/a"));
    const struct fake_operation *read_of = fake_find(rig->engine, ENGINE_READ, conn);
    assert_non_null(read_of); /* the worker did not wait for the disk */
    assert_true(read_of->file.is_slot);
    send_all(rig, conn);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    assert_last_answer_at(rig, conn, 0, 3000000);
    assert_int_equal(RIG_COUNTER(rig, bytes_sent), stream_bytes);
}

static void file_that_is_partly_cold_goes_both_ways(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 4000000);
    version_put(rig, a);
    if (!can_be_cold(a)) {
        skip();
    }
    static uint8_t sink[2000000];
    assert_int_equal(posix_fadvise(a->version.fd, 0, 0, POSIX_FADV_RANDOM), 0); /* no read-ahead */
    assert_int_equal(pread(a->version.fd, sink, sizeof(sink), 0), sizeof(sink));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    send_all(rig, conn);
    assert_last_answer_at(rig, conn, 0, 4000000);
    assert_true(fake_verb_count(rig->engine, FAKE_START_READ) > 0);
    assert_true(fake_verb_count(rig->engine, FAKE_START_POLL) > 0);
}

/* Whoever was just sent whole from the cache is not asked about for a second. */
static void hot_file_is_not_looked_up_in_the_cache_each_time(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 10000);
    version_put(rig, a);
    if (!can_be_cold(a)) {
        skip();
    }
    const struct engine_token conn = rig_open(rig);
    size_t end = 0;
    static const struct {
        uint64_t wait_ms;
        uint32_t reads_count; /* so far */
    } rounds[] = {
        {0, 1},    /* cold: read */
        {0, 1},    /* now it is in the cache, and found there */
        {0, 1},    /* dropped, but known: sendfile(2) waits for the disk this once */
        {2000, 2}, /* and is asked about again later */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rounds); i++) {
        rig_pass_ms(rig, rounds[i].wait_ms);
        if (i >= 2) {
            drop_from_cache(a);
        }
        rig_request(rig, conn, GET("/a"));
        send_all(rig, conn);
        end = assert_answer_at(rig, conn, end, 10000);
        assert_int_equal(fake_verb_count(rig->engine, FAKE_START_READ), rounds[i].reads_count);
    }
}

/* Where a piece had to be read, the rest being in the cache does not make the file a hot one. */
static void file_that_was_partly_cold_is_looked_up_again(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 200000);
    version_put(rig, a);
    if (!can_be_cold(a)) {
        skip();
    }
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    assert_true(rig_is_in_flight(rig, conn, ENGINE_READ));
    static uint8_t sink[200000];
    assert_int_equal(pread(a->version.fd, sink, sizeof(sink), 0), sizeof(sink));
    send_all(rig, conn);
    const size_t end = assert_answer_at(rig, conn, 0, 200000);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_START_READ), 1); /* and sendfile(2) then */
    drop_from_cache(a);
    rig_request(rig, conn, GET("/a"));
    assert_true(rig_is_in_flight(rig, conn, ENGINE_READ));
    send_all(rig, conn);
    (void)assert_answer_at(rig, conn, end, 200000);
}

/* ---- failures and changes ---- */

static void file_that_ends_early_breaks_the_answer_off(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", LARGE_BYTES);
    version_put(rig, a);
    const struct engine_token conn = rig_open_tcp(rig);
    rig_request(rig, conn, GET("/a"));
    assert_int_equal(truncate(a->path, 5000), 0);
    for (int i = 0; rig_state(rig, conn) == CONN_SENDING && i < 1000; i++) {
        step(rig, conn);
    }
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_FREE);
    assert_int_equal(RIG_COUNTER(rig, aborted_changed), 1);
    while (peer_take(rig, conn)) {
    }
    assert_int_equal(errno, ECONNRESET);
    assert_true(stream_bytes < LARGE_BYTES);
}

/* It was all handed to the kernel; the reset takes back the last segment, which was held back. */
static void change_in_place_resets_at_the_end(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", LARGE_BYTES);
    version_put(rig, a);
    for (uint32_t i = 0; i < 2; i++) {
        stream_bytes = 0;
        const struct engine_token conn = rig_open_tcp(rig);
        rig_request(rig, conn, GET("/a"));
        const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
        assert_int_equal(utimensat(AT_FDCWD, a->path, times, 0), 0);
        freshness_begin(&rig->gate);
        if (i == 0) { /* the round is over, or still under way, when the body ends */
            freshness_finish(&rig->gate);
        }
        send_all(rig, conn);
        rig_run(rig);
        assert_int_equal(rig_state(rig, conn), CONN_FREE);
        assert_int_equal(RIG_COUNTER(rig, aborted_changed), i + 1);
        while (peer_take(rig, conn)) {
        }
        assert_int_equal(errno, ECONNRESET);
        assert_true(stream_bytes < head_bytes(0) + LARGE_BYTES);
        freshness_finish(&rig->gate);
    }
}

static void unchanged_file_survives_the_round(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", LARGE_BYTES);
    version_put(rig, a);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    freshness_begin(&rig->gate);
    control_change(rig, a, NULL); /* replaced: the old bytes are still the right ones */
    send_all(rig, conn);
    freshness_finish(&rig->gate);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    (void)assert_answer_at(rig, conn, 0, LARGE_BYTES);
}

#ifdef TURNTABLE_FAULT_POINTS
static void error_of_sendfile_ends_the_answer(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 10000));
    static const struct {
        int error;
        uint32_t read_count;
        uint32_t peer_count;
    } cases[] = {{EIO, 1, 0}, {EPIPE, 1, 1}, {ECONNRESET, 1, 2}, {EINVAL, 2, 2}, {ENOMEM, 3, 2}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct engine_token conn = rig_open_tcp(rig);
        fault_arm("sendfile", 0, 1, cases[i].error);
        rig_request(rig, conn, GET("/a"));
        fault_disarm_all();
        if (rig_state(rig, conn) == CONN_CLOSING && rig_is_in_flight(rig, conn, ENGINE_RECEIVE)) {
            rig_end(rig, conn, ENGINE_RECEIVE, 0);
        }
        rig_run(rig);
        assert_int_equal(rig_state(rig, conn), CONN_FREE);
        assert_int_equal(RIG_COUNTER(rig, aborted_read), cases[i].read_count);
        assert_int_equal(RIG_COUNTER(rig, aborted_peer), cases[i].peer_count);
    }
}

static void sendfile_that_finds_no_room_waits_for_it(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 10000));
    const struct engine_token conn = rig_open_tcp(rig);
    static const int errors[] = {EAGAIN, EINTR};
    size_t end = 0;
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        fault_arm("sendfile", 0, 2, errors[i]);
        rig_request(rig, conn, GET("/a"));
        assert_true(rig_is_in_flight(rig, conn, ENGINE_POLL));
        rig_end(rig, conn, ENGINE_POLL, POLLOUT);
        assert_true(rig_is_in_flight(rig, conn, ENGINE_POLL));
        send_all(rig, conn);
        fault_disarm_all();
        end = assert_answer_at(rig, conn, end, 10000);
    }
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_file_goes_in_one_step),
        TEST(end_of_a_body_is_pushed),
        TEST(body_below_the_limit_is_read),
        TEST(large_file_goes_as_the_socket_takes_it),
        TEST(one_step_moves_a_bounded_piece),
        TEST(head_waits_for_room_in_the_socket),
        TEST(poll_that_fails_closes),
        TEST(peer_that_leaves_is_noticed),
        TEST(cold_file_is_read_by_the_engine_and_sent_in_order),
        TEST(file_that_is_partly_cold_goes_both_ways),
        TEST(hot_file_is_not_looked_up_in_the_cache_each_time),
        TEST(file_that_was_partly_cold_is_looked_up_again),
        TEST(file_that_ends_early_breaks_the_answer_off),
        TEST(change_in_place_resets_at_the_end),
        TEST(unchanged_file_survives_the_round),
#ifdef TURNTABLE_FAULT_POINTS
        TEST(error_of_sendfile_ends_the_answer),
        TEST(sendfile_that_finds_no_room_waits_for_it),
#endif
    };
    ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* a worker's thread blocks all signals */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
