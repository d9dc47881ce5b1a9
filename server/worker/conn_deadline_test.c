/*
 * What a connection's deadline does in each of its states. The clock moves only when the test says.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "server/worker/conn.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

#define HEADER_MS 10000
#define IDLE_MS   60000
#define SEND_MS   30000

/* A deadline is kept to within one tick. */
#define TICK_MS 500

static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig->settings.header_timeout_ms = HEADER_MS;
    rig->settings.idle_timeout_ms = IDLE_MS;
    rig->settings.send_timeout_ms = SEND_MS;
    rig_start(rig);
    version_put(rig, version_memory(rig, "a", "alpha"));
    return rig;
}

static void assert_answers(struct rig *rig, struct engine_token conn, const char *expected)
{
    assert_string_equal(rig_answers(rig, conn), expected);
}

static void tick_stops_when_there_is_nothing_to_wait_for(void **state)
{
    struct rig *rig = start(state);
    assert_null(fake_find(rig->engine, ENGINE_TIMEOUT, RIG_WORKER_TOKEN));
    const struct engine_token conn = rig_open(rig);
    const struct fake_operation *tick = fake_find(rig->engine, ENGINE_TIMEOUT, RIG_WORKER_TOKEN);
    assert_non_null(tick);
    assert_int_equal(tick->timeout_ns, TICK_MS * NS_PER_MS);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    rig_pass_ms(rig, TICK_MS);
    assert_null(fake_find(rig->engine, ENGINE_TIMEOUT, RIG_WORKER_TOKEN));
}

static void tick_is_finer_for_short_timeouts(void **state)
{
    struct rig *rig = *state;
    rig->settings.header_timeout_ms = 100;
    rig_start(rig);
    (void)rig_open(rig);
    const struct fake_operation *tick = fake_find(rig->engine, ENGINE_TIMEOUT, RIG_WORKER_TOKEN);
    assert_int_equal(tick->timeout_ns, 25 * NS_PER_MS);
}

static void silent_newcomer_has_the_time_of_a_head(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_pass_ms(rig, HEADER_MS - TICK_MS);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    rig_pass_ms(rig, 2 * TICK_MS);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_answers(rig, conn, "");
    assert_int_equal(RIG_COUNTER(rig, timeouts_idle), 1);
}

static void idle_connection_is_closed(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    rig_finish(rig, conn);
    rig_pass_ms(rig, IDLE_MS - TICK_MS);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    rig_pass_ms(rig, 2 * TICK_MS);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_true(rig_is_closed(rig, conn));
    assert_answers(rig, conn, "200 alpha, ");
    assert_int_equal(RIG_COUNTER(rig, timeouts_idle), 1);
}

static void idle_time_begins_anew_after_each_answer(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    for (int i = 0; i < 3; i++) {
        rig_request(rig, conn, GET("/a"));
        rig_finish(rig, conn);
        rig_pass_ms(rig, IDLE_MS - 2 * TICK_MS);
    }
    assert_answers(rig, conn, "200 alpha, 200 alpha, 200 alpha, ");
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
}

static void head_that_does_not_end_is_answered_with_408(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, "GET /a HTTP/1.1\r\nHost: x\r\n");
    for (int passed_ms = 0; passed_ms < HEADER_MS - TICK_MS; passed_ms += TICK_MS) {
        assert_int_equal(rig_state(rig, conn), CONN_RECEIVING);
        rig_pass_ms(rig, TICK_MS);
        rig_request(rig, conn, "X: y\r\n"); /* dripping in does not help */
    }
    rig_pass_ms(rig, 2 * TICK_MS);
    assert_int_equal(rig_state(rig, conn), CONN_SENDING);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "408 close, ");
    assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
    assert_int_equal(RIG_COUNTER(rig, timeouts_header), 1);
    assert_int_equal(RIG_COUNTER(rig, responses_4xx), 1);
}

static void head_behind_an_answer_has_its_own_time(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a") "GET /");
    rig_pass_ms(rig, HEADER_MS - TICK_MS);
    rig_finish(rig, conn);
    assert_int_equal(rig_state(rig, conn), CONN_RECEIVING);
    rig_pass_ms(rig, HEADER_MS - TICK_MS);
    assert_int_equal(rig_state(rig, conn), CONN_RECEIVING);
    rig_pass_ms(rig, 2 * TICK_MS);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "200 alpha, 408 close, ");
}

