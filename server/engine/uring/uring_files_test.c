/*
 * The table of registered files: what an update leaves behind when it fails, and when the kernel
 * says that a file is released.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/engine/uring/probe.h"
#include "server/engine/uring/uring_fixture.h"

#define HOLE   (-1)
#define SKIP   (-2)
#define READER 1

static int32_t read_slot(struct fixture *fixture, uint32_t slot, char ret_text[static 16])
{
    memset(ret_text, 0, 16);
    const struct engine_file file = {.is_slot = true, .number = slot};
    engine_start_read(fixture->engine, token_of(READER, 0), file, ret_text, 15, 0);
    return fixture_await(fixture, ENGINE_READ, READER).result;
}

static void assert_slot(struct fixture *fixture, uint32_t slot, const char *want)
{
    char got[16];
    const int32_t result = read_slot(fixture, slot, got);
    if (want == NULL) {
        assert_int_equal(result, -EBADF);
        return;
    }
    assert_int_equal(result, strlen(want));
    assert_string_equal(got, want);
}

/* Fills slots 0..2 with files "a", "b", "c" and serials 1, 2, 3. */
static void fill_three(struct fixture *fixture)
{
    const int32_t fds[] = {fixture_file("a"), fixture_file("b"), fixture_file("c")};
    const uint32_t serials[] = {1, 2, 3};
    assert_int_equal(engine_update_files(fixture->engine, 0, fds, serials, 3), 3);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        close(fds[i]); /* the table keeps the file */
    }
}

static uint32_t await_release(struct fixture *fixture, uint32_t slot)
{
    const struct engine_event event = fixture_await(fixture, ENGINE_FILE_RELEASED, slot);
    assert_false(event.has_more);
    assert_int_equal(event.result, 0);
    return event.token.generation;
}

static void update_with_a_bad_descriptor_empties_its_slot_and_stops(void **state)
{
    struct fixture *fixture = *state;
    fill_three(fixture);
    const int32_t fds[] = {fixture_file("A"), 999999, fixture_file("C")};
    const uint32_t serials[] = {4, 5, 6};
    assert_int_equal(engine_update_files(fixture->engine, 0, fds, serials, 3), 1);
    assert_slot(fixture, 0, "A");
    assert_slot(fixture, 1, NULL);
    assert_slot(fixture, 2, "c");
    assert_int_equal(await_release(fixture, 0), 1);
    assert_int_equal(await_release(fixture, 1), 2);
    assert_false(fixture_has_come(fixture, ENGINE_FILE_RELEASED, 2));
    assert_int_equal(fixture->early_count, 0); /* the tag of what never got in is not told */
    close(fds[0]);
    close(fds[2]);
}

static void update_that_fails_at_once_returns_the_error(void **state)
{
    struct fixture *fixture = *state;
    fill_three(fixture);
    const int32_t fd = 999999;
    const uint32_t serial = 9;
    assert_int_equal(engine_update_files(fixture->engine, 1, &fd, &serial, 1), -EBADF);
    assert_slot(fixture, 1, NULL);
    assert_int_equal(await_release(fixture, 1), 2);
    const uint32_t none = 0;
    const int32_t hole = HOLE;
    assert_int_equal(engine_update_files(fixture->engine, FIXTURE_SLOTS, &hole, &none, 1), -EINVAL);
    assert_int_equal(engine_update_files(fixture->engine, 0, &hole, &none, 0), 0);
}

static void update_skips_and_clears(void **state)
{
    struct fixture *fixture = *state;
    fill_three(fixture);
    const int32_t fds[] = {HOLE, SKIP, fixture_file("C")};
    const uint32_t serials[] = {0, 0, 6};
    assert_int_equal(engine_update_files(fixture->engine, 0, fds, serials, 3), 3);
    close(fds[2]);
    assert_slot(fixture, 0, NULL);
    assert_slot(fixture, 1, "b");
    assert_slot(fixture, 2, "C");
    assert_int_equal(await_release(fixture, 0), 1);
    assert_int_equal(await_release(fixture, 2), 3);
    assert_false(fixture_has_come(fixture, ENGINE_FILE_RELEASED, 1));
}

static void update_of_many_slots_reports_each_release(void **state)
{
    struct fixture *fixture = *state;
    int32_t fds[FIXTURE_SLOTS];
    uint32_t serials[FIXTURE_SLOTS];
    const int file = fixture_file("x");
    for (uint32_t i = 0; i < FIXTURE_SLOTS; i++) {
        fds[i] = file;
        serials[i] = ENGINE_GENERATION_MASK - i;
    }
    assert_int_equal(engine_update_files(fixture->engine, 0, fds, serials, FIXTURE_SLOTS),
                     FIXTURE_SLOTS);
    close(file);
    for (uint32_t i = 0; i < FIXTURE_SLOTS; i++) {
        fds[i] = HOLE;
        serials[i] = 0;
    }
    assert_int_equal(engine_update_files(fixture->engine, 0, fds, serials, FIXTURE_SLOTS),
                     FIXTURE_SLOTS);
    for (uint32_t i = 0; i < FIXTURE_SLOTS; i++) {
        assert_int_equal(await_release(fixture, i), ENGINE_GENERATION_MASK - i);
    }
}

