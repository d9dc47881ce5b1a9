/* Making room: the reserve, who leaves and who stays, and how far the hand goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/table/slot_table.h"
#include "server/table/slot_table_fixture.h"
#include "server/table/slot_table_private.h"

static void publish_keeps_a_reserve(void **state)
{
    (void)state;
    static const struct {
        uint32_t slot_count;
        uint32_t want_reserve;
    } cases[] = {{1, 0},  {2, 1},     {3, 1},     {32, 1},   {63, 1},
                 {64, 2}, {1000, 31}, {2048, 64}, {3000, 64}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture f;
        fixture_start(&f, cases[i].slot_count, false);
        f.is_quiet = true;
        fixture_fill(&f, 2 * cases[i].slot_count);
        struct slot_counts counts = slot_table_counts(f.table);
        print_message("%u slots\n", cases[i].slot_count);
        assert_int_equal(counts.free, cases[i].want_reserve);
        assert_int_equal(counts.live, cases[i].slot_count - cases[i].want_reserve);
        assert_int_equal(counts.evictions, cases[i].slot_count + cases[i].want_reserve);
        assert_int_equal(f.evicted_count, counts.evictions);
        assert_int_equal(f.released_count, counts.evictions);
        fixture_stop(&f);
    }
}

static void publish_takes_from_the_reserve_while_tags_are_late(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 64, true);
    f.is_quiet = true;
    fixture_fill(&f, 64); /* two of them out of the reserve: as many were evicted, and wait */
    assert_int_equal(slot_table_counts(f.table).retiring, 2);
    assert_int_equal(fixture_publish(&f, "one more"), SLOT_NONE);
    assert_int_equal(slot_table_counts(f.table).retiring, 3);
    assert_int_equal(fixture_publish(&f, "one more"), SLOT_NONE);
    assert_int_equal(slot_table_counts(f.table).retiring,
                     3); /* failing costs no more of the hot set */
    fixture_flush(&f);
    slot_table_on_tag(f.table, 0, 1);
    assert_int_equal(fixture_publish(&f, "one more"), 0);
    fixture_stop(&f);
}

static void eviction_is_told_before_release(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 2, false);
    (void)fixture_publish(&f, "a");
    (void)fixture_publish(&f, "b");
    assert_string_equal(fixture_events(&f), "evicted a, released a, ");
    assert_int_equal(fixture_find(&f, "a"), SLOT_NONE);
    fixture_stop(&f);

    uint32_t serial;
    fixture_start(&f, 2, true);
    uint32_t slot_index = fixture_install(&f, "a", &serial);
    (void)fixture_publish(&f, "b");
    fixture_flush(&f);
    assert_string_equal(fixture_events(&f), "evicted a, ");
    slot_table_on_tag(f.table, slot_index, serial);
    assert_string_equal(fixture_events(&f), "released a, ");
    fixture_stop(&f);
}

static void eviction_passes_over_slots_in_use(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 4, false);
    for (int i = 0; i < 3; i++) {
        slot_table_acquire(f.table, fixture_publish(&f, (const char *[]){"a", "b", "c"}[i]));
    }
    uint32_t last = fixture_publish(&f, "d");
    assert_int_not_equal(last, SLOT_NONE);
    assert_string_equal(fixture_events(&f), "");
    slot_table_acquire(f.table, last);
    assert_int_equal(fixture_publish(&f, "e"), SLOT_NONE);
    assert_string_equal(fixture_events(&f), "");
    slot_table_release(f.table, fixture_find(&f, "b"));
    assert_int_equal(fixture_publish(&f, "e"), 1);
    assert_string_equal(fixture_events(&f), "evicted b, released b, ");
    fixture_stop(&f);
}

/* Retiring slots with users may stay for long: they are no reserve. */
static void retired_slots_in_use_do_not_stop_eviction(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 8, false);
    for (int i = 0; i < 4; i++) {
        slot_table_acquire(f.table, fixture_publish(&f, "download"));
    }
    assert_true(fixture_retire(&f, "download"));
    assert_int_equal(slot_table_counts(f.table).retiring, 4);
    fixture_fill(&f, 20);
    assert_int_equal(slot_table_counts(f.table).live, 3);
    assert_int_equal(f.evicted_count, 17);
    fixture_stop(&f);
}

static void paths_asked_for_once_leave_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 32, false);
    f.is_quiet = true;
    fixture_fill(&f, 10);
    for (int round = 0; round < 200; round++) {
        char key[24];
        for (int hot = 0; hot < 10; hot++) {
            (void)snprintf(key, sizeof(key), "%d", hot);
            assert_int_equal(fixture_find(&f, key), hot);
        }
        (void)snprintf(key, sizeof(key), "once %d", round);
        assert_int_not_equal(fixture_publish(&f, key), SLOT_NONE);
    }
    assert_int_equal(f.evicted_count, 200 - (32 - 1 - 10));
    fixture_stop(&f);
}

