#include "server/table/slot_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/table/slot_table.h"

static void set_gives_members_in_order(void **state)
{
    (void)state;
    static const struct {
        uint32_t slot_count;
        uint32_t members[6];
        uint32_t count;
    } cases[] = {
        {1, {0}, 0},
        {1, {0}, 1},
        {64, {0, 63}, 2},
        {65, {63, 64}, 2},
        {4096, {0, 64, 4095}, 3},
        {4097, {4096}, 1},
        {1 << 20, {0, 1, 4095, 4096, 500000, (1 << 20) - 1}, 6},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct slot_set set;
        assert_int_equal(slot_set_init(&set, cases[i].slot_count), 0);
        for (uint32_t k = cases[i].count; k-- > 0;) {
            slot_set_add(&set, cases[i].members[k]);
        }
        slot_set_verify(&set);
        uint32_t next = slot_set_next(&set, 0);
        for (uint32_t k = 0; k < cases[i].count; k++) {
            assert_int_equal(next, cases[i].members[k]);
            assert_int_equal(slot_set_next(&set, next), next);
            next = slot_set_next(&set, next + 1);
        }
        assert_int_equal(next, SLOT_NONE);
        slot_set_deinit(&set);
    }
}

static void set_agrees_with_flags(void **state)
{
    (void)state;
    enum {
        SLOT_COUNT = 9000
    };
    bool *flags = calloc(SLOT_COUNT + 1, sizeof(*flags));
    struct slot_set set;
    unsigned seed = 3;
    assert_non_null(flags);
    assert_int_equal(slot_set_init(&set, SLOT_COUNT), 0);
    for (int step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rand_r(&seed) % SLOT_COUNT;
        assert_int_equal(slot_set_has(&set, i), flags[i]);
        if (flags[i]) {
            slot_set_remove(&set, i);
        } else if (rand_r(&seed) % 50 == 0) { /* mostly empty, as in use */
            slot_set_add(&set, i);
        } else {
            continue;
        }
        flags[i] = !flags[i];
        uint32_t want = (uint32_t)rand_r(&seed) % SLOT_COUNT;
        uint32_t next = slot_set_next(&set, want);
        while (want < SLOT_COUNT && !flags[want]) {
            want++;
        }
        assert_int_equal(next, want < SLOT_COUNT ? want : SLOT_NONE);
        slot_set_verify(&set);
    }
    slot_set_deinit(&set);
    free(flags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_gives_members_in_order),
        cmocka_unit_test(set_agrees_with_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
