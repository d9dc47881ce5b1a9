/*
 * What a connection does with its input: whole and split requests, pipelines, floods.
 */
#include "server/worker/conn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"
#include "server/worker/worker_turn.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* A started rig whose worker holds "a" and "b" in memory. */
static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig_start(rig);
    version_put(rig, version_memory(rig, "a", "alpha"));
    version_put(rig, version_memory(rig, "b", "beta"));
    return rig;
}

static void assert_answers(struct rig *rig, struct engine_token conn, const char *expected)
{
    assert_string_equal(rig_answers(rig, conn), expected);
}

/* `count` times `answer`, compared with all that was sent. */
static void
assert_answers_repeat(struct rig *rig, struct engine_token conn, const char *answer, size_t count)
{
    const char *rest = rig_answers(rig, conn);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(rest, answer, strlen(answer)) != 0) {
            fail_msg("answer %zu of %zu: %.60s", i + 1, count, rest);
        }
        rest += strlen(answer);
    }
    assert_string_equal(rest, "");
}

static void request_in_one_piece_is_answered(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    assert_int_equal(rig_state(rig, conn), CONN_SENDING);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, ");
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    assert_int_equal(RIG_COUNTER(rig, requests), 1);
    assert_int_equal(RIG_COUNTER(rig, responses_2xx), 1);
    assert_int_equal(RIG_COUNTER(rig, bodies_memory), 1);
    assert_int_equal(RIG_COUNTER(rig, bytes_sent), strlen(rig_raw(rig, conn)));
}

static void request_is_answered_at_every_split(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    const struct span request = SPAN(GET("/a"));
    for (size_t at = 1; at < request.bytes; at++) {
        rig_receive_bytes(rig, conn, span_of(request.ptr, at));
        rig_turn(rig);
        assert_int_equal(rig_state(rig, conn), CONN_RECEIVING);
        rig_receive_bytes(rig, conn, span_skip(request, at));
        rig_turn(rig);
        rig_finish(rig, conn);
        assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    }
    assert_answers_repeat(rig, conn, "200 alpha, ", request.bytes - 1);
}

static void request_is_answered_byte_by_byte(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    const struct span request = SPAN(GET("/b"));
    for (size_t i = 0; i < request.bytes; i++) {
        rig_receive_bytes(rig, conn, span_of(request.ptr + i, 1));
        if (i % 3 == 0) { /* one, and three, in a turn */
            rig_turn(rig);
        }
    }
    rig_turn(rig);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 beta, ");
}

static void pipelined_requests_in_one_event_share_a_send(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a") GET("/b") GET("/a"));
    fake_send_all(rig->engine, conn);
    rig_run(rig);
    assert_answers(rig, conn, "200 alpha, 200 beta, 200 alpha, ");
    assert_int_equal(fake_verb_count(rig->engine, FAKE_START_SEND), 1);
    assert_int_equal(RIG_COUNTER(rig, requests), 3);
}

static void pipelined_requests_are_answered_at_every_split(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    const struct span requests = SPAN(GET("/a") GET("/b"));
    for (size_t at = 1; at < requests.bytes; at++) {
        rig_receive_bytes(rig, conn, span_of(requests.ptr, at));
        rig_turn(rig);
        rig_receive_bytes(rig, conn, span_skip(requests, at)); /* while the first is being sent */
        rig_turn(rig);
        rig_finish(rig, conn);
        assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    }
    assert_answers_repeat(rig, conn, "200 alpha, 200 beta, ", requests.bytes - 1);
}

static void pipelined_requests_over_several_events_of_a_turn_keep_their_order(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_receive(rig, conn, GET("/a") "GET ");
    rig_receive(rig, conn, "/b HTTP/1.1\r\nHost:");
    rig_receive(rig, conn, " x\r\n\r\n" GET("/a") GET("/b"));
    rig_turn(rig);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, 200 beta, 200 alpha, 200 beta, ");
}

/* The answers before it leave first; the question is put then. */
static void pipelined_miss_waits_behind_the_answers_before_it(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a") GET("/new") GET("/b"));
    assert_int_equal(rig_state(rig, conn), CONN_SENDING);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, ");
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    assert_string_equal(control_said(rig), "miss new, ");
    control_load(rig, 200, version_memory(rig, "new", "novum"));
    rig_run(rig);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, 200 novum, 200 beta, ");
}

/* The loader's answer may come before the answers in front have left. */
static void pipelined_miss_is_answered_while_a_send_is_in_flight(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    const struct engine_token other = rig_open(rig);
    rig_request(rig, other, GET("/new"));
    rig_request(rig, conn, GET("/a") GET("/new"));
    control_load(rig, 200, version_memory(rig, "new", "novum"));
    rig_run(rig);
    rig_finish(rig, other);
    rig_finish(rig, conn);
    assert_answers(rig, other, "200 novum, ");
    assert_answers(rig, conn, "200 alpha, 200 novum, ");
}