static void parked_request_is_answered_with_503(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/slow") GET("/a"));
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    rig_pass_ms(rig, SEND_MS - TICK_MS);
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    rig_pass_ms(rig, 2 * TICK_MS);
    rig_finish(rig, conn);
    assert_answers(rig, conn, "503, 200 alpha, ");
    assert_non_null(strstr(rig_raw(rig, conn), "Retry-After: 1\r\n"));

    /* The answer comes late: it is for the next who asks. */
    control_load(rig, 200, version_memory(rig, "slow", "at last"));
    rig_run(rig);
    rig_request(rig, conn, GET("/slow"));
    rig_finish(rig, conn);
    assert_answers(rig, conn, "503, 200 alpha, 200 at last, ");
}

static void each_of_those_parked_at_one_question_has_its_own_deadline(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token first = rig_open(rig);
    rig_request(rig, first, GET("/slow"));
    rig_pass_ms(rig, SEND_MS / 3);
    const struct engine_token second = rig_open(rig);
    rig_request(rig, second, GET("/slow"));
    rig_pass_ms(rig, SEND_MS / 3);
    const struct engine_token third = rig_open(rig);
    rig_request(rig, third, GET("/slow"));
    rig_pass_ms(rig, SEND_MS / 3 + TICK_MS);
    rig_finish(rig, first);
    assert_answers(rig, first, "503, ");
    assert_int_equal(rig_state(rig, second), CONN_PARKED);
    control_load(rig, 200, version_memory(rig, "slow", "at last"));
    rig_run(rig);
    rig_finish(rig, second);
    rig_finish(rig, third);
    assert_answers(rig, second, "200 at last, ");
    assert_answers(rig, third, "200 at last, ");
    assert_int_equal(RIG_COUNTER(rig, misses), 1);
}

static void joined_request_gets_503_at_its_deadline_too(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token first = rig_open(rig);
    const struct engine_token second = rig_open(rig);
    rig_request(rig, first, GET("/slow"));
    rig_request(rig, second, GET("/slow"));
    rig_pass_ms(rig, SEND_MS + TICK_MS);
    rig_finish(rig, first);
    rig_finish(rig, second);
    assert_answers(rig, first, "503, ");
    assert_answers(rig, second, "503, ");
    assert_int_equal(RIG_COUNTER(rig, misses), 1); /* and nothing is asked again */
}

/* ---- sending ---- */

