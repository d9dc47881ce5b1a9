/*
 * When the system fails: the old version serves on (law L8), nothing leaks, and what was missed is
 * found by looking. Each fault point is failed at its first visit, its second, and so on.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/catalog/catalog.h"
#include "server/catalog/tree_fixture.h"
#include "server/catalog/worker_fixture.h"

static const struct catalog_counters *counters_of(const struct sim *sim)
{
    return catalog_counters(sim->catalog);
}

static unsigned queue_limit(void)
{
    unsigned limit = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%u", &limit) != 1) {
        limit = 0;
    }
    (void)fclose(file); /* read only */
    return limit;
}

/* More events than the kernel queues, without touching its limit: what comes then is lost. */
static void overflow_looks_at_everything(void **state)
{
    struct sim *sim = *state;
    struct tree *tree = &sim->tree;
    const unsigned limit = queue_limit();
    if (limit == 0 || limit > 100000) {
        skip();
    }
    tree_mkdir(tree, "1");
    tree_mkdir(tree, "2");
    tree_write(tree, "1/a", "a1");
    tree_write(tree, "1/b", "b1");
    tree_write(tree, "2/a", "a2");
    tree_symlink(tree, "1", "current");
    sim_start(sim, &(struct sim_options){.root = "current"});
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    assert_int_equal(sim_status(sim, 0, "b"), 200);
    (void)sim_take(sim);
    for (unsigned i = 0; i < limit / 2 + 1; i++) {
        tree_write(tree, "1/noise", "");
        tree_unlink(tree, "1/noise");
    }
    tree_flip(tree, "2", "current");
    assert_int_equal(sim_take(sim), 2);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a", "a2"));
    assert_null(sim_mapped(sim, 0, SPAN("b")));
    assert_int_equal(counters_of(sim)->watch_overflows, 1);
    sim_stop(sim);
}

/* A directory above the root may be searched but not read: the owner shut it for himself. */
static void check_unreadable_ancestor(void **state)
{
    struct sim *sim = *state;
    struct tree *tree = &sim->tree;
    tree_mkdir(tree, "work/shut");
    tree_mkdir(tree, "work/1");
    tree_mkdir(tree, "work/2");
    tree_write(tree, "work/1/a", "one");
    tree_write(tree, "work/2/a", "two");
    tree_symlink(tree, "../1", "work/shut/current");
    tree_chmod(tree, "work/shut", 0300);
    sim_start(sim, &(struct sim_options){.root = "work/shut/current"});
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    assert_true(catalog_wants_poll(sim->catalog));
    assert_int_equal(counters_of(sim)->unwatched, 0); /* the path itself is watched */
    tree_replace(tree, "work/1/a", "one!");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    tree_symlink(tree, "../2", "work/shut/next");
    tree_rename(tree, "work/shut/next", "work/shut/current");
    sim_let_poll(sim);
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a", "two"));
    assert_int_equal(sim_take(sim), 0);

    /* Who asks in between is answered with what is there now. */
    tree_symlink(tree, "../1", "work/shut/next");
    tree_rename(tree, "work/shut/next", "work/shut/current");
    assert_int_equal(sim_status(sim, 1, "a"), 200);
    assert_true(sim_serves(sim, 1, "a", "one!"));
    assert_true(sim_serves(sim, 0, "a", "one!"));
    sim_let_poll(sim);
    (void)sim_take(sim);
    const uint64_t refreshes = counters_of(sim)->refreshes;
    sim_let_poll(sim);
    assert_int_equal(sim_take(sim), 0);
    assert_int_equal(counters_of(sim)->refreshes, refreshes);
    sim_stop(sim);
    tree_chmod(tree, "work/shut", 0700);
}

/* Two shut directories, the inner one replaced: nothing at all is heard of that. */
static void check_unreadable_parent(void **state)
{
    struct sim *sim = *state;
    struct tree *tree = &sim->tree;
    static const char *const directories[] = {"work/shut", "work/shut/in", "work/shut/in/site",
                                              "work/shut/next", "work/shut/next/site"};
    for (size_t i = 0; i < ARRAY_COUNT(directories); i++) {
        tree_mkdir(tree, directories[i]);
    }
    tree_write(tree, "work/shut/in/site/a", "one");
    tree_write(tree, "work/shut/next/site/a", "two");
    tree_chmod(tree, "work/shut/next", 0300);
    tree_chmod(tree, "work/shut/in", 0300);
    tree_chmod(tree, "work/shut", 0300);
    sim_start(sim, &(struct sim_options){.root = "work/shut/in/site"});
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    assert_int_equal(sim_take(sim), 0); /* the first poll is due at once */
    tree_rename(tree, "work/shut/in", "work/shut/old");
    tree_rename(tree, "work/shut/next", "work/shut/in");
    assert_int_equal(sim_take(sim), 0); /* not due */
    sim_let_poll(sim);
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a", "two"));
    sim_stop(sim);
    tree_chmod(tree, "work/shut", 0700);
    tree_chmod(tree, "work/shut/in", 0700);
    tree_chmod(tree, "work/shut/old", 0700);
}