static void update_that_fails_beyond_the_first_chunk_counts_from_the_first_slot(void **state)
{
    struct fixture *fixture = *state;
    int32_t fds[FIXTURE_SLOTS];
    uint32_t serials[FIXTURE_SLOTS];
    const int file = fixture_file("x");
    for (uint32_t i = 0; i < FIXTURE_SLOTS; i++) {
        fds[i] = i == 300 ? 999999 : file;
        serials[i] = i + 1;
    }
    assert_int_equal(engine_update_files(fixture->engine, 0, fds, serials, FIXTURE_SLOTS), 300);
    assert_slot(fixture, 299, "x");
    assert_slot(fixture, 300, NULL);
    fds[256] = 999999; /* the first of a chunk: nothing of that chunk is done */
    assert_int_equal(engine_update_files(fixture->engine, 0, fds, serials, FIXTURE_SLOTS), 256);
    assert_slot(fixture, 256, NULL);
    close(file);
}

/* A pipe in a slot, so that a read lasts until the test writes. */
struct slow_file {
    int ends[2];
    char got[16];
};

static void start_slow_read(struct fixture *fixture, uint32_t slot, struct slow_file *slow)
{
    assert_return_code(pipe(slow->ends), 0);
    const uint32_t serial = 77;
    assert_int_equal(engine_update_files(fixture->engine, slot, &slow->ends[0], &serial, 1), 1);
    const struct engine_file file = {.is_slot = true, .number = slot};
    engine_start_read(fixture->engine, token_of(50, 0), file, slow->got, sizeof(slow->got), 0);
    fixture_settle(fixture);
}

static void clear_slot(struct fixture *fixture, uint32_t slot)
{
    const int32_t hole = HOLE;
    const uint32_t none = 0;
    assert_int_equal(engine_update_files(fixture->engine, slot, &hole, &none, 1), 1);
}

static void release_waits_for_the_read_in_flight(void **state)
{
    struct fixture *fixture = *state;
    struct slow_file slow = {.got = ""};
    start_slow_read(fixture, 9, &slow);
    clear_slot(fixture, 9);
    assert_false(fixture_has_come(fixture, ENGINE_FILE_RELEASED, 9));
    assert_slot(fixture, 9, NULL);
    assert_false(fixture_has_come(fixture, ENGINE_READ, 50));
    assert_int_equal(write(slow.ends[1], "late", 4), 4);
    assert_int_equal(fixture_await(fixture, ENGINE_READ, 50).result, 4);
    assert_memory_equal(slow.got, "late", 4);
    assert_int_equal(await_release(fixture, 9), 77);
    close(slow.ends[0]);
    close(slow.ends[1]);
}

static void read_in_flight_keeps_the_file_that_was_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct slow_file slow = {.got = ""};
    start_slow_read(fixture, 9, &slow);
    const int32_t file = fixture_file("new");
    const uint32_t serial = 78;
    assert_int_equal(engine_update_files(fixture->engine, 9, &file, &serial, 1), 1);
    close(file);
    assert_slot(fixture, 9, "new");
    assert_int_equal(write(slow.ends[1], "old", 3), 3);
    assert_int_equal(fixture_await(fixture, ENGINE_READ, 50).result, 3);
    assert_memory_equal(slow.got, "old", 3);
    assert_int_equal(await_release(fixture, 9), 77);
    close(slow.ends[0]);
    close(slow.ends[1]);
}

/* What the start-up probe says is what the engine then sees. */
static void lifetime_is_as_probed(void **state)
{
    struct fixture *fixture = *state;
    enum lifetime lifetime;
    assert_int_equal(lifetime_probe(&lifetime), 0);
    fill_three(fixture);
    struct slow_file slow = {.got = ""};
    start_slow_read(fixture, 9, &slow);
    clear_slot(fixture, 0);
    const bool is_released = fixture_has_come(fixture, ENGINE_FILE_RELEASED, 0);
    assert_int_equal(is_released, lifetime == LIFETIME_PER_SLOT);
    assert_int_equal(write(slow.ends[1], "x", 1), 1);
    assert_int_equal(fixture_await(fixture, ENGINE_READ, 50).result, 1);
    assert_int_equal(await_release(fixture, 0), 1);
    close(slow.ends[0]);
    close(slow.ends[1]);
}

static void read_and_poll_on_descriptors_pin_no_slot(void **state)
{
    struct fixture *fixture = *state;
    fill_three(fixture);
    int ends[2];
    assert_return_code(pipe(ends), 0);
    char got[4];
    const struct engine_file file = {.is_slot = false, .number = (uint32_t)ends[0]};
    engine_start_read(fixture->engine, token_of(51, 0), file, got, sizeof(got), 0);
    fixture_settle(fixture);
    clear_slot(fixture, 0);
    assert_int_equal(await_release(fixture, 0), 1);
    close(ends[1]);
    assert_int_equal(fixture_await(fixture, ENGINE_READ, 51).result, 0);
    close(ends[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    fixture_skip_without_uring();
    const struct CMUnitTest tests[] = {
        TEST(update_with_a_bad_descriptor_empties_its_slot_and_stops),
        TEST(update_that_fails_at_once_returns_the_error),
        TEST(update_skips_and_clears),
        TEST(update_of_many_slots_reports_each_release),
        TEST(update_that_fails_beyond_the_first_chunk_counts_from_the_first_slot),
        TEST(release_waits_for_the_read_in_flight),
        TEST(read_in_flight_keeps_the_file_that_was_replaced),
        TEST(lifetime_is_as_probed),
        TEST(read_and_poll_on_descriptors_pin_no_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
