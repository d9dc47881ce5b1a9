/*
 * How connections end: the peer's last byte and the peer's errors in each state, closing with every
 * operation in flight, stale events, the last answer and the time after it.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/worker/conn.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* A started rig whose worker holds "a" in memory and "file", which is read. */
static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig_start(rig);
    version_put(rig, version_memory(rig, "a", "alpha"));
    version_put(rig, version_file(rig, "file", 100000));
    return rig;
}

static void assert_answers(struct rig *rig, struct engine_token conn, const char *expected)
{
    assert_string_equal(rig_answers(rig, conn), expected);
}

/* A connection brought into a state. */
static struct engine_token conn_in(struct rig *rig, enum conn_state wanted)
{
    const struct engine_token conn = rig_open(rig);
    switch (wanted) {
    case CONN_IDLE:
        break;
    case CONN_RECEIVING:
        rig_request(rig, conn, "GET /");
        break;
    case CONN_PARKED:
        rig_request(rig, conn, GET("/unknown"));
        break;
    case CONN_SENDING:
        rig_request(rig, conn, GET("/a"));
        break;
    case CONN_LINGERING:
        rig_request(rig, conn, "GET /a HTTP/1.0\r\n\r\n");
        rig_finish(rig, conn);
        break;
    case CONN_CLOSING:
        rig_request(rig, conn, GET("/a"));
        rig_end(rig, conn, ENGINE_RECEIVE, -ECONNRESET);
        break;
    case CONN_FREE:
    case CONN_WAITING:
        fail();
    }
    assert_int_equal(rig_state(rig, conn), wanted);
    return conn;
}

/* ---- the peer sends no more ---- */

static void end_of_stream_closes_who_has_nothing_under_way(void **state)
{
    struct rig *rig = start(state);
    static const enum conn_state states[] = {CONN_IDLE, CONN_RECEIVING, CONN_LINGERING};
    for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
        const struct engine_token conn = conn_in(rig, states[i]);
        rig_end(rig, conn, ENGINE_RECEIVE, 0);
        assert_true(rig_is_closed(rig, conn));
    }
    assert_int_equal(RIG_COUNTER(rig, aborted_peer), 0);
}

static void end_of_stream_lets_the_answer_under_way_leave(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = conn_in(rig, CONN_SENDING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_int_equal(rig_state(rig, conn), CONN_SENDING);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, ");
    assert_true(rig_is_closed(rig, conn));
}

static void end_of_stream_lets_a_parked_request_be_answered(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = conn_in(rig, CONN_PARKED);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    control_load(rig, 404, NULL);
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_SENDING);
    rig_finish(rig, conn);
    assert_true(rig_is_closed(rig, conn));
    assert_int_equal(RIG_COUNTER(rig, responses_4xx), 1);
}

/* `printf 'GET ... GET ...' | nc -N`: every request that came whole is answered. */
static void end_of_stream_behind_pipelined_requests_drops_none(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file")); /* its body goes in pieces: what follows is held */
    rig_receive(rig, conn, GET("/a") GET("/unknown") GET("/a") "GET /half");
    fake_end(rig->engine, ENGINE_RECEIVE, conn, 0);
    rig_turn(rig);
    rig_finish(rig, conn);
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    control_load(rig, 403, NULL);
    rig_run(rig);
    rig_finish(rig, conn);
    const char *answers = rig_answers(rig, conn);
    assert_non_null(strstr(answers, "200 0123456789abcdef..100000, 200 alpha"));
    assert_non_null(strstr(answers, "403"));
    assert_string_equal(answers + strlen(answers) - strlen("200 alpha, "), "200 alpha, ");
    assert_true(rig_is_closed(rig, conn));
}

/* ---- errors ---- */

