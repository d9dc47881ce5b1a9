/* The life of a slot: publish, flip, retire, and what the kernel is told and says. */
#include "server/table/slot_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/table/slot_table_fixture.h"
#include "server/table/slot_table_private.h"

static void create_refuses_slot_counts_out_of_range(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, SLOT_TABLE_SLOTS_MAX + 1, SLOT_NONE};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct slot_table *table = NULL;
        const struct slot_table_config config = {.slot_count = counts[i]};
        assert_int_equal(slot_table_create(&config, &table), -EINVAL);
        assert_null(table);
    }
    slot_table_destroy(NULL);
}

static void create_makes_the_largest_table(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, SLOT_TABLE_SLOTS_MAX, true);
    assert_int_equal(fixture_publish(&f, "a"), 0);
    assert_int_equal(slot_table_counts(f.table).free, SLOT_TABLE_SLOTS_MAX - 1);
    fixture_stop(&f);
}

#ifdef TURNTABLE_FAULT_POINTS
static void create_undoes_all_when_an_allocation_fails(void **state)
{
    (void)state;
    static const char *const points[] = {"slot_table_alloc", "slot_table_map", "path_map_map",
                                         "slot_set_map"};
    const struct slot_table_config config = {.slot_count = 100};
    for (size_t i = 0; i < ARRAY_COUNT(points); i++) {
        struct slot_table *table = NULL;
        fault_arm(points[i], 0, 1, ENOMEM);
        assert_int_equal(slot_table_create(&config, &table), -ENOMEM);
        assert_null(table);
        fault_disarm_all();
    }
}
#endif

static void entry_costs_less_than_512_bytes(void **state)
{
    (void)state;
    size_t cells_bytes = 4 * sizeof(struct path_cell); /* at most, after rounding up */
    assert_true(sizeof(struct slot) <= 48);
    assert_true(sizeof(struct slot) + cells_bytes + 1 < 512);
}

static void find_knows_only_published_keys(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 8, true);
    assert_int_equal(fixture_find(&f, "a"), SLOT_NONE);
    assert_int_equal(fixture_find(&f, ""), SLOT_NONE);
    uint32_t a = fixture_publish(&f, "a");
    uint32_t root = fixture_publish(&f, "");
    assert_int_equal(fixture_find(&f, "a"), a);
    assert_int_equal(fixture_find(&f, ""), root);
    assert_int_equal(fixture_find(&f, "aa"), SLOT_NONE);
    assert_int_not_equal(a, root);
    assert_ptr_equal(slot_table_version(f.table, a), &f.versions[0]);
    assert_true(fixture_retire(&f, "a"));
    assert_false(fixture_retire(&f, "a"));
    assert_int_equal(fixture_find(&f, "a"), SLOT_NONE);
    fixture_stop(&f);
}

static void publish_flips_before_the_kernel_is_told(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t old_serial;
    fixture_start(&f, 8, true);
    uint32_t old = fixture_install(&f, "a", &old_serial);
    slot_table_acquire(f.table, old);

    uint32_t new = fixture_publish(&f, "a");
    assert_int_not_equal(new, old);
    assert_int_equal(fixture_find(&f, "a"), new);
    assert_false(slot_table_is_installed(f.table, new));
    assert_ptr_equal(slot_table_version(f.table, old), &f.versions[0]);
    assert_true(slot_table_is_installed(f.table, old));

    struct slot_update update = fixture_take(&f); /* no clear: the old one has a user */
    assert_int_equal(update.slot_index, new);
    assert_int_equal(update.fd, f.versions[1].fd);
    slot_table_on_updated(f.table, &update, true);
    assert_true(slot_table_is_installed(f.table, new));

    slot_table_release(f.table, old);
    update = fixture_take(&f);
    assert_int_equal(update.slot_index, old);
    assert_int_equal(update.fd, -1);
    assert_int_equal(update.serial, 0);
    slot_table_on_updated(f.table, &update, true);
    assert_string_equal(fixture_events(&f), "");
    slot_table_on_tag(f.table, old, old_serial);
    assert_string_equal(fixture_events(&f), "released a, ");
    assert_int_equal(fixture_find(&f, "a"), new);
    fixture_stop(&f);
}

