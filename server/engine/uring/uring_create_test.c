/*
 * Creating an engine where something is refused, and system calls that fail later.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/engine/uring/uring_fixture.h"

#define MINUTE_NS (60 * NS_PER_SEC)

static void create_refuses_numbers_out_of_range(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct engine_config config;
    } cases[] = {
        {"no entries", {0, 1, 16, 512}},
        {"entries not a power of two", {65, 1, 16, 512}},
        {"too many entries", {65536, 1, 16, 512}},
        {"too many slots", {64, URING_SLOTS_MAX + 1, 16, 512}},
        {"too few buffers", {64, 1, 8, 512}},
        {"buffers not a power of two", {64, 1, 17, 512}},
        {"too many buffers", {64, 1, 65536, 512}},
        {"buffers too small", {64, 1, 16, 511}},
        {"buffers too large", {64, 1, 16, 65537}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s\n", cases[i].name);
        struct engine *engine = NULL;
        const char *what = NULL;
        assert_int_equal(uring_create(&cases[i].config, &engine, &what), -EINVAL);
        assert_null(engine);
        assert_non_null(what);
    }
}

static void create_works_at_both_ends_of_the_range(void **state)
{
    (void)state;
    static const struct engine_config configs[] = {
        {64, 0, 16, 512}, {32768, 1, 32768, 65536}, /* two GiB of buffers that nobody touches */
    };
    for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
        struct engine *engine;
        const char *what = "";
        assert_int_equal(uring_create(&configs[i], &engine, &what), 0);
        engine_destroy(engine);
    }
}

static void create_raises_the_soft_limit_of_open_files(void **state)
{
    (void)state;
    struct rlimit before;
    assert_return_code(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit low = {.rlim_cur = 64, .rlim_max = before.rlim_max};
    assert_return_code(setrlimit(RLIMIT_NOFILE, &low), 0);
    const struct engine_config config = {64, 1000, 16, 512};
    struct engine *engine;
    const char *what = "";
    assert_int_equal(uring_create(&config, &engine, &what), 0);
    struct rlimit after;
    assert_return_code(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, 1000);
    assert_int_equal(after.rlim_max, before.rlim_max);
    engine_destroy(engine);
    assert_return_code(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void create_refuses_more_slots_than_files_may_be_open(void **state)
{
    (void)state;
    struct engine_config config = {64, URING_SLOTS_MAX, 16, 512};
    struct engine *engine;
    const char *what = "";
    const int result = uring_create(&config, &engine, &what);
    if (result == 0) { /* this machine allows a million */
        engine_destroy(engine);
        skip();
    }
    assert_int_equal(result, -EMFILE);
    assert_non_null(strstr(what, "LimitNOFILE"));
}

#ifdef TURNTABLE_FAULT_POINTS

static const struct engine_config small = {
    .entry_count = 64, .slot_count = 16, .receive_buffer_count = 16, .receive_buffer_bytes = 512};

static void create_fails_cleanly_at_each_step(void **state)
{
    (void)state;
    static const struct {
        const char *point;
        uint64_t count; /* how often it fails: a refusal of flags is tried again */
        int error;
        const char *want;
    } cases[] = {
        {"uring_setup", 1, EPERM, "seccomp"},   {"uring_setup", 1, ENOMEM, "LimitMEMLOCK"},
        {"uring_setup", 9, EINVAL, "too old"},  {"uring_setup", 1, ENOSYS, "CONFIG_IO_URING"},
        {"uring_files", 1, ENOMEM, "slots"},    {"uring_files", 1, EMFILE, "LimitNOFILE"},
        {"uring_buffers", 1, ENOMEM, "buffer"}, {"uring_buffers", 1, EINVAL, "6.1"},
    };
    const uint32_t open_files = fixture_open_files();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s %s\n", cases[i].point, strerrorname_np(cases[i].error));
        fault_arm(cases[i].point, 0, cases[i].count, cases[i].error);
        struct engine *engine = NULL;
        const char *what = "";
        assert_int_equal(uring_create(&small, &engine, &what), -cases[i].error);
        assert_non_null(strstr(what, cases[i].want));
        fault_disarm_all();
    }
    assert_int_equal(fixture_open_files(), open_files);
}

static void old_kernel_without_newer_flags_still_works(void **state)
{
    (void)state;
    fault_arm("uring_setup", 0, 1, EINVAL);
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    const char *what;
    assert_int_equal(uring_create(&small, &fixture->engine, &what), 0);
    fault_disarm_all();
    assert_int_equal(fixture_uring(fixture)->ring.io.flags & IORING_SETUP_NO_SQARRAY, 0);
    fixture_overfill(fixture);
    engine_destroy(fixture->engine);
    free(fixture);
}

static void passing_errors_of_an_entry_are_retried(void **state)
{
    struct fixture *fixture = *state;
    static const int errors[] = {EAGAIN, EBUSY, EINTR};
    const int fd = eventfd(1, EFD_CLOEXEC);
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        const uint64_t before = engine_counters(fixture->engine)->submit_retries;
        fault_arm("uring_enter", 0, 2, errors[i]);
        engine_start_poll(fixture->engine, token_of(1, 1), fd, POLLIN);
        struct engine_event event;
        assert_int_equal(engine_wait(fixture->engine, &event, 1), 0);
        assert_int_equal(engine_wait(fixture->engine, &event, 1), 0);
        assert_int_equal(engine_wait(fixture->engine, &event, 1), 1);
        const uint64_t retries = engine_counters(fixture->engine)->submit_retries - before;
        assert_int_equal(retries, errors[i] == EINTR ? 0 : 2);
        fault_disarm_all();
    }
    close(fd);
    fault_arm("uring_enter", 0, 3, EAGAIN); /* with a full queue there is no way but to insist */
    fixture_overfill(fixture);
    fault_disarm_all();
}

static void dead_ring_says_so_and_swallows_the_rest(void **state)
{
    struct fixture *fixture = *state;
    fault_arm("uring_enter", 0, 1, EBADF);
    struct engine_event event;
    assert_int_equal(engine_wait(fixture->engine, &event, 1), -EBADF);
    fault_disarm_all();
    assert_int_equal(engine_wait(fixture->engine, &event, 1), -EBADF);
    for (uint32_t i = 0; i < 3 * FIXTURE_ENTRIES; i++) {
        engine_start_timeout(fixture->engine, token_of(i, 1), MINUTE_NS);
    }
    assert_int_equal(engine_wait(fixture->engine, &event, 1), -EBADF);
}

#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    fixture_skip_without_uring();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_refuses_numbers_out_of_range),
        cmocka_unit_test(create_works_at_both_ends_of_the_range),
        cmocka_unit_test(create_raises_the_soft_limit_of_open_files),
        cmocka_unit_test(create_refuses_more_slots_than_files_may_be_open),
#ifdef TURNTABLE_FAULT_POINTS
        cmocka_unit_test(create_fails_cleanly_at_each_step),
        cmocka_unit_test(old_kernel_without_newer_flags_still_works),
        TEST(passing_errors_of_an_entry_are_retried),
        TEST(dead_ring_says_so_and_swallows_the_rest),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