static void fill_socket(int fd)
{
    static const char filler[65536];
    while (send(fd, filler, sizeof(filler), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
}

static void drain_socket(int fd, size_t bytes)
{
    static char sink[65536];
    while (bytes > 0) {
        const ssize_t got = recv(fd, sink, bytes < sizeof(sink) ? bytes : sizeof(sink), 0);
        assert_true(got > 0);
        bytes -= (size_t)got;
    }
}

static uint64_t acked_bytes(int fd)
{
    struct tcp_info info;
    socklen_t info_bytes = sizeof(info);
    const bool is_tcp = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_bytes) == 0;
    return is_tcp ? info.tcpi_bytes_acked : 0;
}

/*
 * The peer takes bytes: more than the kernel keeps in one piece. Over TCP that is seen once it is
 * acknowledged; a unix socket shows it by the length of its queue alone, so nothing is put in anew.
 */
static void take_some(struct rig *rig, struct engine_token conn, bool is_tcp)
{
    const int fd = rig_conn(rig, conn)->fd;
    const uint64_t before = acked_bytes(fd);
    drain_socket(rig_peer_fd(rig, conn), is_tcp ? 1000000 : 50000);
    if (is_tcp) {
        fill_socket(fd);
    }
    while (is_tcp && acked_bytes(fd) == before) {
        (void)sched_yield(); /* cannot fail */
    }
}

/* The fake sends nothing: what the peer would have to take is put into the socket by hand. */
static struct engine_token start_stuck_send(struct rig *rig, bool is_tcp)
{
    const struct engine_token conn = is_tcp ? rig_open_tcp(rig) : rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    fill_socket(rig_conn(rig, conn)->fd);
    return conn;
}

static void stalled_send_is_cut_off(void **state)
{
    struct rig *rig = start(state);
    fake_hold_cancels(rig->engine, true);
    for (uint32_t is_tcp = 0; is_tcp < 2; is_tcp++) {
        const struct engine_token conn = start_stuck_send(rig, is_tcp == 1);
        rig_pass_ms(rig, SEND_MS - TICK_MS);
        assert_int_equal(rig_state(rig, conn), CONN_SENDING);
        rig_pass_ms(rig, SEND_MS + 3 * TICK_MS); /* the first deadline may only take the measure */
        assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
        rig_end(rig, conn, ENGINE_RECEIVE, -ECANCELED);
        assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
        rig_end(rig, conn, ENGINE_SEND, -ECANCELED);
        assert_int_equal(rig_state(rig, conn), CONN_FREE);
        assert_int_equal(RIG_COUNTER(rig, timeouts_send), is_tcp + 1);
        assert_int_equal(RIG_COUNTER(rig, aborted_stalled), is_tcp + 1);
    }
    assert_int_equal(RIG_COUNTER(rig, aborted_peer), 0);
}

static void slow_send_that_moves_goes_on(void **state)
{
    struct rig *rig = start(state);
    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        const struct engine_token conn = start_stuck_send(rig, is_tcp == 1);
        for (int i = 0; i < 4; i++) {
            rig_pass_ms(rig, SEND_MS - TICK_MS);
            take_some(rig, conn, is_tcp == 1);
        }
        assert_int_equal(rig_state(rig, conn), CONN_SENDING);
        rig_finish(rig, conn);
        assert_answers(rig, conn, "200 alpha, ");
    }
    assert_int_equal(RIG_COUNTER(rig, timeouts_send), 0);
}

static void each_step_of_a_long_answer_moves_its_deadline(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "long", 500000));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/long"));
    int steps = 0;
    while (rig_state(rig, conn) == CONN_SENDING) {
        rig_pass_ms(rig, SEND_MS - TICK_MS);
        if (rig_is_in_flight(rig, conn, ENGINE_READ)) {
            rig_read(rig, conn, UINT32_MAX);
        } else {
            fake_send_all(rig->engine, conn);
            rig_turn(rig);
        }
        steps++;
    }
    assert_true(steps > 4);
    assert_answers(rig, conn, "200 0123456789abcdef..500000, ");
    assert_int_equal(RIG_COUNTER(rig, timeouts_send), 0);
}

static void lingering_ends(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, "GET /a HTTP/1.0\r\n\r\n");
    rig_finish(rig, conn);
    assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
    for (int passed_ms = 0; passed_ms < LINGER_TIMEOUT_MS - TICK_MS; passed_ms += TICK_MS) {
        rig_request(rig, conn, "more"); /* does not make it longer */
        rig_pass_ms(rig, TICK_MS);
        assert_int_equal(rig_state(rig, conn), CONN_LINGERING);
    }
    rig_pass_ms(rig, 2 * TICK_MS);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    rig_end(rig, conn, ENGINE_RECEIVE, 0);
    assert_true(rig_is_closed(rig, conn));
    assert_int_equal(RIG_COUNTER(rig, timeouts_idle), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tick_stops_when_there_is_nothing_to_wait_for),
        TEST(tick_is_finer_for_short_timeouts),
        TEST(silent_newcomer_has_the_time_of_a_head),
        TEST(idle_connection_is_closed),
        TEST(idle_time_begins_anew_after_each_answer),
        TEST(head_that_does_not_end_is_answered_with_408),
        TEST(head_behind_an_answer_has_its_own_time),
        TEST(parked_request_is_answered_with_503),
        TEST(each_of_those_parked_at_one_question_has_its_own_deadline),
        TEST(joined_request_gets_503_at_its_deadline_too),
        TEST(stalled_send_is_cut_off),
        TEST(slow_send_that_moves_goes_on),
        TEST(each_step_of_a_long_answer_moves_its_deadline),
        TEST(lingering_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
