#include "loadgen/witness.h"

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

#include "server/base/clock.h"

#define WAIT_MAX_NS (20 * NS_PER_SEC)

struct fixture {
    struct witness *witness;
    char directory[64];
    char path[96];
    char new_path[96];
};

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL || witness_create(&fixture->witness) < 0) {
        return -1;
    }
    (void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/load_witness_XXXXXX");
    if (mkdtemp(fixture->directory) == NULL) {
        return -1;
    }
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/file", fixture->directory);
    (void)snprintf(fixture->new_path, sizeof(fixture->new_path), "%s/new", fixture->directory);
    make_file(fixture->path);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    witness_destroy(fixture->witness);
    (void)unlink(fixture->path);
    (void)unlink(fixture->new_path);
    int result = rmdir(fixture->directory);
    free(fixture);
    return result;
}

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_system());
}

static int watch(struct fixture *fixture)
{
    int number = witness_watch(fixture->witness, fixture->path);
    assert_true(number >= 0);
    return number;
}

static void replace(struct fixture *fixture, int watch_number)
{
    make_file(fixture->new_path);
    assert_int_equal(rename(fixture->new_path, fixture->path), 0);
    witness_replaced(fixture->witness, watch_number, now_ns());
}

static struct witness_counts wait_for_released(struct fixture *fixture, uint64_t released)
{
    uint64_t end_ns = now_ns() + WAIT_MAX_NS;
    struct witness_counts counts = witness_counts(fixture->witness);
    while (counts.released < released && now_ns() < end_ns) {
        (void)sched_yield();
        counts = witness_counts(fixture->witness);
    }
    return counts;
}

static void witness_sees_release_at_once_when_nobody_holds_the_file(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 1; i <= 20; i++) {
        replace(fixture, watch(fixture));
        struct witness_counts counts = wait_for_released(fixture, i);
        assert_int_equal(counts.released, i);
        assert_int_equal(counts.watched, i);
        assert_int_equal(counts.pending, 0);
    }
    struct histogram releases;
    histogram_reset(&releases);
    witness_merge_releases(fixture->witness, &releases);
    assert_int_equal(releases.count, 20);
}

static void witness_waits_for_the_last_descriptor(void **state)
{
    struct fixture *fixture = *state;
    int holder = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_true(holder >= 0);
    uint64_t before_ns = now_ns();
    replace(fixture, watch(fixture));
    uint64_t after_ns = now_ns();
    /* A later file that nobody holds is seen to go, the held one is not. */
    replace(fixture, watch(fixture));
    struct witness_counts counts = wait_for_released(fixture, 1);
    assert_int_equal(counts.released, 1);
    assert_int_equal(counts.pending, 1);

    uint64_t closed_ns = now_ns();
    assert_int_equal(close(holder), 0);
    counts = wait_for_released(fixture, 2);
    assert_int_equal(counts.released, 2);
    assert_int_equal(counts.pending, 0);
    struct histogram releases;
    histogram_reset(&releases);
    witness_merge_releases(fixture->witness, &releases);
    assert_true(releases.max_ns >= closed_ns - after_ns);
    assert_true(releases.max_ns <= now_ns() - before_ns);
}

static void witness_forgets_what_was_cancelled(void **state)
{
    struct fixture *fixture = *state;
    witness_cancel(fixture->witness, watch(fixture));
    struct witness_counts counts = witness_counts(fixture->witness);
    assert_int_equal(counts.watched, 0);
    assert_int_equal(counts.pending, 0);
    replace(fixture, watch(fixture));
    counts = wait_for_released(fixture, 1);
    assert_int_equal(counts.watched, 1);
    assert_int_equal(counts.lost, 0);
}

static void witness_counts_what_it_cannot_watch(void **state)
{
    struct fixture *fixture = *state;
    int number = witness_watch(fixture->witness, "/no/such/file");
    assert_true(number < 0);
    witness_replaced(fixture->witness, number, now_ns());
    witness_cancel(fixture->witness, number);
    struct witness_counts counts = witness_counts(fixture->witness);
    assert_int_equal(counts.unwatched, 1);
    assert_int_equal(counts.watched, 0);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(witness_sees_release_at_once_when_nobody_holds_the_file),
        CASE(witness_waits_for_the_last_descriptor),
        CASE(witness_forgets_what_was_cancelled),
        CASE(witness_counts_what_it_cannot_watch),
    };
#undef CASE
    return cmocka_run_group_tests_name("load_witness", tests, NULL, NULL);
}
