#include "server/worker/buffer_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void take_gives_the_last_given_first(void **state)
{
    (void)state;
    struct buffer_pool pool;
    assert_int_equal(buffer_pool_init(&pool, 3, 4096), 0);
    uint8_t *first = buffer_pool_take(&pool);
    uint8_t *second = buffer_pool_take(&pool);
    buffer_pool_give(&pool, first);
    assert_ptr_equal(buffer_pool_take(&pool), first);
    buffer_pool_give(&pool, second);
    buffer_pool_give(&pool, first);
    assert_int_equal(pool.free_count, 3);
    buffer_pool_deinit(&pool);
}

static void buffers_do_not_overlap(void **state)
{
    (void)state;
    struct buffer_pool pool;
    uint8_t *buffers[8];
    assert_int_equal(buffer_pool_init(&pool, 8, 5000), 0);
    for (int i = 0; i < 8; i++) {
        buffers[i] = buffer_pool_take(&pool);
        memset(buffers[i], i, 5000);
    }
    for (int i = 0; i < 8; i++) {
        for (int at = 0; at < 5000; at++) {
            assert_int_equal(buffers[i][at], i);
        }
        buffer_pool_give(&pool, buffers[i]);
    }
    buffer_pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take_gives_the_last_given_first),
        cmocka_unit_test(buffers_do_not_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