static void freed_slot_is_taken_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 8, false);
    assert_int_equal(fixture_publish(&f, "a"), 0);
    assert_int_equal(fixture_publish(&f, "b"), 1);
    assert_int_equal(fixture_publish(&f, "c"), 2);
    assert_true(fixture_retire(&f, "a"));
    assert_true(fixture_retire(&f, "c"));
    assert_string_equal(fixture_events(&f), "released a, released c, ");
    assert_int_equal(fixture_publish(&f, "d"), 2);
    assert_int_equal(fixture_publish(&f, "e"), 0);
    assert_int_equal(fixture_publish(&f, "f"), 3);
    fixture_stop(&f);
}

static void serial_advances_and_is_never_zero(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 1, true);
    static const struct {
        uint32_t before;
        uint32_t want;
    } cases[] = {{0, 1}, {1, 2}, {SLOT_SERIAL_MAX - 1, SLOT_SERIAL_MAX}, {SLOT_SERIAL_MAX, 1}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint32_t serial;
        f.table->slots[0].serial = cases[i].before;
        uint32_t slot_index = fixture_install(&f, "a", &serial);
        assert_int_equal(serial, cases[i].want);
        assert_true(fixture_retire(&f, "a"));
        fixture_flush(&f);
        slot_table_on_tag(f.table, slot_index, serial);
        assert_string_equal(fixture_events(&f), "released a, ");
    }
    assert_int_equal(SLOT_SERIAL_MAX, 0xffffff);
    fixture_stop(&f);
}

/* Steps of a slot's end: r retire, u user gone, t take, d clear done, f clear failed, g tag,
 * s stale tag. After all of them the version is released, and not before the last. */
static void run_end(const char *steps)
{
    struct fixture f;
    uint32_t serial;
    struct slot_update update = {0};
    fixture_start(&f, 4, true);
    uint32_t slot_index = fixture_install(&f, "a", &serial);
    slot_table_acquire(f.table, slot_index);
    for (const char *step = steps; *step != '\0'; step++) {
        assert_string_equal(fixture_events(&f), "");
        if (*step == 'r') {
            assert_true(fixture_retire(&f, "a"));
        } else if (*step == 'u') {
            slot_table_release(f.table, slot_index);
        } else if (*step == 't') {
            update = fixture_take(&f);
            assert_int_equal(update.fd, -1);
        } else if (*step == 'd' || *step == 'f') {
            slot_table_on_updated(f.table, &update, *step == 'd');
        } else if (*step == 'g') {
            slot_table_on_tag(f.table, slot_index, serial);
        } else {
            slot_table_on_tag(f.table, slot_index, serial + 1);
        }
    }
    assert_string_equal(fixture_events(&f), "released a, ");
    assert_int_equal(slot_table_counts(f.table).free, 4);
    assert_int_equal(slot_table_counts(f.table).stale_tags, strchr(steps, 's') != NULL);
    fixture_stop(&f);
}

static void release_needs_user_gone_clear_reported_and_tag(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "rutdg",                          /* the tag comes last */
        "rutgd",                          /* the kernel posts it inside the update call */
        "rutgf",                          /* the tag is proof, whatever the call returned */
        "rutftdg",                        /* a failed clear comes again */
        "rutftgd", "rutfgtd",             /* the failed clear did drop the file */
        "rutfgtf", "rutftftdg", "rutsdg", /* a wrong serial proves nothing */
        "rsutdg",
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s\n", cases[i]);
        run_end(cases[i]);
    }
}

static void round_of_failing_clears_ends(void **state)
{
    (void)state;
    for (uint32_t update_max = 1; update_max <= 4; update_max++) {
        struct fixture f;
        fixture_start(&f, 8, true);
        fixture_fill(&f, 3);
        slot_table_retire_all(f.table);
        for (int round = 0; round < 3; round++) {
            struct slot_update updates[4];
            uint32_t total = 0;
            uint32_t count;
            assert_true(slot_table_has_updates(f.table));
            do {
                count = slot_table_take_updates(f.table, updates, update_max);
                for (uint32_t i = 0; i < count; i++) {
                    assert_int_equal(updates[i].slot_index, total++);
                    slot_table_on_updated(f.table, &updates[i], false);
                }
            } while (count == update_max);
            assert_int_equal(total, 3);
        }
        fixture_stop(&f);
    }
}

