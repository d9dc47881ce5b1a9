/*
 * The end of a worker: DRAIN lets what is under way finish, STOP does not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/worker/acceptor.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"
#include "server/worker/worker_turn.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

#define TICK_MS 500

static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig->connection_max = 8;
    rig_start(rig);
    version_put(rig, version_memory(rig, "a", "alpha"));
    version_put(rig, version_file(rig, "file", 100000));
    return rig;
}

static void drain_of_an_idle_worker_is_told_once(void **state)
{
    struct rig *rig = start(state);
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    assert_string_equal(control_said(rig), "released a#1, released file#2, drained, ");
    assert_null(fake_find(rig->engine, ENGINE_ACCEPT, (struct engine_token){0, 1}));
    for (int i = 0; i < 3; i++) {
        rig_pass_ms(rig, TICK_MS);
    }
    assert_string_equal(control_said(rig), "");
}

static void drain_closes_who_has_nothing_under_way(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token idle = rig_open(rig);
    const struct engine_token receiving = rig_open(rig);
    const struct engine_token lingering = rig_open(rig);
    rig_request(rig, receiving, "GET /");
    rig_request(rig, lingering, "GET /a HTTP/1.0\r\n\r\n");
    rig_finish(rig, lingering);
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    assert_int_equal(rig_state(rig, idle), CONN_CLOSING);
    assert_int_equal(rig_state(rig, receiving), CONN_CLOSING);
    assert_int_equal(rig_state(rig, lingering), CONN_LINGERING); /* its answer is to arrive */
    rig_end(rig, idle, ENGINE_RECEIVE, 0);
    rig_end(rig, receiving, ENGINE_RECEIVE, 0);
    assert_int_equal(rig->control.drained_count, 0);
    rig_pass_ms(rig, LINGER_TIMEOUT_MS + TICK_MS);
    rig_end(rig, lingering, ENGINE_RECEIVE, 0);
    rig_run(rig);
    assert_non_null(strstr(control_said(rig), "drained, "));
}

static void drain_lets_an_answer_under_way_finish(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file"));
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_SENDING);
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn), "200 0123456789abcdef..100000, ");
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    rig_run(rig);
    assert_true(rig_is_closed(rig, conn));
    assert_string_equal(control_said(rig), "released a#1, released file#2, drained, ");
    assert_int_equal(RIG_COUNTER(rig, aborted_drain), 0);
}

/* The next answer says that it is the last; what was pipelined behind it is for another server. */
static void drain_closes_after_the_next_pipelined_answer(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file") GET("/a") GET("/a"));
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn), "200 0123456789abcdef..100000, 200 alpha close, ");
    assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_true(rig_is_closed(rig, conn));
}

static void drain_answers_a_request_of_the_same_turn(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    control_tell(rig, MESSAGE_DRAIN);
    rig_request(rig, conn, GET("/a"));
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn), "200 alpha close, ");
}

static void drain_answers_who_is_parked(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/new"));
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    control_load(rig, 200, version_memory(rig, "new", "novum"));
    rig_run(rig);
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn), "200 novum close, ");
}

static void drain_waits_for_the_answer_to_a_question_that_nobody_waits_for(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/new"));
    rig_end(rig, conn, ENGINE_RECEIVE, -ECONNRESET);
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    assert_string_equal(control_said(rig), "miss new, released a#1, released file#2, ");
    control_load(rig, 200, version_file(rig, "new", 10)); /* given too late: given back */
    rig_run(rig);
    assert_string_equal(control_said(rig), "released new#3, drained, ");
}

static void drain_waits_for_the_tags(void **state)
{
    struct rig *rig = start(state);
    fake_hold_releases(rig->engine, true);
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    assert_string_equal(control_said(rig), "released a#1, ");
    fake_hold_releases(rig->engine, false);
    rig_run(rig);
    assert_string_equal(control_said(rig), "released file#2, drained, ");
}

static void drain_gets_over_a_clear_that_fails(void **state)
{
    struct rig *rig = start(state);
    rig->failing_updates_count = 50; /* several times a turn it is tried again */
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    assert_string_equal(control_said(rig), "released a#1, ");
    while (rig->failing_updates_count > 0) {
        rig_pass_ms(rig, TICK_MS);
    }
    rig_pass_ms(rig, TICK_MS);
    assert_string_equal(control_said(rig), "released file#2, drained, ");
}

static void generation_is_applied_after_the_drain(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = rig->control.versions->next;
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    (void)control_said(rig);
    control_change(rig, a, version_memory(rig, "a", "two"));
    rig_run(rig);
    assert_string_equal(control_said(rig), "released a#3, applied 1, ");
}

static void newcomers_of_the_drain_are_closed(void **state)
{
    struct rig *rig = start(state);
    fake_hold_cancels(rig->engine, true);
    control_tell(rig, MESSAGE_DRAIN);
    rig_run(rig);
    (void)rig_queue_accept(rig, 0);
    (void)rig_queue_accept(rig, 0);
    rig_turn(rig);
    for (uint32_t i = 0; i < rig->worker->conn_top; i++) {
        assert_int_not_equal(rig->worker->conns[i].state, CONN_IDLE);
        assert_int_not_equal(rig->worker->conns[i].state, CONN_WAITING);
    }
}

static void stop_cuts_off_what_is_under_way_and_counts_it(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token idle = rig_open(rig);
    const struct engine_token sending = rig_open(rig);
    const struct engine_token parked = rig_open(rig);
    rig_request(rig, sending, GET("/file"));
    rig_request(rig, parked, GET("/new"));
    control_tell(rig, MESSAGE_STOP);
    rig_turn(rig);
    assert_true(rig->worker->is_stopping);
    worker_stop_engine(rig->worker);
    assert_int_equal(RIG_COUNTER(rig, aborted_drain), 2);
    const struct engine_token conns[] = {idle, sending, parked};
    for (int i = 0; i < 3; i++) {
        char byte;
        assert_int_equal(recv(rig_peer_fd(rig, conns[i]), &byte, 1, MSG_DONTWAIT), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(drain_of_an_idle_worker_is_told_once),
        TEST(drain_closes_who_has_nothing_under_way),
        TEST(drain_lets_an_answer_under_way_finish),
        TEST(drain_closes_after_the_next_pipelined_answer),
        TEST(drain_answers_a_request_of_the_same_turn),
        TEST(drain_answers_who_is_parked),
        TEST(drain_waits_for_the_answer_to_a_question_that_nobody_waits_for),
        TEST(drain_waits_for_the_tags),
        TEST(drain_gets_over_a_clear_that_fails),
        TEST(generation_is_applied_after_the_drain),
        TEST(newcomers_of_the_drain_are_closed),
        TEST(stop_cuts_off_what_is_under_way_and_counts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
