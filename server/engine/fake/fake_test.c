/*
 * The fake engine behaves as the worker's tests rely on.
 */
#include "server/engine/fake/fake.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/engine/fake/script.h"

static const struct engine_token one = {.index = 1, .generation = 10};
static const struct engine_token two = {.index = 2, .generation = 20};

static int set_up(void **state)
{
    const struct engine_config config = {
        .entry_count = 64, .slot_count = 8, .receive_buffer_count = 2, .receive_buffer_bytes = 16};
    *state = fake_create(&config);
    return 0;
}

static int tear_down(void **state)
{
    engine_destroy(*state);
    return 0;
}

static struct engine_event next_event(struct engine *engine)
{
    struct engine_event event;
    assert_int_equal(engine_wait(engine, &event, 1), 1);
    return event;
}

static void assert_no_event(struct engine *engine)
{
    struct engine_event event;
    assert_int_equal(engine_wait(engine, &event, 1), 0);
}

static void assert_released(struct engine *engine, uint32_t slot, uint32_t serial)
{
    const struct engine_event event = next_event(engine);
    assert_int_equal(event.op, ENGINE_FILE_RELEASED);
    assert_int_equal(event.token.index, slot);
    assert_int_equal(event.token.generation, serial);
}

static void records_what_is_started(void **state)
{
    struct engine *engine = *state;
    char memory[8];
    engine_start_accept(engine, one, 3);
    engine_start_receive(engine, one, 4);
    engine_start_poll(engine, one, 5, POLLOUT);
    engine_start_watch(engine, one, 6);
    engine_start_timeout(engine, one, 99);
    engine_start_read(engine, one, (struct engine_file){.number = 7}, memory, 8, 1000);
    engine_close_fd(engine, 4);
    assert_int_equal(fake_operation_count(engine), 7);
    assert_int_equal(fake_in_flight_count(engine), 6);
    assert_int_equal(fake_operation(engine, 0)->fd, 3);
    assert_int_equal(fake_find(engine, ENGINE_POLL, one)->poll_events, POLLOUT);
    assert_int_equal(fake_find(engine, ENGINE_TIMEOUT, one)->timeout_ns, 99);
    assert_int_equal(fake_find(engine, ENGINE_READ, one)->offset, 1000);
    assert_null(fake_find(engine, ENGINE_READ, two));
    assert_int_equal(fake_verb_count(engine, FAKE_START_WATCH), 1);
    assert_int_equal(fake_close_count(engine, 4), 1);
    assert_int_equal(fake_close_count(engine, 5), 0);
    assert_no_event(engine);
}

static void accept_and_watch_go_on(void **state)
{
    struct engine *engine = *state;
    engine_start_accept(engine, one, 3);
    engine_start_watch(engine, two, 6);
    fake_accept(engine, one, 40);
    fake_watch(engine, two);
    fake_end(engine, ENGINE_ACCEPT, one, -EMFILE);
    struct engine_event event = next_event(engine);
    assert_int_equal(event.result, 40);
    assert_true(event.has_more);
    event = next_event(engine);
    assert_int_equal(event.op, ENGINE_WATCH);
    assert_int_equal(event.result, POLLIN);
    assert_true(event.has_more);
    event = next_event(engine);
    assert_int_equal(event.result, -EMFILE);
    assert_false(event.has_more);
    assert_int_equal(fake_in_flight_count(engine), 1);
}

static void receive_uses_buffers_until_none_is_left(void **state)
{
    struct engine *engine = *state;
    engine_start_receive(engine, one, 4);
    for (int i = 0; i < 3; i++) {
        fake_receive(engine, one, SPAN("GET /"));
    }
    struct engine_event events[4];
    assert_int_equal(engine_wait(engine, events, 4), 3);
    assert_memory_equal(events[0].data, "GET /", 5);
    assert_int_not_equal(events[0].buffer_id, events[1].buffer_id);
    assert_int_equal(events[2].result, -ENOBUFS);
    assert_false(events[2].has_more);
    assert_int_equal(engine_counters(engine)->buffer_shortages, 1);
    assert_int_equal(fake_buffers_out(engine), 2);
    engine_return_buffer(engine, events[0].buffer_id);
    assert_int_equal(fake_buffers_out(engine), 1);
    engine_start_receive(engine, one, 4);
    fake_receive(engine, one, SPAN("x"));
    assert_int_equal(next_event(engine).result, 1);
    fake_end(engine, ENGINE_RECEIVE, one, 0);
    assert_int_equal(next_event(engine).result, 0);
}