static void error_of_receive_closes_in_each_state(void **state)
{
    struct rig *rig = start(state);
    static const struct {
        enum conn_state state;
        uint32_t aborted_count; /* an answer was owed */
    } cases[] = {{CONN_IDLE, 0},
                 {CONN_RECEIVING, 0},
                 {CONN_LINGERING, 0},
                 {CONN_PARKED, 1},
                 {CONN_SENDING, 2}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct engine_token conn = conn_in(rig, cases[i].state);
        rig_end(rig, conn, ENGINE_RECEIVE, -ECONNRESET);
        if (cases[i].state == CONN_SENDING) {
            assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
            rig_end(rig, conn, ENGINE_SEND, -ECONNRESET);
        }
        assert_true(rig_is_closed(rig, conn));
        assert_int_equal(RIG_COUNTER(rig, aborted_peer), cases[i].aborted_count);
    }
}

static void error_of_send_closes_and_is_counted(void **state)
{
    struct rig *rig = start(state);
    static const int32_t results[] = {-EPIPE, -ECONNRESET, 0, 10}; /* and too few bytes */
    for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
        const struct engine_token conn = conn_in(rig, CONN_SENDING);
        rig_end(rig, conn, ENGINE_SEND, results[i]);
        assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
        rig_end(rig, conn, ENGINE_RECEIVE, 0);
        assert_true(rig_is_closed(rig, conn));
        assert_int_equal(RIG_COUNTER(rig, aborted_peer), i + 1);
    }
}

/* Whoever waits for a path may leave; those who stay are answered. */
static void parked_connections_leave_in_any_order(void **state)
{
    struct rig *rig = start(state);
    for (uint32_t leaver = 0; leaver < 8; leaver++) { /* each subset of three */
        struct engine_token conns[3];
        for (uint32_t i = 0; i < 3; i++) {
            conns[i] = conn_in(rig, CONN_PARKED);
        }
        for (uint32_t i = 0; i < 3; i++) {
            if ((leaver >> i & 1) != 0) {
                rig_end(rig, conns[i], ENGINE_RECEIVE, -ECONNRESET);
            }
        }
        const struct engine_token late = rig_open(rig); /* takes a place that was left, if any */
        control_load(rig, 503, NULL);
        rig_run(rig); /* the joined ones ask again */
        control_take(rig);
        if (rig->control.miss_count > 0) {
            control_load(rig, 404, NULL);
            rig_run(rig);
        }
        for (uint32_t i = 0; i < 3; i++) {
            rig_finish(rig, conns[i]);
            const bool is_gone = (leaver >> i & 1) != 0;
            const char *answers = rig_answers(rig, conns[i]);
            assert_string_equal(answers, is_gone ? "" : i == 0 ? "503, " : "404, ");
            if (!is_gone) {
                rig_end(rig, conns[i], ENGINE_RECEIVE, 0);
            }
        }
        assert_int_equal(rig_state(rig, late), CONN_IDLE);
        rig_end(rig, late, ENGINE_RECEIVE, 0);
    }
    assert_int_equal(rig->worker->conn_count, 0);
}

/* ---- memory with an operation in flight belongs to the kernel ---- */

static void closing_waits_for_a_send(void **state)
{
    struct rig *rig = start(state);
    const uint32_t slot_users_before = slot_table_counts(rig->worker->table).retiring;
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file"));
    rig_read(rig, conn, UINT32_MAX);
    rig_end(rig, conn, ENGINE_RECEIVE, -ECONNRESET);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    assert_non_null(rig_conn(rig, conn)->output);
    assert_int_not_equal(rig_conn(rig, conn)->answer.slot_index, SLOT_NONE);
    rig_end(rig, conn, ENGINE_SEND, 500); /* what was sent of it */
    assert_true(rig_is_closed(rig, conn));
    assert_int_equal(slot_table_counts(rig->worker->table).retiring, slot_users_before);
}

static void closing_waits_for_a_read_and_keeps_the_slot(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file"));
    const uint32_t slot_index = rig_conn(rig, conn)->answer.slot_index;
    const int fd = fake_slot_fd(rig->engine, slot_index);
    assert_true(fd >= 0);
    rig_end(rig, conn, ENGINE_RECEIVE, -ECONNRESET);
    (void)slot_table_retire(rig->worker->table, SPAN("file"));
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    assert_int_equal(fake_slot_fd(rig->engine, slot_index), fd); /* law L3 */
    rig_read(rig, conn, UINT32_MAX);
    assert_int_equal(rig_state(rig, conn), CONN_FREE);
    rig_run(rig);
    assert_int_equal(fake_slot_fd(rig->engine, slot_index), -1);
    assert_string_equal(control_said(rig), "released file#2, ");
}

