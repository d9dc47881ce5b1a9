#include "loadgen/rotator.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "loadgen/version_file.h"
#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/fault.h"

#define FILE_COUNT  5
#define SEED        42
#define WAIT_MAX_NS (20 * NS_PER_SEC)

struct fixture {
    char directory[64];
    struct rotation_log log;
    struct witness *witness;
    struct rotator *rotator;
    uint8_t file[ROTATOR_FILE_BYTES_MAX + 1];
};

static int start(struct fixture *fixture, double rate)
{
    const struct rotator_settings settings = {
        .directory = fixture->directory,
        .file_count = FILE_COUNT,
        .seed = SEED,
        .rate = rate,
    };
    if (rotation_log_init(&fixture->log, SEED, FILE_COUNT) < 0) {
        return -ENOMEM;
    }
    return rotator_create(&settings, &fixture->log, fixture->witness, &fixture->rotator);
}

static void stop(struct fixture *fixture)
{
    rotator_destroy(fixture->rotator);
    fixture->rotator = NULL;
    rotation_log_deinit(&fixture->log);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL || witness_create(&fixture->witness) < 0) {
        return -1;
    }
    (void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/load_rotator_XXXXXX");
    *state = fixture;
    return mkdtemp(fixture->directory) == NULL ? -1 : start(fixture, 200);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    stop(fixture);
    witness_destroy(fixture->witness);
    DIR *directory = opendir(fixture->directory);
    if (directory == NULL) {
        return -1;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        (void)unlinkat(dirfd(directory), entry->d_name, 0); /* "." and ".." stay */
    }
    (void)closedir(directory);
    int result = rmdir(fixture->directory);
    free(fixture);
    return result;
}

/* Reads a file and checks that it is one whole version of its name; returns its label. */
static struct version_label read_version(struct fixture *fixture, uint32_t file_index)
{
    char path[128];
    char name[ROTATOR_NAME_BYTES];
    rotator_write_name(file_index, name);
    (void)snprintf(path, sizeof(path), "%s/%s", fixture->directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t bytes = read(fd, fixture->file, sizeof(fixture->file));
    assert_int_equal(close(fd), 0);
    assert_true(bytes > 0);
    struct version_check check;
    version_check_init(&check);
    version_check_feed(&check, span_of(fixture->file, (size_t)bytes));
    assert_int_equal(version_check_finish(&check), VERSION_INTACT);
    assert_int_equal(check.label.path_id, version_path_id(span_of_string(name)));
    assert_int_equal(check.label.total_bytes, rotator_file_bytes(fixture->rotator, file_index));
    return check.label;
}

static size_t count_names(const struct fixture *fixture)
{
    DIR *directory = opendir(fixture->directory);
    assert_non_null(directory);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    (void)closedir(directory);
    return count;
}

static void rotator_makes_files_that_describe_themselves(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    assert_int_equal(count_names(fixture), FILE_COUNT);
    for (uint32_t i = 0; i < FILE_COUNT; i++) {
        struct version_label label = read_version(fixture, i);
        assert_int_equal(label.number, 1);
        assert_int_equal(label.seed, SEED);
        assert_in_range(label.total_bytes, ROTATOR_FILE_BYTES_MIN, ROTATOR_FILE_BYTES_MAX);
        assert_int_equal(rotation_log_newest(&fixture->log, i), 1);
    }
}

static void rotator_knows_the_names_of_its_files(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 12000; i += 7) {
        char name[ROTATOR_NAME_BYTES];
        rotator_write_name(i, name);
        assert_int_equal(rotator_find_name(span_of_string(name), 12000), i);
        assert_int_equal(rotator_find_name(span_of_string(name), i), UINT32_MAX);
    }
    static const char *const others[] = {"",
                                         "index.html",
                                         "rotate-0003.bin",
                                         "rotate-3.bin",
                                         "rotate-003.bin2",
                                         "xrotate-003.bin",
                                         "rotate-99999999999999999999999999.bin"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_int_equal(rotator_find_name(span_of_string(others[i]), 12000), UINT32_MAX);
    }
}

static void rotator_replaces_one_version_by_the_next(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    unsigned same_size = 0;
    for (uint64_t number = 2; number <= 201; number++) {
        uint64_t bytes = rotator_file_bytes(fixture->rotator, 2);
        assert_int_equal(rotator_replace(fixture->rotator, 2), 0);
        assert_int_equal(read_version(fixture, 2).number, number);
        same_size += rotator_file_bytes(fixture->rotator, 2) == bytes;
    }
    assert_in_range(same_size, 70, 130);
    assert_int_equal(rotation_log_newest(&fixture->log, 2), 201);
    assert_int_equal(read_version(fixture, 1).number, 1);
    assert_int_equal(count_names(fixture), FILE_COUNT);
    assert_int_equal(witness_counts(fixture->witness).watched, 200);
}

static void rotator_makes_the_same_sizes_from_the_same_seed(void **state)
{
    struct fixture *fixture = *state;
    uint64_t sizes[20];
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        assert_int_equal(rotator_replace(fixture->rotator, 4), 0);
        sizes[i] = rotator_file_bytes(fixture->rotator, 4);
    }
    stop(fixture);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/rotate-004.bin", fixture->directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(start(fixture, 0), 0);
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        assert_int_equal(rotator_replace(fixture->rotator, 4), 0);
        assert_int_equal(rotator_file_bytes(fixture->rotator, 4), sizes[i]);
    }
}