static void run_shut(void **state, void (*run)(void **state))
{
    struct sim *sim = *state;
    tree_mkdir(&sim->tree, "work");
    tree_chmod(&sim->tree, "work", 0777);
    tree_chmod(&sim->tree, ".", 0777);
    if (!test_run_as_nobody(&sim->tree, run, state)) {
        skip();
    }
}

static void unreadable_ancestor_is_polled(void **state)
{
    run_shut(state, check_unreadable_ancestor);
}

static void unreadable_parent_is_polled(void **state)
{
    run_shut(state, check_unreadable_parent);
}

#ifdef TURNTABLE_FAULT_POINTS

static void system_failure_keeps_the_old_version_serving(void **state)
{
    struct sim *sim = *state;
    static const struct {
        const char *point;
        int error_number;
    } cases[] = {{"catalog_openat2", EMFILE},
                 {"catalog_openat2", ENFILE},
                 {"catalog_stat", EIO},
                 {"catalog_alloc", ENOMEM},
                 {"catalog_pread", EIO}};
    sim_start(sim, &(struct sim_options){.memory_body_bytes = 64, .memory_total_bytes = 4096});
    tree_write(&sim->tree, "root/a", "old");
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s %s\n", cases[i].point, strerror(cases[i].error_number));
        tree_replace(&sim->tree, "root/a", "new");
        fault_arm(cases[i].point, 0, UINT64_MAX, cases[i].error_number);
        assert_int_equal(sim_take(sim), 0);
        assert_true(sim_serves(sim, 0, "a", "old"));
        assert_true(catalog_wants_poll(sim->catalog));
        sim_let_poll(sim);
        assert_int_equal(sim_take(sim), 0);
        fault_disarm_all();
        sim_let_poll(sim);
        assert_int_equal(sim_take(sim), 1);
        sim_settle(sim);
        assert_true(sim_serves(sim, 0, "a", "new"));
        assert_false(catalog_wants_poll(sim->catalog));
        tree_replace(&sim->tree, "root/a", "old");
        assert_int_equal(sim_take(sim), 1);
        sim_settle(sim);
    }
    assert_int_equal(counters_of(sim)->load_failures, 0);
    assert_true(counters_of(sim)->refresh_failures >= ARRAY_COUNT(cases));
    sim_stop(sim);
}

static void failed_look_is_repeated_when_the_poll_is_due(void **state)
{
    struct sim *sim = *state;
    sim_start(sim, &(struct sim_options){0});
    tree_write(&sim->tree, "root/a", "old");
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    tree_replace(&sim->tree, "root/a", "new");
    fault_arm("catalog_openat2", 0, 1, EMFILE);
    assert_int_equal(sim_take(sim), 0);
    fault_disarm_all();
    assert_int_equal(sim_take(sim), 0); /* not due */
    assert_int_equal(counters_of(sim)->refreshes, 1);
    sim_let_poll(sim);
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    sim_stop(sim);
}

/* Nobody gets an answer that could not be confirmed; who holds the path keeps it. */
static void load_of_a_cached_path_that_fails_is_503(void **state)
{
    struct sim *sim = *state;
    sim_start(sim, &(struct sim_options){0});
    tree_write(&sim->tree, "root/a", "one");
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    fault_arm("catalog_openat2", 0, UINT64_MAX, EMFILE);
    assert_int_equal(sim_status(sim, 0, "a"), 503);
    assert_int_equal(sim_status(sim, 1, "a"), 503);
    fault_disarm_all();
    assert_true(sim_serves(sim, 0, "a", "one"));
    assert_null(sim_mapped(sim, 1, SPAN("a")));
    assert_int_equal(counters_of(sim)->load_failures, 2);
    assert_int_equal(sim_status(sim, 1, "a"), 200);
    sim_stop(sim);
}

static void path_that_cannot_be_watched_is_polled(void **state)
{
    struct sim *sim = *state;
    sim_start(sim, &(struct sim_options){0});
    sim->clock.ahead_seconds = 10;
    tree_mkdir(&sim->tree, "root/dir");
    tree_write(&sim->tree, "root/dir/a", "one");
    fault_arm("catalog_add_watch", 0, UINT64_MAX, ENOSPC);
    assert_int_equal(sim_status(sim, 0, "dir/a"), 200);
    assert_true(catalog_wants_poll(sim->catalog));
    assert_int_equal(counters_of(sim)->unwatched, 1);
    assert_true(counters_of(sim)->watch_limit_hits > 0);

    tree_replace(&sim->tree, "root/dir/a", "two");
    assert_int_equal(sim_take(sim), 0); /* not due */
    sim_let_poll(sim);
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "dir/a", "two"));
    assert_int_equal(counters_of(sim)->unwatched, 1);

    /* Where there is room again, the poll itself arms the watches. */
    fault_disarm_all();
    sim_let_poll(sim);
    assert_int_equal(sim_take(sim), 0);
    assert_int_equal(counters_of(sim)->unwatched, 0);
    assert_false(catalog_wants_poll(sim->catalog));
    tree_replace(&sim->tree, "root/dir/a", "three");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    sim_stop(sim);
}