static void closing_waits_for_the_receive(void **state)
{
    struct rig *rig = start(state);
    fake_hold_cancels(rig->engine, true);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file"));
    rig_end(rig, conn, ENGINE_READ, -EIO);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_request(rig, conn, "more"); /* what comes until then is dropped, its buffer goes back */
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_end(rig, conn, ENGINE_RECEIVE, -ECONNRESET);
    assert_true(rig_is_closed(rig, conn));
}

static void closing_waits_for_a_poll(void **state)
{
    struct rig *rig = *state;
    rig->settings.sendfile_bytes = 1;
    rig_start(rig);
    version_put(rig, version_file(rig, "file", 10000000)); /* more than a socket holds */
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file"));
    assert_true(rig_is_in_flight(rig, conn, ENGINE_POLL));
    rig_end(rig, conn, ENGINE_RECEIVE, -ECONNRESET);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_end(rig, conn, ENGINE_POLL, POLLHUP);
    assert_int_equal(rig_state(rig, conn), CONN_FREE);
    assert_int_equal(RIG_COUNTER(rig, aborted_peer), 1);
}

static void closing_is_asked_for_once(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = conn_in(rig, CONN_CLOSING);
    rig_pass_ms(rig, 3 * LINGER_TIMEOUT_MS); /* its deadline does nothing */
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_end(rig, conn, ENGINE_SEND, -EPIPE);
    assert_true(rig_is_closed(rig, conn));
    assert_int_equal(RIG_COUNTER(rig, aborted_peer), 1);
}

/* ---- events that nobody waits for ---- */

static void stale_events_are_counted_and_dropped(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token old = rig_open(rig);
    rig_end(rig, old, ENGINE_RECEIVE, 0);
    const struct engine_token new = rig_open(rig);
    assert_int_equal(new.index, old.index);
    assert_int_not_equal(new.generation, old.generation);
    rig_request(rig, new, "GET /");

    static const enum engine_op ops[] = {ENGINE_RECEIVE, ENGINE_SEND, ENGINE_READ, ENGINE_POLL};
    const struct engine_token wrong[] = {
        old,
        {.index = new.index, .generation = new.generation + 1},
        {.index = 3, .generation = 1},       /* a place that was never used */
        {.index = 1000000, .generation = 1}, /* no place */
    };
    uint32_t stale_count = 0;
    for (size_t op = 0; op < ARRAY_COUNT(ops); op++) {
        for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
            fake_push(rig->engine, (struct engine_event){.op = ops[op],
                                                         .token = wrong[i],
                                                         .result = -ECONNRESET,
                                                         .buffer_id = ENGINE_BUFFER_NONE});
            rig_turn(rig);
            assert_int_equal(RIG_COUNTER(rig, engine_stale), ++stale_count);
        }
    }
    assert_int_equal(rig_state(rig, new), CONN_RECEIVING);
    rig_request(rig, new, "a HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_finish(rig, new);
    assert_answers(rig, new, "200 alpha, ");
}

static void generations_wrap_within_their_bits(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token first = rig_open(rig);
    rig_end(rig, first, ENGINE_RECEIVE, 0);
    rig->worker->conns[first.index].generation = ENGINE_GENERATION_MASK;
    const struct engine_token wrapped = rig_open(rig);
    assert_int_equal(wrapped.index, first.index);
    assert_int_equal(wrapped.generation, 0);
    rig_request(rig, wrapped, GET("/a"));
    rig_finish(rig, wrapped);
    assert_answers(rig, wrapped, "200 alpha, ");
}

/* ---- the last answer ---- */