static void pipelined_requests_beyond_one_output_buffer_are_all_answered(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    char body[4001];
    memset(body, 'x', sizeof(body) - 1);
    body[4000] = '\0';
    version_put(rig, version_memory(rig, "big", body)); /* copied behind its head */
    static const char one[] = GET("/big");
    char many[60 * sizeof(one)] = "";
    for (size_t i = 0; i < 60; i++) {
        memcpy(many + i * (sizeof(one) - 1), one, sizeof(one));
    }
    rig_request(rig, conn, many);
    rig_finish(rig, conn);
    assert_answers_repeat(rig, conn, "200 xxxxxxxxxxxxxxxx..4000, ", 60);
    assert_true(fake_verb_count(rig->engine, FAKE_START_SEND) > 3);
}

static void refusal_follows_the_answers_before_it_and_closes(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a") "NONSENSE\r\n\r\n" GET("/b"));
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, 400 close, ");
    assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
}

/* A redirect with a long query is the largest of pages. */
static void refusal_fits_behind_the_largest_page(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    char target[8000];
    memset(target, 'q', sizeof(target) - 1);
    target[sizeof(target) - 1] = '\0';
    char request[9000];
    (void)snprintf(request, sizeof(request), GET("/dir?%s") "\x01\r\n\r\n", target);
    rig_request(rig, conn, request);
    control_load(rig, 301, NULL);
    rig_run(rig);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "301, 400 close, ");
}

/* While an answer is under way more input is held, up to a point. */
static void flood_pauses_receiving_and_loses_nothing(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    static const char one[] = GET("/a");
    const size_t one_bytes = sizeof(one) - 1;
    const size_t count = 20 * RECEIVE_BUFFER_BYTES / one_bytes;
    char *many = malloc(count * one_bytes);
    assert_non_null(many);
    for (size_t i = 0; i < count; i++) {
        memcpy(many + i * one_bytes, one, one_bytes);
    }
    struct span rest = span_of(many, count * one_bytes);
    rig_receive_bytes(rig, conn, span_of(many, one_bytes)); /* the answer under way */
    rig_turn(rig);
    rest = span_skip(rest, one_bytes);

    fake_hold_cancels(rig->engine, true);
    const size_t few = INPUT_PAUSE_BYTES; /* this much is held without a pause */
    rig_receive_bytes(rig, conn, span_of(rest.ptr, few));
    rig_turn(rig);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_CANCEL), 0);
    rig_receive_bytes(rig, conn, span_of(rest.ptr + few, 1)); /* and this is too much */
    rig_turn(rig);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_CANCEL), 1);
    assert_true(rig_conn(rig, conn)->is_pausing);
    rig_receive_bytes(rig, conn, span_skip(rest, few + 1)); /* what was on its way */
    rig_turn(rig);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_CANCEL), 1); /* asked for once */
    rig_end(rig, conn, ENGINE_RECEIVE, -ECANCELED);
    assert_false(rig_is_in_flight(rig, conn, ENGINE_RECEIVE));

    rig_finish(rig, conn);
    assert_true(rig_is_in_flight(rig, conn, ENGINE_RECEIVE)); /* resumed */
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    assert_answers_repeat(rig, conn, "200 alpha, ", count);
    assert_int_equal(RIG_COUNTER(rig, input_full), 0);
    rig_request(rig, conn, GET("/b"));
    free(many);
}

/* The pause may lose the race: everything was answered, and the cancelled receive's end comes. */
static void pause_that_ends_after_the_answers_is_resumed(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    fake_hold_cancels(rig->engine, true);
    char head[INPUT_PAUSE_BYTES + 200];
    (void)snprintf(head, sizeof(head), "GET /b HTTP/1.1\r\nHost: x\r\nX: %02100d\r\n\r\n", 0);
    rig_request(rig, conn, head);
    assert_true(rig_conn(rig, conn)->is_pausing);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, 200 beta, ");
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    rig_end(rig, conn, ENGINE_RECEIVE, -ECANCELED);
    assert_true(rig_is_in_flight(rig, conn, ENGINE_RECEIVE));
    rig_request(rig, conn, GET("/a"));
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, 200 beta, 200 alpha, ");
}

/* One entry into the kernel may fill all receive buffers for one connection. */
static void burst_of_all_receive_buffers_is_held(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    static const char one[] = GET("/a");
    const size_t one_bytes = sizeof(one) - 1;
    const size_t count = 200 * RECEIVE_BUFFER_BYTES / one_bytes;
    char *many = malloc(count * one_bytes);
    assert_non_null(many);
    for (size_t i = 0; i < count; i++) {
        memcpy(many + i * one_bytes, one, one_bytes);
    }
    rig_request(rig, conn, GET("/b"));
    fake_hold_cancels(rig->engine, true);
    rig_receive_bytes(rig, conn, span_of(many, count * one_bytes));
    rig_turn(rig);
    assert_int_equal(rig_state(rig, conn), CONN_SENDING);
    assert_true(rig->worker->input_store.overflow_count > 0);
    rig_finish(rig, conn);
    assert_int_equal(rig->worker->input_store.overflow_count, 0);
    assert_int_equal(RIG_COUNTER(rig, requests), count + 1);
    assert_int_equal(RIG_COUNTER(rig, input_full), 0);
    free(many);
}