static void unwatched_paths_take_turns(void **state)
{
    struct sim *sim = *state;
    enum {
        FILES = 1500
    }; /* more than one poll looks at */
    char key[16];
    char path[32];
    sim_start(sim, &(struct sim_options){.memory_body_bytes = 64, .memory_total_bytes = 1 << 20});
    sim->clock.ahead_seconds = 10;
    fault_arm("catalog_add_watch", 0, UINT64_MAX, ENOSPC);
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        (void)snprintf(path, sizeof(path), "root/%u", i);
        tree_write(&sim->tree, path, "old");
        assert_int_equal(sim_status(sim, 0, key), 200);
    }
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(path, sizeof(path), "root/%u", i);
        tree_replace(&sim->tree, path, "new");
    }
    sim_let_poll(sim);
    const uint32_t first = sim_take(sim);
    sim_let_poll(sim);
    const uint32_t second = sim_take(sim);
    assert_true(first < FILES);
    assert_int_equal(first + second, FILES);
    fault_disarm_all();
    sim_settle(sim);
    sim_stop(sim);
}

static void lost_notifications_look_at_everything(void **state)
{
    struct sim *sim = *state;
    sim_start(sim, &(struct sim_options){0});
    tree_write(&sim->tree, "root/a", "one");
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    tree_replace(&sim->tree, "root/a", "two");
    fault_arm("catalog_read", 0, 1, EIO);
    assert_int_equal(sim_take(sim), 1);
    fault_disarm_all();
    sim_settle(sim);
    assert_int_equal(counters_of(sim)->watch_overflows, 1);
    sim_stop(sim);
}

/* The old release is removed right after the flip, while a walk is inside it. */
struct removal {
    struct sim *sim;
    bool is_done;
};

static void flip_and_remove(void *context, unsigned count)
{
    struct removal *removal = context;
    struct tree *tree = &removal->sim->tree;
    (void)count;
    if (removal->is_done) {
        return;
    }
    removal->is_done = true;
    tree_flip(tree, "2", "current");
    tree_unlink(tree, "1/dir/a");
    tree_rmdir(tree, "1/dir");
    tree_rmdir(tree, "1");
}

static void release_removed_under_a_walk_is_no_404(void **state)
{
    struct sim *sim = *state;
    struct tree *tree = &sim->tree;
    tree_mkdir(tree, "1");
    tree_mkdir(tree, "2");
    tree_mkdir(tree, "2/dir");
    tree_write(tree, "2/dir/a", "two");
    tree_symlink(tree, "1", "current");
    sim_start(sim, &(struct sim_options){.root = "current"});
    bool was_done = true;
    for (unsigned step = 0; was_done; step++) {
        struct removal removal = {.sim = sim};
        tree_mkdir(tree, "1/dir");
        tree_write(tree, "1/dir/a", "one");
        /* The clock is asked when a watch is refused: at each step of the walk in turn. */
        sim->clock.context = &removal;
        sim->clock.on_monotonic = flip_and_remove;
        fault_arm("catalog_add_watch", step, 1, ENOSPC);
        assert_int_equal(sim_status(sim, 0, "dir/a"), 200);
        fault_disarm_all();
        was_done = removal.is_done;
        sim->clock.on_monotonic = NULL;
        sim_evict(sim, 0, 0);
        sim_settle(sim);
        if (was_done) {
            tree_flip(tree, "1", "current");
            tree_mkdir(tree, "1");
        } else {
            assert_true(step > 4); /* the walk is longer than that */
        }
    }
    sim_stop(sim);
}

/* A little of everything; statuses may be 503 while a fault is armed. */
static void ask(struct sim *sim, uint32_t worker_index, const char *key)
{
    const uint32_t status = sim_status(sim, worker_index, key);
    assert_true(status == 200 || status == 503);
}