static void find_sets_the_bit_that_the_hand_clears(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 3, false);
    uint32_t a = fixture_publish(&f, "a");
    (void)fixture_publish(&f, "b");
    assert_false(f.table->slots[a].is_referenced);
    assert_int_equal(fixture_find(&f, "a"), a);
    assert_true(f.table->slots[a].is_referenced);
    (void)fixture_publish(&f, "c"); /* the hand passes a, takes b */
    assert_string_equal(fixture_events(&f), "evicted b, released b, ");
    assert_false(f.table->slots[a].is_referenced);
    (void)fixture_publish(&f, "a"); /* a new version begins anew */
    assert_false(f.table->slots[fixture_find(&f, "c")].user_count > 0);
    fixture_stop(&f);
}

static void publish_of_a_cached_key_evicts_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 64, false);
    fixture_fill(&f, 62);
    f.is_quiet = true;
    for (int i = 0; i < 1000; i++) {
        assert_int_not_equal(fixture_publish(&f, "17"), SLOT_NONE);
    }
    assert_int_equal(f.evicted_count, 0);
    assert_int_equal(f.released_count, 1000);
    fixture_stop(&f);
}

static void all_hot_table_gives_one_for_one_in_bounded_steps(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 4000, false);
    f.is_quiet = true;
    fixture_fill(&f, 4000 - 64);
    for (uint32_t publish = 1; publish <= 200; publish++) { /* some rounds of the hand */
        for (uint32_t i = 0; i < 4000; i++) {
            f.table->slots[i].is_referenced = true;
        }
        uint32_t hand_index = f.table->hand_index;
        char key[24];
        (void)snprintf(key, sizeof(key), "new %u", publish);
        assert_int_not_equal(fixture_publish(&f, key), SLOT_NONE);
        assert_int_equal(f.evicted_count, publish);
        uint32_t passed = f.table->hand_index + f.table->touched_count - hand_index;
        assert_int_equal(passed % f.table->touched_count, SLOT_HAND_STEPS_MAX);
    }
    assert_int_equal(slot_table_counts(f.table).free, 64);
    fixture_stop(&f);
}

static void single_slot_works_again_after_use(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t serial;
    fixture_start(&f, 1, true);
    assert_int_equal(fixture_install(&f, "a", &serial), 0);
    slot_table_acquire(f.table, 0);
    assert_int_equal(fixture_publish(&f, "b"), SLOT_NONE); /* in use */
    assert_int_equal(fixture_find(&f, "a"), 0);
    slot_table_release(f.table, 0);
    assert_int_equal(fixture_publish(&f, "b"), SLOT_NONE); /* evicted, and in the kernel still */
    assert_string_equal(fixture_events(&f), "evicted a, ");
    fixture_flush(&f);
    assert_int_equal(fixture_publish(&f, "b"), SLOT_NONE); /* no tag yet */
    slot_table_on_tag(f.table, 0, serial);
    assert_string_equal(fixture_events(&f), "released a, ");
    assert_int_equal(fixture_publish(&f, "b"), 0);
    assert_int_equal(fixture_find(&f, "b"), 0);
    fixture_stop(&f);
}

static void single_slot_refuses_its_own_key(void **state)
{
    (void)state;
    for (int is_used = 0; is_used < 2; is_used++) {
        struct fixture f;
        uint32_t serial;
        fixture_start(&f, 1, true);
        (void)fixture_install(&f, "a", &serial);
        if (is_used != 0) {
            slot_table_acquire(f.table, 0);
        }
        assert_int_equal(fixture_publish(&f, "a"), SLOT_NONE);
        assert_string_equal(fixture_events(&f), "");
        assert_int_equal(fixture_find(&f, "a"), 0);
        assert_ptr_equal(slot_table_version(f.table, 0), &f.versions[0]);
        assert_true(
            fixture_retire(&f, "a")); /* what the caller does then: nothing stale is served */
        assert_int_equal(fixture_find(&f, "a"), SLOT_NONE);
        if (is_used != 0) {
            slot_table_release(f.table, 0);
        }
        fixture_flush(&f);
        slot_table_on_tag(f.table, 0, serial);
        assert_string_equal(fixture_events(&f), "released a, ");
        assert_int_equal(fixture_publish(&f, "a"), 0);
        fixture_stop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publish_keeps_a_reserve),
        cmocka_unit_test(publish_takes_from_the_reserve_while_tags_are_late),
        cmocka_unit_test(eviction_is_told_before_release),
        cmocka_unit_test(eviction_passes_over_slots_in_use),
        cmocka_unit_test(retired_slots_in_use_do_not_stop_eviction),
        cmocka_unit_test(paths_asked_for_once_leave_first),
        cmocka_unit_test(find_sets_the_bit_that_the_hand_clears),
        cmocka_unit_test(publish_of_a_cached_key_evicts_nothing),
        cmocka_unit_test(all_hot_table_gives_one_for_one_in_bounded_steps),
        cmocka_unit_test(single_slot_works_again_after_use),
        cmocka_unit_test(single_slot_refuses_its_own_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