static void sends_are_collected_per_token(void **state)
{
    struct engine *engine = *state;
    struct iovec parts[] = {{.iov_base = (char[]){"head "}, .iov_len = 5},
                            {.iov_base = (char[]){"body"}, .iov_len = 4}};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    engine_start_send_message(engine, one, 4, &message, true);
    engine_start_send(engine, two, 5, "other", 5, false);
    assert_true(fake_find(engine, ENGINE_SEND, one)->has_more);
    fake_send_all(engine, one);
    fake_send_all(engine, two);
    engine_start_send(engine, one, 4, "tail", 4, false);
    fake_end(engine, ENGINE_SEND, one, 2); /* the peer is lost in the middle */
    assert_int_equal(next_event(engine).result, 9);
    assert_int_equal(next_event(engine).result, 5);
    assert_int_equal(next_event(engine).result, 2);
    assert_true(span_equal(fake_sent(engine, one), SPAN("head bodyta")));
    assert_true(span_equal(fake_sent(engine, two), SPAN("other")));
    assert_int_equal(fake_sent(engine, (struct engine_token){.index = 1}).bytes, 0);
}

static void read_fills_the_memory(void **state)
{
    struct engine *engine = *state;
    char memory[8] = "";
    engine_start_read(engine, one, (struct engine_file){.number = 7}, memory, 8, 0);
    fake_read(engine, one, SPAN("abc"));
    assert_int_equal(next_event(engine).result, 3);
    assert_string_equal(memory, "abc");
    engine_start_read(engine, one, (struct engine_file){.number = 7}, memory, 8, 3);
    fake_read(engine, one, SPAN(""));
    assert_int_equal(next_event(engine).result, 0);
}

static void slots_are_released_when_replaced_or_cleared(void **state)
{
    struct engine *engine = *state;
    const int32_t fds[] = {30, 31, 32};
    const uint32_t serials[] = {1, 2, 3};
    assert_int_equal(engine_update_files(engine, 2, fds, serials, 3), 3);
    assert_no_event(engine);
    const int32_t changes[] = {-1, -2, 42};
    const uint32_t change_serials[] = {0, 0, 4};
    assert_int_equal(engine_update_files(engine, 2, changes, change_serials, 3), 3);
    assert_int_equal(fake_slot_fd(engine, 2), -1);
    assert_int_equal(fake_slot_fd(engine, 3), 31);
    assert_int_equal(fake_slot_fd(engine, 4), 42);
    assert_int_equal(fake_slot_fd(engine, 0), -1);
    assert_released(engine, 2, 1);
    assert_released(engine, 4, 3);
    assert_no_event(engine);
}

static void release_waits_for_reads_of_that_file(void **state)
{
    struct engine *engine = *state;
    char memory[8];
    const struct engine_file slot = {.is_slot = true, .number = 0};
    const int32_t old = 30;
    const int32_t new = 31;
    const int32_t hole = -1;
    const uint32_t serials[] = {1, 2, 0};
    assert_int_equal(engine_update_files(engine, 0, &old, &serials[0], 1), 1);
    engine_start_read(engine, one, slot, memory, 8, 0);
    engine_start_read(engine, two, slot, memory, 8, 0);
    assert_int_equal(engine_update_files(engine, 0, &new, &serials[1], 1), 1);
    assert_int_equal(engine_update_files(engine, 0, &hole, &serials[2], 1), 1);
    assert_released(engine, 0, 2); /* nobody read the second file */
    fake_read(engine, one, SPAN("x"));
    assert_int_equal(next_event(engine).op, ENGINE_READ);
    assert_no_event(engine);
    fake_read(engine, two, SPAN("x"));
    assert_int_equal(next_event(engine).op, ENGINE_READ);
    assert_released(engine, 0, 1);
}