static void live(struct sim *sim)
{
    struct tree *tree = &sim->tree;
    static const char *const keys[] = {"a", "dir/b", "dir/large", "link", "", "live/c"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        ask(sim, 0, keys[i]);
        ask(sim, (uint32_t)(i % SIM_WORKERS), keys[i]);
    }
    tree_replace(tree, "1/a", "a2");
    tree_replace(tree, "1/dir/large", "large and new, too large for the memory");
    (void)sim_take(sim);
    ask(sim, 1, "a");
    tree_replace(tree, "1/dir/b", "b2");
    ask(sim, 2, "dir/b");
    tree_flip(tree, "dir", "1/live");
    tree_write(tree, "1/dir/c", "c2");
    (void)sim_take(sim);
    sim_settle(sim);
    tree_flip(tree, "2", "current");
    (void)sim_take(sim);
    sim_settle(sim);
}

static void set_up_tree(struct tree *tree)
{
    tree_mkdir(tree, "1");
    tree_mkdir(tree, "2");
    tree_mkdir(tree, "1/dir");
    tree_mkdir(tree, "1/other");
    tree_write(tree, "1/a", "a1");
    tree_write(tree, "1/dir/b", "b1");
    tree_write(tree, "1/dir/large", "large, and too large for the memory");
    tree_write(tree, "1/index.html", "home");
    tree_write(tree, "1/other/c", "c1");
    tree_symlink(tree, "other", "1/live");
    tree_symlink(tree, "dir/../a", "1/link");
    tree_mkdir(tree, "2/dir");
    tree_write(tree, "2/a", "a3");
    tree_write(tree, "2/dir/b", "b3");
    tree_symlink(tree, "1", "current");
}

/* All is well again, at the latest after the next poll. */
static void check_recovered(struct sim *sim)
{
    for (unsigned i = 0; i < 3; i++) {
        sim_let_poll(sim);
        (void)sim_take(sim);
        sim_settle(sim);
    }
    assert_false(catalog_wants_poll(sim->catalog));
    for (uint32_t i = 0; i < SIM_WORKERS; i++) {
        assert_true(sim_mapped(sim, i, SPAN("a")) == NULL || sim_serves(sim, i, "a", "a3"));
        assert_true(sim_mapped(sim, i, SPAN("dir/b")) == NULL || sim_serves(sim, i, "dir/b", "b3"));
        assert_null(sim_mapped(sim, i, SPAN("dir/large")));
        assert_int_equal(sim_status(sim, i, "a"), 200);
        assert_true(sim_serves(sim, i, "a", "a3"));
        assert_int_equal(sim_status(sim, i, "dir/b"), 200);
        assert_int_equal(sim_status(sim, i, "live/c"), 404);
    }
}

/* Returns false when the scenario ends before the fault's turn. */
static bool run_with_fault(const char *point, uint64_t skip_count, int error_number)
{
    struct sim *sim = sim_create();
    const struct sim_options options = {
        .root = "current", .memory_body_bytes = 16, .memory_total_bytes = 4096};
    set_up_tree(&sim->tree);
    fault_arm(point, skip_count, 1, error_number);
    if (sim_try_start(sim, &options) == 0) {
        live(sim);
    } else {
        assert_int_equal(tree_open_fds(), sim->fds_before);
    }
    bool has_fired = true;
    for (uint64_t i = 0; i <= skip_count && has_fired; i++) {
        has_fired = fault_visit(point) == 0;
    }
    fault_disarm_all();
    if (sim->catalog != NULL) {
        check_recovered(sim);
        sim_stop(sim);
    }
    sim_destroy(sim);
    return has_fired;
}

static void every_single_fault_is_survived(void **state)
{
    (void)state;
    static const struct {
        const char *point;
        int error_number;
    } cases[] = {
        {"catalog_alloc", ENOMEM},     {"catalog_openat2", EMFILE},   {"catalog_stat", EIO},
        {"catalog_readlink", EIO},     {"catalog_pread", EIO},        {"catalog_read", EIO},
        {"catalog_add_watch", ENOSPC}, {"catalog_add_watch", EACCES},
    };
    log_set_level(LOG_LEVEL_ERROR);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t visits = 0;
        while (run_with_fault(cases[i].point, visits, cases[i].error_number)) {
            visits++;
        }
        print_message("%s failed at each of %u visits\n", cases[i].point, (unsigned)visits);
        assert_true(visits > 2);
    }
}
#endif

static int set_up(void **state)
{
    *state = sim_create();
    return 0;
}

static int tear_down(void **state)
{
    sim_destroy(*state);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(overflow_looks_at_everything),
        CASE(unreadable_ancestor_is_polled),
        CASE(unreadable_parent_is_polled),
#ifdef TURNTABLE_FAULT_POINTS
        CASE(system_failure_keeps_the_old_version_serving),
        CASE(failed_look_is_repeated_when_the_poll_is_due),
        CASE(load_of_a_cached_path_that_fails_is_503),
        CASE(path_that_cannot_be_watched_is_polled),
        CASE(unwatched_paths_take_turns),
        CASE(lost_notifications_look_at_everything),
        CASE(release_removed_under_a_walk_is_no_404),
        cmocka_unit_test(every_single_fault_is_survived),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
