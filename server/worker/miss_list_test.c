#include "server/worker/miss_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static struct miss_list list;

static int set_up(void **state)
{
    (void)state;
    return miss_list_init(&list, 64);
}

static int tear_down(void **state)
{
    (void)state;
    miss_list_deinit(&list);
    return 0;
}

static void find_finds_only_the_pending(void **state)
{
    (void)state;
    assert_null(miss_list_find(&list, SPAN("a")));
    struct miss *a = miss_list_add(&list, SPAN("a"));
    struct miss *empty = miss_list_add(&list, SPAN(""));
    assert_ptr_equal(miss_list_find(&list, SPAN("a")), a);
    assert_ptr_equal(miss_list_find(&list, SPAN("")), empty);
    assert_string_equal(a->key, "a");
    miss_list_remove(&list, a);
    assert_null(miss_list_find(&list, SPAN("a")));
    assert_ptr_equal(miss_list_find(&list, SPAN("")), empty);
}

static void every_place_can_be_taken_in_any_order(void **state)
{
    (void)state;
    struct miss *misses[64];
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < 64; i++) {
            char key[16];
            int bytes = snprintf(key, sizeof(key), "%u", i);
            misses[i] = miss_list_add(&list, span_of(key, (size_t)bytes));
        }
        assert_int_equal(list.pending_count, 64);
        assert_true(miss_list_is_full(&list));
        for (uint32_t i = 0; i < 64; i++) {
            uint32_t victim = (i * 37 + round) % 64; /* 37 and 64 have no common divisor */
            char key[16];
            int bytes = snprintf(key, sizeof(key), "%u", victim);
            assert_ptr_equal(miss_list_find(&list, span_of(key, (size_t)bytes)), misses[victim]);
            miss_list_remove(&list, misses[victim]);
        }
        assert_int_equal(list.pending_count, 0);
    }
}

static void queue_keeps_order_and_lets_one_be_taken_out(void **state)
{
    (void)state;
    struct miss_queue queue = {0};
    struct miss *a = miss_list_add(&list, SPAN("a"));
    struct miss *b = miss_list_add(&list, SPAN("b"));
    struct miss *c = miss_list_add(&list, SPAN("c"));
    miss_queue_push(&queue, a);
    miss_queue_push(&queue, b);
    miss_queue_push(&queue, c);
    assert_null(miss_queue_take(&queue, SPAN("d")));
    assert_ptr_equal(miss_queue_take(&queue, SPAN("c")), c); /* the last */
    miss_queue_push(&queue, c);
    assert_ptr_equal(miss_queue_take(&queue, SPAN("b")), b);
    assert_ptr_equal(miss_queue_pop(&queue), a);
    assert_ptr_equal(miss_queue_pop(&queue), c);
    assert_null(miss_queue_pop(&queue));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(find_finds_only_the_pending, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_place_can_be_taken_in_any_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queue_keeps_order_and_lets_one_be_taken_out, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