static void last_answer_is_followed_by_a_shutdown_and_lingering(void **state)
{
    struct rig *rig = start(state);
    static const char *const requests[] = {
        "GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", /* never read as a body */
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        const struct engine_token conn = rig_open(rig);
        rig_receive(rig, conn, requests[i]);
        rig_receive(rig, conn, GET("/a")); /* not answered any more */
        rig_turn(rig);
        rig_finish(rig, conn);
        assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
        assert_int_equal(strncmp(rig_answers(rig, conn), "200 alpha", 9), 0);
        assert_null(strstr(rig_answers(rig, conn) + 3, "200"));
        char byte;
        assert_int_equal(recv(rig_peer_fd(rig, conn), &byte, 1, MSG_DONTWAIT), 0);
        rig_request(rig, conn, "whatever");
        assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
        rig_end(rig, conn, ENGINE_RECEIVE, 0);
        assert_true(rig_is_closed(rig, conn));
    }
    assert_int_equal(RIG_COUNTER(rig, requests), 3);
}

static void http_1_0_connection_is_kept_when_asked_for(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    static const char request[] = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for (int i = 0; i < 2; i++) {
        rig_request(rig, conn, request);
        rig_finish(rig, conn);
        assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    }
    assert_answers(rig, conn, "200 alpha, 200 alpha, ");
    assert_non_null(strstr(rig_raw(rig, conn), "Connection: keep-alive\r\n"));
}

static void lingering_takes_so_many_bytes(void **state)
{
    struct rig *rig = start(state);
    static const uint8_t flood[RECEIVE_BUFFER_BYTES];
    const struct engine_token conn = conn_in(rig, CONN_LINGERING);
    for (uint32_t bytes = 0; bytes < LINGER_BYTES_MAX; bytes += sizeof(flood)) {
        assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
        rig_receive_bytes(rig, conn, span_of(flood, sizeof(flood)));
        rig_turn(rig);
    }
    assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
    rig_request(rig, conn, "x");
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_true(rig_is_closed(rig, conn));
}

static void lingering_goes_on_when_buffers_are_short(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = conn_in(rig, CONN_LINGERING);
    rig_end(rig, conn, ENGINE_RECEIVE, -ENOBUFS);
    assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_true(rig_is_closed(rig, conn));
}

/* A receive that was paused by a flood ends while the connection lingers already. */
static void lingering_resumes_a_paused_receive(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    static const char filler[2 * INPUT_PAUSE_BYTES];
    rig_request(rig, conn, "GET /a HTTP/1.0\r\n\r\n");
    fake_hold_cancels(rig->engine, true);
    rig_receive_bytes(rig, conn, span_of(filler, sizeof(filler)));
    rig_turn(rig);
    assert_true(rig_conn(rig, conn)->is_pausing);
    rig_finish(rig, conn);
    assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
    rig_end(rig, conn, ENGINE_RECEIVE, -ECANCELED);
    assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_true(rig_is_closed(rig, conn));
}

/* An answer that is broken must not look complete: the peer gets a reset (law L7). */
static void abort_resets_the_connection(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open_tcp(rig);
    rig_request(rig, conn, GET("/file"));
    rig_end(rig, conn, ENGINE_READ, -EIO);
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_FREE);
    char byte;
    ssize_t got = recv(rig_peer_fd(rig, conn), &byte, 1, 0);
    assert_int_equal(got, -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(RIG_COUNTER(rig, aborted_read), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(end_of_stream_closes_who_has_nothing_under_way),
        TEST(end_of_stream_lets_the_answer_under_way_leave),
        TEST(end_of_stream_lets_a_parked_request_be_answered),
        TEST(end_of_stream_behind_pipelined_requests_drops_none),
        TEST(error_of_receive_closes_in_each_state),
        TEST(error_of_send_closes_and_is_counted),
        TEST(parked_connections_leave_in_any_order),
        TEST(closing_waits_for_a_send),
        TEST(closing_waits_for_a_read_and_keeps_the_slot),
        TEST(closing_waits_for_the_receive),
        TEST(closing_waits_for_a_poll),
        TEST(closing_is_asked_for_once),
        TEST(stale_events_are_counted_and_dropped),
        TEST(generations_wrap_within_their_bits),
        TEST(last_answer_is_followed_by_a_shutdown_and_lingering),
        TEST(http_1_0_connection_is_kept_when_asked_for),
        TEST(lingering_takes_so_many_bytes),
        TEST(lingering_goes_on_when_buffers_are_short),
        TEST(lingering_resumes_a_paused_receive),
        TEST(abort_resets_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
