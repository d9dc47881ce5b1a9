/*
 * Accepting: up to the limit, beyond it, and when there are no descriptors.
 */
#include "server/worker/acceptor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

#define TICK_MS 500

static struct rig *start(void **state, uint32_t connection_max, uint32_t listen_count)
{
    struct rig *rig = *state;
    rig->connection_max = connection_max;
    rig->listen_count = listen_count;
    rig_start(rig);
    version_put(rig, version_memory(rig, "a", "alpha"));
    return rig;
}

static struct engine_token listener(uint32_t index)
{
    return (struct engine_token){.index = index, .generation = 1};
}

static bool is_accepting(struct rig *rig, uint32_t index)
{
    return fake_find(rig->engine, ENGINE_ACCEPT, listener(index)) != NULL;
}

/* The newest connection that was accepted, whatever its state. */
static struct engine_token newest(struct rig *rig, int fd)
{
    for (uint32_t i = 0; i < rig->worker->conn_top; i++) {
        const struct conn *conn = &rig->worker->conns[i];
        if (conn->state != CONN_FREE && conn->fd == fd) {
            const struct engine_token token = {.index = i, .generation = conn->generation};
            rig->peers[rig->peer_count - 1].token = token;
            return token;
        }
    }
    fail_msg("the connection was not taken");
    return (struct engine_token){0};
}

/* Opens a connection and has it served once. */
static struct engine_token open_served(struct rig *rig)
{
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    rig_finish(rig, conn);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    return conn;
}

static void each_listener_is_accepted_on(void **state)
{
    struct rig *rig = start(state, 8, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(fake_find(rig->engine, ENGINE_ACCEPT, listener(i))->fd,
                         rig->listen_fds[i]);
        const int fd = rig_queue_accept(rig, i);
        rig_run(rig);
        assert_int_equal(rig_state(rig, newest(rig, fd)), CONN_IDLE);
    }
    assert_int_equal(RIG_COUNTER(rig, connections_accepted), 3);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_START_ACCEPT), 3);
    assert_int_equal(RIG_COUNTER(rig, connections_idle), 3);
}

/* The limit itself is reached without anybody having to go. */
static void last_place_is_given_without_a_victim(void **state)
{
    struct rig *rig = start(state, 1, 1);
    const struct engine_token conn = rig_open(rig);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    rig_request(rig, conn, GET("/a"));
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn), "200 alpha, ");
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
}

static void idle_connection_gives_way_to_a_newcomer(void **state)
{
    struct rig *rig = start(state, 2, 1);
    const struct engine_token first = open_served(rig);
    const struct engine_token second = open_served(rig);
    assert_true(is_accepting(rig, 0));
    const struct engine_token third = rig_open(rig);
    assert_int_equal(rig_state(rig, third), CONN_IDLE);
    assert_true((rig_state(rig, first) == CONN_CLOSING) !=
                (rig_state(rig, second) == CONN_CLOSING));
    rig_request(rig, third, GET("/a"));
    rig_finish(rig, third);
    assert_string_equal(rig_answers(rig, third), "200 alpha, ");
}

/* Who has not been served yet is not given up: newcomers would only chase each other away. */
static void connection_that_was_not_served_stays(void **state)
{
    struct rig *rig = start(state, 2, 1);
    const struct engine_token first = rig_open(rig);
    const struct engine_token second = rig_open(rig);
    assert_false(is_accepting(rig, 0)); /* the others wait in the listen queue */
    assert_int_equal(RIG_COUNTER(rig, connections_full), 1);
    rig_request(rig, first, GET("/a"));
    rig_finish(rig, first);
    rig_run(rig);
    assert_true(is_accepting(rig, 0)); /* now there is one that may go */
    assert_int_equal(rig_state(rig, second), CONN_IDLE);
}