static void tag_that_nobody_waits_for_is_dropped(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t serial;
    fixture_start(&f, 128, true); /* a page of slots: what follows them is not zero by chance */
    uint32_t slot_index = fixture_install(&f, "a", &serial);
    slot_table_on_tag(f.table, slot_index, serial); /* live */
    slot_table_on_tag(f.table, slot_index + 1, 0);  /* never used */
    slot_table_on_tag(f.table, 128, serial);        /* no such slot */
    slot_table_on_tag(f.table, SLOT_NONE, UINT32_MAX);
    slot_table_acquire(f.table, slot_index);
    assert_true(fixture_retire(&f, "a"));
    slot_table_on_tag(f.table, slot_index, serial); /* retiring, in use */
    assert_int_equal(slot_table_counts(f.table).stale_tags, 5);
    slot_table_release(f.table, slot_index);
    struct slot_update update = fixture_take(&f);
    slot_table_on_tag(f.table, slot_index, serial);
    slot_table_on_tag(f.table, slot_index, serial); /* twice */
    slot_table_on_updated(f.table, &update, true);
    assert_string_equal(fixture_events(&f), "released a, ");
    slot_table_on_tag(f.table, slot_index, serial); /* free again */
    assert_int_equal(slot_table_counts(f.table).stale_tags, 7);
    fixture_stop(&f);
}

static void retire_cancels_an_install_that_was_not_taken(void **state)
{
    (void)state;
    struct fixture f;
    struct slot_update update;
    fixture_start(&f, 8, true);
    (void)fixture_publish(&f, "unused");
    uint32_t used = fixture_publish(&f, "used");
    slot_table_acquire(f.table, used);
    assert_true(fixture_retire(&f, "unused"));
    assert_string_equal(fixture_events(&f), "released unused, ");
    assert_true(fixture_retire(&f, "used"));
    assert_string_equal(fixture_events(&f), "");
    assert_int_equal(slot_table_take_updates(f.table, &update, 1), 0);
    assert_false(slot_table_is_installed(f.table, used));
    slot_table_release(f.table, used);
    assert_string_equal(fixture_events(&f), "released used, ");
    assert_int_equal(slot_table_take_updates(f.table, &update, 1), 0);
    fixture_stop(&f);
}

static void retire_of_a_taken_install_waits_for_its_report(void **state)
{
    (void)state;
    for (int is_done = 0; is_done < 2; is_done++) {
        struct fixture f;
        fixture_start(&f, 8, true);
        uint32_t slot_index = fixture_publish(&f, "a");
        struct slot_update install = fixture_take(&f);
        assert_true(fixture_retire(&f, "a"));
        struct slot_update update;
        assert_int_equal(slot_table_take_updates(f.table, &update, 1), 0);
        assert_string_equal(fixture_events(&f), "");
        slot_table_on_updated(f.table, &install, is_done != 0);
        if (is_done != 0) {
            update = fixture_take(&f);
            assert_int_equal(update.fd, -1);
            slot_table_on_updated(f.table, &update, true);
            assert_string_equal(fixture_events(&f), "");
            slot_table_on_tag(f.table, slot_index, install.serial);
        }
        assert_string_equal(fixture_events(&f), "released a, ");
        fixture_stop(&f);
    }
}

static void failed_install_keeps_the_version_serving(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 8, true);
    uint32_t slot_index = fixture_publish(&f, "a");
    slot_table_acquire(f.table, slot_index);
    struct slot_update update = fixture_take(&f);
    slot_table_on_updated(f.table, &update, false);
    assert_int_equal(fixture_find(&f, "a"), slot_index);
    assert_false(slot_table_is_installed(f.table, slot_index));
    assert_int_equal(slot_table_counts(f.table).live, 1);

    assert_true(fixture_retire(&f, "a"));
    slot_table_on_tag(f.table, slot_index, update.serial); /* of what was never installed */
    assert_int_equal(slot_table_counts(f.table).stale_tags, 1);
    assert_string_equal(fixture_events(&f), "");
    slot_table_release(f.table, slot_index);
    assert_string_equal(fixture_events(&f), "released a, ");
    assert_int_equal(slot_table_take_updates(f.table, &update, 1), 0);
    fixture_stop(&f);
}