static void flood_beyond_every_overflow_buffer_closes_and_is_counted(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    static const uint8_t spaces[100 * RECEIVE_BUFFER_BYTES];
    rig_request(rig, conn, GET("/a"));
    fake_hold_cancels(rig->engine, true);
    size_t held_bytes = 0;
    while (rig_state(rig, conn) == CONN_SENDING) {
        rig_receive_bytes(rig, conn, span_of(spaces, sizeof(spaces)));
        rig_turn(rig);
        held_bytes += sizeof(spaces);
        assert_true(held_bytes < 100 * CONN_BUFFER_BYTES);
    }
    assert_true(held_bytes > INPUT_OVERFLOW_MAX * CONN_BUFFER_BYTES / 2);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    assert_int_equal(RIG_COUNTER(rig, input_full), 1);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING); /* the send has its memory still */
    rig_end(rig, conn, ENGINE_SEND, -EPIPE);
    assert_true(rig_is_closed(rig, conn));
    assert_int_equal(rig->worker->input_store.overflow_count, 0);
}

static void head_larger_than_any_is_refused(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    char filler[2000];
    memset(filler, 'x', sizeof(filler));
    rig_request(rig, conn, "GET /a HTTP/1.1\r\nHost: x\r\nX: ");
    for (int i = 0; i < 20 && rig_state(rig, conn) == CONN_RECEIVING; i++) {
        rig_receive_bytes(rig, conn, span_of(filler, sizeof(filler)));
        rig_turn(rig);
    }
    rig_finish(rig, conn);
    assert_answers(rig, conn, "431 close, ");
}

static const int32_t passing_ends[] = {-ENOBUFS, -EAGAIN, -EINTR, -ECANCELED};

static void receive_that_ends_in_passing_is_armed_again(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    for (size_t i = 0; i < sizeof(passing_ends) / sizeof(passing_ends[0]); i++) {
        rig_end(rig, conn, ENGINE_RECEIVE, passing_ends[i]);
        assert_true(rig_is_in_flight(rig, conn, ENGINE_RECEIVE));
        assert_int_equal(rig_state(rig, conn), CONN_IDLE);
        rig_request(rig, conn, "GET /a ");
        rig_end(rig, conn, ENGINE_RECEIVE, passing_ends[i]);
        assert_true(rig_is_in_flight(rig, conn, ENGINE_RECEIVE));
        assert_int_equal(rig_state(rig, conn), CONN_RECEIVING);
        rig_request(rig, conn, "HTTP/1.1\r\nHost: x\r\n\r\n");
        rig_end(rig, conn, ENGINE_RECEIVE, passing_ends[i]);
        assert_false(rig_is_in_flight(rig, conn, ENGINE_RECEIVE)); /* not wanted while sending */
        rig_finish(rig, conn);
        assert_true(rig_is_in_flight(rig, conn, ENGINE_RECEIVE));
    }
    assert_answers_repeat(rig, conn, "200 alpha, ", 4);
}

/* The last event of a receive may bring data, too. */
static void data_of_the_last_receive_event_is_taken(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    static const char request[] = GET("/a");
    fake_end(rig->engine, ENGINE_RECEIVE, conn, sizeof(request) - 1);
    struct engine_event last;
    assert_int_equal(engine_wait(rig->engine, &last, 1), 1);
    last.data = (const uint8_t *)request;
    worker_turn(rig->worker, &last, 1);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(request_in_one_piece_is_answered),
        TEST(request_is_answered_at_every_split),
        TEST(request_is_answered_byte_by_byte),
        TEST(pipelined_requests_in_one_event_share_a_send),
        TEST(pipelined_requests_are_answered_at_every_split),
        TEST(pipelined_requests_over_several_events_of_a_turn_keep_their_order),
        TEST(pipelined_miss_waits_behind_the_answers_before_it),
        TEST(pipelined_miss_is_answered_while_a_send_is_in_flight),
        TEST(pipelined_requests_beyond_one_output_buffer_are_all_answered),
        TEST(refusal_follows_the_answers_before_it_and_closes),
        TEST(refusal_fits_behind_the_largest_page),
        TEST(flood_pauses_receiving_and_loses_nothing),
        TEST(pause_that_ends_after_the_answers_is_resumed),
        TEST(burst_of_all_receive_buffers_is_held),
        TEST(flood_beyond_every_overflow_buffer_closes_and_is_counted),
        TEST(head_larger_than_any_is_refused),
        TEST(receive_that_ends_in_passing_is_armed_again),
        TEST(data_of_the_last_receive_event_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