static void newcomers_beyond_the_limit_wait_their_turn(void **state)
{
    struct rig *rig = start(state, 2, 1);
    const struct engine_token busy[2] = {rig_open(rig), rig_open(rig)};
    rig_request(rig, busy[0], GET("/unknown"));
    rig_request(rig, busy[1], GET("/unknown"));
    rig_run(rig);
    assert_false(is_accepting(rig, 0));
    rig_end(rig, busy[1], ENGINE_RECEIVE, -ECONNRESET); /* a place: accepting goes on */
    assert_true(is_accepting(rig, 0));

    fake_hold_cancels(rig->engine, true);
    struct engine_token late[3]; /* all in the kernel's hands before it could be stopped */
    for (int i = 0; i < 3; i++) {
        const int fd = rig_queue_accept(rig, 0);
        rig_turn(rig);
        late[i] = newest(rig, fd);
    }
    assert_int_equal(rig_state(rig, late[0]), CONN_IDLE);
    assert_int_equal(rig_state(rig, late[1]), CONN_WAITING);
    assert_int_equal(rig_state(rig, late[2]), CONN_WAITING);
    assert_false(rig_is_in_flight(rig, late[1], ENGINE_RECEIVE)); /* not read from */
    fake_hold_cancels(rig->engine, false);
    fake_end(rig->engine, ENGINE_ACCEPT, listener(0), -ECANCELED);
    rig_run(rig);
    assert_false(is_accepting(rig, 0));

    rig_request(rig, late[0], GET("/a")); /* served, it gives way to the first in line */
    rig_finish(rig, late[0]);
    rig_run(rig);
    assert_int_equal(rig_state(rig, late[0]), CONN_CLOSING);
    assert_int_equal(rig_state(rig, late[1]), CONN_IDLE);
    assert_int_equal(rig_state(rig, late[2]), CONN_WAITING);
    rig_request(rig, late[1], GET("/a"));
    rig_finish(rig, late[1]);
    rig_run(rig);
    assert_int_equal(rig_state(rig, late[2]), CONN_IDLE);
    assert_string_equal(rig_answers(rig, late[0]), "200 alpha, ");
    assert_string_equal(rig_answers(rig, late[1]), "200 alpha, ");
}

static void newcomers_beyond_every_spare_place_are_closed_and_counted(void **state)
{
    struct rig *rig = start(state, 1, 1);
    const struct engine_token busy = rig_open(rig);
    rig_request(rig, busy, GET("/unknown"));
    rig_run(rig);
    rig_end(rig, busy, ENGINE_RECEIVE, 0); /* still parked */
    fake_hold_cancels(rig->engine, true);
    if (!is_accepting(rig, 0)) {
        rig->worker->conn_max++; /* as if it had ended a turn later */
        rig_turn(rig);
        rig->worker->conn_max--;
        assert_true(is_accepting(rig, 0));
    }
    for (int i = 0; i < CONN_SPARE_COUNT; i++) {
        (void)rig_queue_accept(rig, 0);
    }
    rig_turn(rig);
    const uint64_t before = RIG_COUNTER(rig, connections_full);
    assert_int_equal(rig->worker->conn_count, rig->worker->place_count);
    const int fd = rig_queue_accept(rig, 0);
    rig_turn(rig);
    assert_int_equal(fake_close_count(rig->engine, fd), 1);
    assert_int_equal(RIG_COUNTER(rig, connections_full), before + 1);
    assert_int_equal(rig->worker->conn_count, rig->worker->place_count);
}

static void waiting_newcomer_has_a_deadline(void **state)
{
    struct rig *rig = start(state, 1, 1);
    rig->settings.idle_timeout_ms = 5000;
    const struct engine_token busy = rig_open(rig);
    fake_hold_cancels(rig->engine, true);
    rig->worker->conn_max++;
    rig_turn(rig);
    rig->worker->conn_max--;
    const int fd = rig_queue_accept(rig, 0);
    rig_turn(rig);
    const struct engine_token late = newest(rig, fd);
    assert_int_equal(rig_state(rig, late), CONN_WAITING);
    rig_request(rig, busy, GET("/unknown"));
    rig_pass_ms(rig, 5000 + TICK_MS);
    assert_true(rig_is_closed(rig, late));
    assert_int_equal(RIG_COUNTER(rig, timeouts_idle), 1);
    assert_int_equal(rig_state(rig, busy), CONN_PARKED);
}