static void version_without_kernel_file_is_released_with_its_last_user(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_registered;
        bool is_memory;
    } cases[] = {{"memory", true, true}, {"plain", false, false}, {"plain memory", false, true}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s\n", cases[i].name);
        struct fixture f;
        struct slot_update update;
        fixture_start(&f, 8, cases[i].is_registered);
        uint32_t slot_index =
            slot_table_publish(f.table, fixture_version(&f, "a", cases[i].is_memory));
        assert_int_equal(slot_table_take_updates(f.table, &update, 1), 0);
        assert_false(slot_table_is_installed(f.table, slot_index));
        slot_table_acquire(f.table, slot_index);
        slot_table_acquire(f.table, slot_index);
        assert_true(fixture_retire(&f, "a"));
        slot_table_release(f.table, slot_index);
        assert_string_equal(fixture_events(&f), "");
        slot_table_release(f.table, slot_index);
        assert_string_equal(fixture_events(&f), "released a, ");
        fixture_stop(&f);
    }
}

static void updates_are_taken_in_order_of_slots(void **state)
{
    (void)state;
    struct fixture f;
    struct slot_update updates[4];
    fixture_start(&f, 300, true);
    fixture_fill(&f, 200);
    assert_true(fixture_retire(&f, "199"));
    assert_true(fixture_retire(&f, "3"));
    assert_int_equal(fixture_publish(&f, "new"), 200);
    assert_true(fixture_retire(&f, "64"));
    assert_int_equal(slot_table_take_updates(f.table, updates, 3), 3);
    assert_int_equal(updates[0].slot_index, 3);
    assert_int_equal(updates[1].slot_index, 64);
    assert_int_equal(updates[2].slot_index, 199);
    assert_int_equal(slot_table_take_updates(f.table, updates, 4), 1);
    assert_int_equal(updates[0].slot_index, 200);
    assert_false(slot_table_has_updates(f.table));
    assert_int_equal(slot_table_take_updates(f.table, updates, 4), 0);
    fixture_stop(&f);
}

static void retire_all_leaves_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, 8, true);
    uint32_t serials[2];
    uint32_t a = fixture_install(&f, "a", &serials[0]);
    uint32_t b = fixture_install(&f, "b", &serials[1]);
    uint32_t memory = slot_table_publish(f.table, fixture_version(&f, "memory", true));
    assert_int_not_equal(memory, SLOT_NONE);
    (void)fixture_publish(&f, "queued");
    slot_table_acquire(f.table, b);
    slot_table_retire_all(f.table);
    assert_string_equal(fixture_events(&f), "released memory, released queued, ");
    assert_int_equal(slot_table_counts(f.table).live, 0);
    assert_int_equal(slot_table_counts(f.table).retiring, 2);
    fixture_flush(&f);
    slot_table_on_tag(f.table, a, serials[0]);
    slot_table_release(f.table, b);
    fixture_flush(&f);
    slot_table_on_tag(f.table, b, serials[1]);
    assert_string_equal(fixture_events(&f), "released a, released b, ");
    slot_table_retire_all(f.table);
    assert_int_equal(slot_table_counts(f.table).free, 8);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_refuses_slot_counts_out_of_range),
        cmocka_unit_test(create_makes_the_largest_table),
#ifdef TURNTABLE_FAULT_POINTS
        cmocka_unit_test(create_undoes_all_when_an_allocation_fails),
#endif
        cmocka_unit_test(entry_costs_less_than_512_bytes),
        cmocka_unit_test(find_knows_only_published_keys),
        cmocka_unit_test(publish_flips_before_the_kernel_is_told),
        cmocka_unit_test(freed_slot_is_taken_first),
        cmocka_unit_test(serial_advances_and_is_never_zero),
        cmocka_unit_test(release_needs_user_gone_clear_reported_and_tag),
        cmocka_unit_test(round_of_failing_clears_ends),
        cmocka_unit_test(tag_that_nobody_waits_for_is_dropped),
        cmocka_unit_test(retire_cancels_an_install_that_was_not_taken),
        cmocka_unit_test(retire_of_a_taken_install_waits_for_its_report),
        cmocka_unit_test(failed_install_keeps_the_version_serving),
        cmocka_unit_test(version_without_kernel_file_is_released_with_its_last_user),
        cmocka_unit_test(updates_are_taken_in_order_of_slots),
        cmocka_unit_test(retire_all_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