static void rotator_goes_on_where_an_earlier_run_ended(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    assert_int_equal(rotator_replace(fixture->rotator, 0), 0);
    stop(fixture);
    assert_int_equal(start(fixture, 0), 0);
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    assert_int_equal(read_version(fixture, 0).number, 3);
    assert_int_equal(read_version(fixture, 1).number, 2);
    assert_int_equal(rotation_log_newest(&fixture->log, 0), 3);
}

static void rotator_keeps_its_pace(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    uint64_t begin_ns = clock_monotonic_ns(clock_system());
    assert_int_equal(rotator_start(fixture->rotator), 0);
    while (rotator_replaced_count(fixture->rotator) < 40 &&
           clock_monotonic_ns(clock_system()) - begin_ns < WAIT_MAX_NS) {
        (void)sched_yield();
    }
    uint64_t took_ns = clock_monotonic_ns(clock_system()) - begin_ns;
    struct rotator_counts counts = rotator_stop(fixture->rotator);
    /* Never ahead of its 200 a second; how far behind is the machine's affair. */
    assert_true(counts.replaced >= 40);
    assert_true(took_ns >= 40 * NS_PER_SEC / 200);
    assert_int_equal(counts.failed, 0);
    assert_true(counts.cpu_ns > 0);
    for (uint32_t i = 0; i < FILE_COUNT; i++) {
        assert_int_equal(read_version(fixture, i).number, rotation_log_newest(&fixture->log, i));
    }
}

static void rotator_at_rate_zero_replaces_nothing(void **state)
{
    struct fixture *fixture = *state;
    stop(fixture);
    assert_int_equal(start(fixture, 0), 0);
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    assert_int_equal(rotator_start(fixture->rotator), 0);
    assert_int_equal(rotator_stop(fixture->rotator).replaced, 0);
}

static void rotator_reports_missing_directory(void **state)
{
    struct fixture *fixture = *state;
    const struct rotator_settings settings = {
        .directory = "/no/such/directory",
        .file_count = FILE_COUNT,
        .seed = SEED,
    };
    struct rotator *rotator = NULL;
    assert_int_equal(rotator_create(&settings, &fixture->log, NULL, &rotator), -ENOENT);
    assert_null(rotator);
}

#ifdef TURNTABLE_FAULT_POINTS
static void rotator_leaves_the_old_version_when_it_fails(void **state)
{
    struct fixture *fixture = *state;
    static const char *const points[] = {"rotator_write", "rotator_rename"};
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    for (size_t i = 0; i < ARRAY_COUNT(points); i++) {
        fault_arm(points[i], 0, 1, ENOSPC);
        assert_int_equal(rotator_replace(fixture->rotator, 1), -ENOSPC);
        fault_disarm_all();
        assert_int_equal(read_version(fixture, 1).number, i + 1);
        assert_int_equal(rotation_log_newest(&fixture->log, 1), i + 1);
        assert_int_equal(count_names(fixture), FILE_COUNT);
        assert_int_equal(witness_counts(fixture->witness).watched, i);
        assert_int_equal(rotator_replace(fixture->rotator, 1), 0);
        assert_int_equal(read_version(fixture, 1).number, i + 2);
    }
}

static void rotator_gives_up_on_a_full_disk(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(rotator_make_files(fixture->rotator), 0);
    fault_arm("rotator_write", 3, 1000, ENOSPC);
    assert_int_equal(rotator_start(fixture->rotator), 0);
    uint64_t begin_ns = clock_monotonic_ns(clock_system());
    while (rotator_replaced_count(fixture->rotator) < 3 &&
           clock_monotonic_ns(clock_system()) - begin_ns < WAIT_MAX_NS) {
        (void)sched_yield();
    }
    /* The thread ends by itself: a stop that comes too early would see fewer failures. */
    while (clock_monotonic_ns(clock_system()) - begin_ns < NS_PER_SEC / 5) {
        (void)sched_yield();
    }
    struct rotator_counts counts = rotator_stop(fixture->rotator);
    fault_disarm_all();
    assert_int_equal(counts.replaced, 3);
    assert_in_range(counts.failed, 1, ROTATOR_FAILURES_MAX);
    assert_int_equal(counts.error, -ENOSPC);
}
#endif

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(rotator_makes_files_that_describe_themselves),
        CASE(rotator_knows_the_names_of_its_files),
        CASE(rotator_replaces_one_version_by_the_next),
        CASE(rotator_makes_the_same_sizes_from_the_same_seed),
        CASE(rotator_goes_on_where_an_earlier_run_ended),
        CASE(rotator_keeps_its_pace),
        CASE(rotator_at_rate_zero_replaces_nothing),
        CASE(rotator_reports_missing_directory),
#ifdef TURNTABLE_FAULT_POINTS
        CASE(rotator_leaves_the_old_version_when_it_fails),
        CASE(rotator_gives_up_on_a_full_disk),
#endif
    };
#undef CASE
    return cmocka_run_group_tests_name("load_rotator", tests, NULL, NULL);
}