static void want_of_descriptors_waits_for_the_tick(void **state)
{
    static const int32_t errors[] = {-EMFILE, -ENFILE, -ENOMEM, -ENOBUFS};
    struct rig *rig = start(state, 8, 2);
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        fake_end(rig->engine, ENGINE_ACCEPT, listener(0), errors[i]);
        rig_run(rig);
        assert_int_equal(RIG_COUNTER(rig, accept_failures), i + 1);
        assert_false(is_accepting(rig, 0)); /* at once, it would only fail again */
        for (int turn = 0; turn < 3; turn++) {
            rig_turn(rig);
            assert_false(is_accepting(rig, 0));
        }
        assert_non_null(fake_find(rig->engine, ENGINE_TIMEOUT, RIG_WORKER_TOKEN));
        rig_pass_ms(rig, TICK_MS);
        assert_true(is_accepting(rig, 0));
        assert_true(is_accepting(rig, 1));
    }
    assert_int_equal(RIG_COUNTER(rig, connections_full), 0);
}

static void want_of_descriptors_gives_up_an_idle_connection(void **state)
{
    struct rig *rig = start(state, 8, 1);
    const struct engine_token idle = open_served(rig);
    const struct engine_token fresh = rig_open(rig);
    fake_end(rig->engine, ENGINE_ACCEPT, listener(0), -EMFILE);
    rig_run(rig);
    assert_int_equal(rig_state(rig, idle), CONN_CLOSING);
    assert_int_equal(rig_state(rig, fresh), CONN_IDLE);
}

/* A drain is on its way; whoever closed the listener need not be chased at full speed. */
static void listener_that_was_shut_down_is_not_tried_at_once(void **state)
{
    struct rig *rig = start(state, 8, 2);
    fake_end(rig->engine, ENGINE_ACCEPT, listener(1), -EINVAL);
    rig_run(rig);
    assert_int_equal(RIG_COUNTER(rig, accept_failures), 0);
    assert_false(is_accepting(rig, 1));
    rig_pass_ms(rig, TICK_MS);
    assert_true(is_accepting(rig, 1));
}

/* The kernel may end one listener's accept for reasons of its own, with a connection or without. */
static void accept_that_ends_is_armed_again_by_itself(void **state)
{
    struct rig *rig = start(state, 8, 2);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fake_end(rig->engine, ENGINE_ACCEPT, listener(0), fds[0]);
    rig_run(rig);
    assert_int_equal(rig->worker->conn_count, 1);
    assert_true(is_accepting(rig, 0));
    fake_end(rig->engine, ENGINE_ACCEPT, listener(1), -ECANCELED);
    rig_run(rig);
    assert_true(is_accepting(rig, 0));
    assert_true(is_accepting(rig, 1));
    assert_int_equal(RIG_COUNTER(rig, accept_failures), 0);
    assert_int_equal(close(fds[1]), 0);
}

/* Crowds come and go: every connection is served in the end, and none exceeds the limit. */
static void crowd_is_served_through_few_places(void **state)
{
    struct rig *rig = start(state, 3, 1);
    uint32_t served = 0;
    for (int i = 0; i < 200; i++) {
        if (!is_accepting(rig, 0)) {
            rig_run(rig);
        }
        assert_true(is_accepting(rig, 0));
        const int fd = rig_queue_accept(rig, 0);
        rig_turn(rig);
        const struct engine_token conn = newest(rig, fd);
        if (rig_state(rig, conn) == CONN_IDLE) {
            rig_request(rig, conn, GET("/a"));
            rig_finish(rig, conn);
            served += strcmp(rig_answers(rig, conn), "200 alpha, ") == 0;
        }
        for (uint32_t at = 0; at < rig->worker->conn_top; at++) { /* the given-up ones end */
            const struct conn *closing = &rig->worker->conns[at];
            const struct engine_token token = {.index = at, .generation = closing->generation};
            if (closing->state == CONN_CLOSING) {
                rig_end(rig, token, ENGINE_RECEIVE, 0);
            }
        }
    }
    assert_int_equal(served, 200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_listener_is_accepted_on),
        TEST(last_place_is_given_without_a_victim),
        TEST(idle_connection_gives_way_to_a_newcomer),
        TEST(connection_that_was_not_served_stays),
        TEST(newcomers_beyond_the_limit_wait_their_turn),
        TEST(newcomers_beyond_every_spare_place_are_closed_and_counted),
        TEST(waiting_newcomer_has_a_deadline),
        TEST(want_of_descriptors_waits_for_the_tick),
        TEST(want_of_descriptors_gives_up_an_idle_connection),
        TEST(listener_that_was_shut_down_is_not_tried_at_once),
        TEST(accept_that_ends_is_armed_again_by_itself),
        TEST(crowd_is_served_through_few_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