static void releases_can_be_held(void **state)
{
    struct engine *engine = *state;
    const int32_t fd = 30;
    const int32_t hole = -1;
    const uint32_t serials[] = {1, 0};
    fake_hold_releases(engine, true);
    assert_int_equal(engine_update_files(engine, 0, &fd, &serials[0], 1), 1);
    assert_int_equal(engine_update_files(engine, 0, &hole, &serials[1], 1), 1);
    assert_no_event(engine);
    fake_hold_releases(engine, false);
    assert_released(engine, 0, 1);
    assert_no_event(engine);
}

static void failing_update_empties_the_slot(void **state)
{
    struct engine *engine = *state;
    const int32_t fds[] = {30, 31, 32};
    const uint32_t serials[] = {1, 2, 3};
    assert_int_equal(engine_update_files(engine, 0, fds, serials, 3), 3);
    fake_fail_update(engine, 1, EBADF);
    const uint32_t next_serials[] = {4, 5, 6};
    assert_int_equal(engine_update_files(engine, 0, fds, next_serials, 3), 1);
    assert_int_equal(fake_slot_fd(engine, 1), -1);
    assert_released(engine, 0, 1);
    assert_released(engine, 1, 2);
    assert_no_event(engine);
    fake_fail_update(engine, 1, ENFILE);
    assert_int_equal(engine_update_files(engine, 1, fds, serials, 1), -ENFILE);
    assert_int_equal(engine_update_files(engine, 1, fds, serials, 1), 1); /* fails only once */
}

static void cancel_ends_the_operation_unless_held(void **state)
{
    struct engine *engine = *state;
    engine_start_timeout(engine, one, 5);
    engine_start_timeout(engine, two, 5);
    engine_cancel(engine, ENGINE_TIMEOUT, one);
    engine_cancel(engine, ENGINE_TIMEOUT, one); /* already ended: nothing */
    struct engine_event event = next_event(engine);
    assert_int_equal(event.result, -ECANCELED);
    assert_int_equal(event.token.index, 1);
    assert_no_event(engine);
    fake_hold_cancels(engine, true);
    engine_cancel(engine, ENGINE_TIMEOUT, two);
    assert_no_event(engine);
    fake_end(engine, ENGINE_TIMEOUT, two, 0); /* it had passed before */
    assert_int_equal(next_event(engine).result, 0);
    assert_int_equal(fake_verb_count(engine, FAKE_CANCEL), 3);
}

static void wait_hands_out_in_order_and_in_parts(void **state)
{
    struct engine *engine = *state;
    for (uint32_t i = 0; i < 5; i++) {
        fake_push(engine, (struct engine_event){.op = ENGINE_POLL, .token = {.index = i}});
    }
    struct engine_event events[3];
    assert_int_equal(engine_wait(engine, events, 3), 3);
    assert_int_equal(events[2].token.index, 2);
    assert_int_equal(engine_wait(engine, events, 3), 2);
    assert_int_equal(events[1].token.index, 4);
    assert_int_equal(engine_wait(engine, events, 3), 0);
    assert_int_equal(engine_counters(engine)->events, 5);
    assert_int_equal(engine_counters(engine)->waits, 3);
}

static void push_one(void *context)
{
    fake_push(context, (struct engine_event){.op = ENGINE_TIMEOUT, .token = one});
}

static void idle_wait_asks_the_test(void **state)
{
    struct engine *engine = *state;
    fake_on_idle(engine, push_one, engine);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(next_event(engine).op, ENGINE_TIMEOUT);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_what_is_started),
        TEST(accept_and_watch_go_on),
        TEST(receive_uses_buffers_until_none_is_left),
        TEST(sends_are_collected_per_token),
        TEST(read_fills_the_memory),
        TEST(slots_are_released_when_replaced_or_cleared),
        TEST(release_waits_for_reads_of_that_file),
        TEST(releases_can_be_held),
        TEST(failing_update_empties_the_slot),
        TEST(cancel_ends_the_operation_unless_held),
        TEST(wait_hands_out_in_order_and_in_parts),
        TEST(idle_wait_asks_the_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
