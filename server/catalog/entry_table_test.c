/* Entries are found by key, stand in one list each, and are polled in turns. */
#include "server/catalog/entry_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/fault.h"

#define ENTRIES 500

struct entries_case {
    struct entry_table table;
    struct version versions[ENTRIES];
    char keys[ENTRIES][16];
    struct catalog_entry *entries[ENTRIES];
};

static void fill(struct entries_case *c)
{
    assert_int_equal(entry_table_init(&c->table, 42), 0);
    for (unsigned i = 0; i < ENTRIES; i++) {
        (void)snprintf(c->keys[i], sizeof(c->keys[i]), "dir/%u", i);
        c->versions[i] = (struct version){.key = span_of_string(c->keys[i])};
        c->entries[i] = entry_table_add(&c->table, &c->versions[i]);
        assert_non_null(c->entries[i]);
    }
}

static void entries_are_found_by_their_key(void **state)
{
    (void)state;
    static struct entries_case c; /* tidy: too large for the stack */
    fill(&c);
    for (unsigned i = 0; i < ENTRIES; i++) {
        assert_ptr_equal(entry_table_find(&c.table, span_of_string(c.keys[i])), c.entries[i]);
    }
    assert_null(entry_table_find(&c.table, SPAN("dir/")));
    assert_null(entry_table_find(&c.table, span_of(NULL, 0)));
    for (unsigned i = 0; i < ENTRIES; i += 2) {
        entry_table_remove(&c.table, c.entries[i]);
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        assert_ptr_equal(entry_table_find(&c.table, span_of_string(c.keys[i])),
                         i % 2 == 0 ? NULL : c.entries[i]);
    }
    entry_table_deinit(&c.table);
}

static void serials_are_never_used_again(void **state)
{
    (void)state;
    static struct entries_case c; /* tidy: too large for the stack */
    fill(&c);
    const uint64_t serial = c.entries[7]->serial;
    entry_set_version(c.entries[7], &c.versions[7]);
    assert_int_equal(c.versions[7].entry_serial, serial);
    entry_table_remove(&c.table, c.entries[7]);
    c.entries[7] = entry_table_add(&c.table, &c.versions[7]);
    assert_true(c.entries[7]->serial > serial);
    entry_table_deinit(&c.table);
}

static void states_are_counted_and_listed(void **state)
{
    (void)state;
    static struct entries_case c; /* tidy: too large for the stack */
    fill(&c);
    entry_table_set_state(&c.table, c.entries[0], ENTRY_RETRY);
    entry_table_set_state(&c.table, c.entries[1], ENTRY_DIRTY);
    entry_table_set_state(&c.table, c.entries[1], ENTRY_DIRTY);
    assert_int_equal(c.table.dirty_count, 1);
    entry_table_dirty_polled(&c.table, 10);
    assert_int_equal(c.table.dirty_count, 2);
    assert_int_equal(c.entries[0]->state, ENTRY_DIRTY);
    entry_table_set_state(&c.table, c.entries[0], ENTRY_RETRY);
    entry_table_dirty_all(&c.table);
    assert_int_equal(c.table.dirty_count, ENTRIES);
    entry_table_remove(&c.table, c.entries[1]);
    assert_int_equal(c.table.dirty_count, ENTRIES - 1);
    entry_table_deinit(&c.table);
}

static void polls_go_round_the_unwatched(void **state)
{
    (void)state;
    static struct entries_case c; /* tidy: too large for the stack */
    fill(&c);
    for (unsigned i = 0; i < 10; i++) {
        entry_table_set_unwatched(&c.table, c.entries[i], true);
        entry_table_set_unwatched(&c.table, c.entries[i], true);
    }
    assert_int_equal(c.table.unwatched_count, 10);
    unsigned polled[10] = {0};
    for (unsigned poll = 0; poll < 5; poll++) {
        entry_table_dirty_polled(&c.table, 4);
        assert_int_equal(c.table.dirty_count, 4);
        for (unsigned i = 0; i < 10; i++) {
            polled[i] += c.entries[i]->state == ENTRY_DIRTY ? 1 : 0;
            entry_table_set_state(&c.table, c.entries[i], ENTRY_CLEAN);
        }
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(polled[i], 2);
        entry_table_set_unwatched(&c.table, c.entries[i], i == 9);
    }
    assert_int_equal(c.table.unwatched_count, 1);
    entry_table_remove(&c.table, c.entries[9]);
    assert_int_equal(c.table.unwatched_count, 0);
    entry_table_deinit(&c.table);
}

#ifdef TURNTABLE_FAULT_POINTS
static void failures_leave_the_table_as_it_was(void **state)
{
    (void)state;
    struct entry_table table = {0};
    struct version version = {.key = SPAN("a")};
    fault_arm("catalog_alloc", 0, 1, ENOMEM);
    assert_int_equal(entry_table_init(&table, 0), -ENOMEM);
    entry_table_deinit(&table);
    assert_int_equal(entry_table_init(&table, 0), 0);
    fault_disarm_all();
    fault_arm("catalog_alloc", 0, 1, ENOMEM);
    assert_null(entry_table_add(&table, &version));
    fault_disarm_all();
    assert_null(entry_table_any(&table));
    entry_table_deinit(&table);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_by_their_key),
        cmocka_unit_test(serials_are_never_used_again),
        cmocka_unit_test(states_are_counted_and_listed),
        cmocka_unit_test(polls_go_round_the_unwatched),
#ifdef TURNTABLE_FAULT_POINTS
        cmocka_unit_test(failures_leave_the_table_as_it_was),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
