/*
 * What is held comes out in order, whatever its pieces, and the buffers go back.
 */
#include "server/worker/input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define BUFFER_BYTES 512
#define BUFFER_COUNT (2 + INPUT_OVERFLOW_MAX)

static struct buffer_pool buffers;
static struct input_store store;

static int set_up(void **state)
{
    (void)state;
    store = (struct input_store){.buffers = &buffers};
    return buffer_pool_init(&buffers, BUFFER_COUNT, BUFFER_BYTES);
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(buffers.free_count, BUFFER_COUNT);
    assert_int_equal(store.overflow_count, 0);
    buffer_pool_deinit(&buffers);
    return 0;
}

static void empty_input_holds_no_buffer(void **state)
{
    (void)state;
    struct input input = {0};
    assert_true(input_hold(&input, &store, SPAN("")));
    assert_true(input_is_empty(&input));
    assert_true(input_hold(&input, &store, SPAN("abc")));
    input_consume(&input, &store, 1);
    assert_memory_equal(input_front(&input).ptr, "bc", 2);
    input_consume(&input, &store, 2);
    assert_null(input.buffer);
}

/* A byte's value tells its place in the stream. */
static uint8_t byte_at(uint32_t place)
{
    return (uint8_t)(place * 7 + (place >> 8));
}

static bool hold_stream(struct input *input, uint32_t place, uint32_t bytes)
{
    uint8_t piece[BUFFER_BYTES];
    for (uint32_t i = 0; i < bytes; i++) {
        piece[i] = byte_at(place + i);
    }
    return input_hold(input, &store, span_of(piece, bytes));
}

static void check_front(const struct input *input, uint32_t place)
{
    struct span front = input_front(input);
    for (uint32_t i = 0; i < front.bytes; i++) {
        assert_int_equal(front.ptr[i], byte_at(place + i));
    }
}

static void stream_comes_out_in_order_through_the_overflow(void **state)
{
    (void)state;
    struct input input = {0};
    uint32_t held = 0;
    uint32_t consumed = 0;
    srandom(1);
    for (int step = 0; step < 20000; step++) {
        uint32_t bytes = (uint32_t)random() % 200 + 1;
        /* Fills for a while, then empties for a while. */
        if ((step / 100) % 2 == 0 && store.overflow_count < INPUT_OVERFLOW_MAX) {
            assert_true(hold_stream(&input, held, bytes));
            held += bytes;
        } else {
            struct span front = input_front(&input);
            assert_true(front.bytes >= BUFFER_BYTES / 2 || input.first == NULL);
            bytes = bytes < front.bytes ? bytes : (uint32_t)front.bytes;
            input_consume(&input, &store, bytes);
            consumed += bytes;
        }
        check_front(&input, consumed);
        assert_int_equal(input_is_empty(&input), held == consumed);
    }
    input_reset(&input, &store);
}

static void hold_refuses_beyond_the_overflow_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct input input = {0};
    uint32_t held = 0;
    while (hold_stream(&input, held, 100)) {
        held += 100;
    }
    assert_int_equal(store.overflow_count, INPUT_OVERFLOW_MAX);
    for (uint32_t consumed = 0; consumed < held; consumed += 100) {
        check_front(&input, consumed);
        input_consume(&input, &store, 100);
    }
    assert_true(input_is_empty(&input));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_input_holds_no_buffer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stream_comes_out_in_order_through_the_overflow, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(hold_refuses_beyond_the_overflow_and_keeps_what_it_has,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
