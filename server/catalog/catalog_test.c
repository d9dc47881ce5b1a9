/* What a cached file goes through: every way that it changes is one change, once. */
#include "server/catalog/catalog.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/catalog/tree_fixture.h"
#include "server/catalog/worker_fixture.h"

/* Bodies stay in files, or are read into memory. */
static struct sim *start(void **state)
{
    struct sim *sim = *state;
    sim_start(sim, &(struct sim_options){.memory_body_bytes = 0});
    return sim;
}

static struct sim *start_memory(void **state)
{
    struct sim *sim = *state;
    sim_start(sim, &(struct sim_options){.memory_body_bytes = 4096, .memory_total_bytes = 1 << 20});
    return sim;
}

static const struct catalog_counters *counters_of(const struct sim *sim)
{
    return catalog_counters(sim->catalog);
}

static void load_gives_a_version_once(void **state)
{
    struct sim *sim = start(state);
    tree_mkdir(&sim->tree, "root/dir");
    tree_write(&sim->tree, "root/dir/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "dir/a.html"), 200);
    assert_true(sim_serves(sim, 0, "dir/a.html", "one"));
    assert_int_equal(sim_status(sim, 0, "dir/a.html"), 200);
    assert_int_equal(sim->workers[0].held_count, 1);
    assert_int_equal(counters_of(sim)->open_files, 1);
    assert_int_equal(counters_of(sim)->versions_live, 1);
    assert_int_equal(counters_of(sim)->loads, 2);
    sim_stop(sim);
}

static void load_gives_each_worker_the_same_version(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_int_equal(sim_status(sim, 1, "a.html"), 200);
    assert_ptr_equal(sim_mapped(sim, 0, SPAN("a.html")), sim_mapped(sim, 1, SPAN("a.html")));
    assert_int_equal(counters_of(sim)->open_files, 1);
    sim_stop(sim);
}

static void memory_body_needs_no_descriptor(void **state)
{
    struct sim *sim = start_memory(state);
    tree_write(&sim->tree, "root/a.html", "one");
    tree_write(&sim->tree, "root/empty.html", "");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_int_equal(sim_status(sim, 0, "empty.html"), 200);
    assert_true(sim_serves(sim, 0, "a.html", "one"));
    assert_true(sim_serves(sim, 0, "empty.html", ""));
    assert_int_equal(counters_of(sim)->open_files, 0);
    assert_int_equal(counters_of(sim)->memory_bytes, 3);
    sim_stop(sim);
}

static void replacement_by_rename_is_one_change(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_int_equal(sim_status(sim, 2, "a.html"), 200);
    assert_int_equal(sim_take(sim), 0);
    tree_replace(&sim->tree, "root/a.html", "two!");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "two!"));
    assert_true(sim_serves(sim, 2, "a.html", "two!"));
    assert_null(sim_mapped(sim, 1, SPAN("a.html")));
    assert_int_equal(sim_take(sim), 0);
    assert_int_equal(counters_of(sim)->versions_retired, 1);
    assert_int_equal(counters_of(sim)->versions_released, 1);
    assert_int_equal(counters_of(sim)->generations_drained, 1);
    sim_stop(sim);
}

static void replacement_of_same_length_and_mtime_is_a_change(void **state)
{
    struct sim *sim = start_memory(state);
    tree_write(&sim->tree, "root/a.html", "one");
    tree_set_mtime(&sim->tree, "root/a.html", 1000);
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    (void)sim_take(sim);
    tree_write(&sim->tree, "new", "two");
    tree_set_mtime(&sim->tree, "new", 1000);
    tree_rename(&sim->tree, "new", "root/a.html");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "two"));
    sim_stop(sim);
}

static void write_in_place_is_a_change(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    tree_write(&sim->tree, "root/a.html", "three");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "three"));
    sim_stop(sim);
}

/* On kernels before 6.13 all of these writes leave the same times: no stat tells them apart. */
static void writes_within_one_tick_are_changes(void **state)
{
    struct sim *sim = start_memory(state);
    tree_write(&sim->tree, "root/a.html", "000");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    for (unsigned i = 1; i < 200; i++) {
        char body[16];
        (void)snprintf(body, sizeof(body), "%03u", i);
        tree_write(&sim->tree, "root/a.html", body);
        const struct version *old = sim_mapped(sim, 0, SPAN("a.html"));
        char etag[64] = "";
        memcpy(etag, old->etag.ptr, old->etag.bytes);
        assert_int_equal(sim_take(sim), 1);
        sim_settle(sim);
        assert_true(sim_serves(sim, 0, "a.html", body));
        const struct version *version = sim_mapped(sim, 0, SPAN("a.html"));
        assert_false(span_equal(version->etag, span_of_string(etag)));
    }
    sim_stop(sim);
}

static void watch_fd_is_readable_when_there_are_changes(void **state)
{
    struct sim *sim = start(state);
    struct pollfd poll_fd = {.fd = catalog_watch_fd(sim->catalog), .events = POLLIN};
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    (void)sim_take(sim);
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    tree_replace(&sim->tree, "root/a.html", "two");
    assert_int_equal(poll(&poll_fd, 1, 0), 1);
    assert_int_equal(sim_take(sim), 1);
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    sim_settle(sim);
    sim_stop(sim);
}

static void deletion_is_a_change_to_nothing(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    tree_unlink(&sim->tree, "root/a.html");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_null(sim_mapped(sim, 0, SPAN("a.html")));
    assert_int_equal(counters_of(sim)->versions_live, 0);
    assert_int_equal(counters_of(sim)->open_files, 0);
    assert_int_equal(sim_status(sim, 0, "a.html"), 404);
    sim_stop(sim);
}

static void deletion_and_return_is_one_change(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    tree_unlink(&sim->tree, "root/a.html");
    tree_write(&sim->tree, "root/a.html", "two");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "two"));
    sim_stop(sim);
}

static void change_that_ends_where_it_began_is_none(void **state)
{
    struct sim *sim = start(state);
    sim->clock.ahead_seconds = 10;
    tree_mkdir(&sim->tree, "root/dir");
    tree_write(&sim->tree, "root/dir/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "dir/a.html"), 200);
    tree_rename(&sim->tree, "root/dir", "elsewhere");
    tree_rename(&sim->tree, "elsewhere", "root/dir");
    assert_int_equal(sim_take(sim), 0);
    assert_int_equal(counters_of(sim)->refreshes, 1);
    assert_int_equal(counters_of(sim)->generation, 0);
    sim_stop(sim);
}

static void changes_taken_together_are_one_generation(void **state)
{
    struct sim *sim = start(state);
    char key[16];
    char path[32];
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof(key), "%u.html", i);
        (void)snprintf(path, sizeof(path), "root/%u.html", i);
        tree_write(&sim->tree, path, "old");
        assert_int_equal(sim_status(sim, i % SIM_WORKERS, key), 200);
    }
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(path, sizeof(path), "root/%u.html", i);
        tree_replace(&sim->tree, path, "new");
    }
    assert_int_equal(sim_take(sim), 20);
    assert_int_equal(counters_of(sim)->generation, 1);
    assert_int_equal(counters_of(sim)->generations_draining, 1);
    sim_settle(sim);
    assert_int_equal(counters_of(sim)->generations_draining, 0);
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof(key), "%u.html", i);
        assert_true(sim_serves(sim, i % SIM_WORKERS, key, "new"));
    }
    sim_stop(sim);
}

/* That the content was written is believed once: the next look is only a look. */
static void look_after_a_write_in_place_is_no_change(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    (void)sim_take(sim);
    tree_write(&sim->tree, "root/a.html", "two");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    const uint64_t refreshes = counters_of(sim)->refreshes;
    tree_chmod(&sim->tree, "root", 0700);
    assert_int_equal(sim_take(sim), 0);
    assert_int_equal(counters_of(sim)->refreshes, refreshes + 1);
    tree_chmod(&sim->tree, "root", 0755);
    sim_stop(sim);
}

static void events_of_other_names_cost_no_look(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    (void)sim_take(sim);
    for (unsigned i = 0; i < 100; i++) {
        tree_write(&sim->tree, "root/b.html", "noise");
        tree_unlink(&sim->tree, "root/b.html");
    }
    tree_write(&sim->tree, "noise", "above the root");
    assert_int_equal(sim_take(sim), 0);
    assert_int_equal(counters_of(sim)->refreshes, 0);
    sim_stop(sim);
}

static void load_that_finds_a_change_tells_all_holders(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_int_equal(sim_status(sim, 1, "a.html"), 200);
    tree_replace(&sim->tree, "root/a.html", "two");
    assert_int_equal(sim_status(sim, 2, "a.html"), 200);
    for (uint32_t i = 0; i < SIM_WORKERS; i++) {
        assert_true(sim_serves(sim, i, "a.html", "two"));
    }
    assert_int_equal(counters_of(sim)->generation, 1);
    assert_int_equal(sim_take(sim), 0);
    tree_unlink(&sim->tree, "root/a.html");
    assert_int_equal(sim_status(sim, 0, "a.html"), 404);
    for (uint32_t i = 0; i < SIM_WORKERS; i++) {
        assert_null(sim_mapped(sim, i, SPAN("a.html")));
    }
    sim_stop(sim);
}

static void answers_that_are_not_200_are_not_cached(void **state)
{
    struct sim *sim = start(state);
    tree_mkdir(&sim->tree, "root/dir");
    static const struct {
        const char *key;
        uint32_t status;
    } cases[] = {{"none.html", 404}, {"dir", 301}, {"dir/", 403}, {"dir/none", 404}, {"no/a", 404}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(sim_status(sim, 0, cases[i].key), cases[i].status);
    }
    assert_int_equal(counters_of(sim)->versions_live, 0);
    tree_write(&sim->tree, "root/none.html", "now");
    assert_int_equal(sim_take(sim), 0);
    assert_int_equal(counters_of(sim)->refreshes, 0);
    assert_int_equal(sim_status(sim, 0, "none.html"), 200);
    sim_stop(sim);
}

static void hard_links_are_versions_of_their_own(void **state)
{
    struct sim *sim = start(state);
    char path[TREE_PATH_MAX];
    char link_path[TREE_PATH_MAX];
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(link(tree_path(&sim->tree, "root/a.html", path),
                          tree_path(&sim->tree, "root/b.html", link_path)),
                     0);
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_int_equal(sim_status(sim, 0, "b.html"), 200);
    tree_replace(&sim->tree, "root/b.html", "two");
    (void)sim_take(sim);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "one"));
    assert_true(sim_serves(sim, 0, "b.html", "two"));
    sim_stop(sim);
}

static void evicted_everywhere_is_forgotten(void **state)
{
    struct sim *sim = start(state);
    tree_mkdir(&sim->tree, "root/dir");
    tree_write(&sim->tree, "root/dir/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "dir/a.html"), 200);
    assert_int_equal(sim_status(sim, 1, "dir/a.html"), 200);
    sim_evict(sim, 0, 0);
    sim_settle(sim);
    assert_int_equal(counters_of(sim)->versions_live, 1);
    tree_replace(&sim->tree, "root/dir/a.html", "two");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_null(sim_mapped(sim, 0, SPAN("dir/a.html")));
    sim_evict(sim, 1, 0);
    sim_settle(sim);
    assert_int_equal(counters_of(sim)->versions_live, 0);
    assert_int_equal(counters_of(sim)->versions_evicted, 1);
    assert_int_equal(counters_of(sim)->open_files, 0);
    const uint64_t refreshes = counters_of(sim)->refreshes;
    tree_replace(&sim->tree, "root/dir/a.html", "three");
    assert_int_equal(sim_take(sim), 0);
    assert_int_equal(counters_of(sim)->refreshes, refreshes);
    sim_stop(sim);
}

static void version_outlives_its_path_while_it_is_used(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    const struct version *version = sim_mapped(sim, 0, SPAN("a.html"));
    tree_unlink(&sim->tree, "root/a.html");
    assert_int_equal(sim_take(sim), 1);
    assert_true(sim_deliver_to_worker(sim, 0));
    assert_true(sim_deliver_to_control(sim, 0)); /* APPLIED */
    assert_int_equal(counters_of(sim)->generations_draining, 1);
    assert_int_equal(counters_of(sim)->open_files, 1);
    char body[8];
    assert_int_equal(sim_body(version, body, sizeof(body)), 3);
    sim_settle(sim);
    assert_int_equal(counters_of(sim)->generations_draining, 0);
    assert_int_equal(counters_of(sim)->open_files, 0);
    sim_stop(sim);
}

static void worker_without_room_gives_back(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    sim->workers[0].cannot_publish = true;
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_null(sim_mapped(sim, 0, SPAN("a.html")));
    assert_int_equal(counters_of(sim)->versions_live, 0);
    sim->workers[0].cannot_publish = false;
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    sim->workers[0].cannot_publish = true;
    tree_replace(&sim->tree, "root/a.html", "two");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_int_equal(counters_of(sim)->versions_live, 0);
    assert_int_equal(counters_of(sim)->open_files, 0);
    sim_stop(sim);
}

/*
 * The worker asks for a path that it holds and cannot confirm, then evicts it. Meanwhile the path
 * was gone and came back: the question is answered with a new version, and the eviction, which is
 * of the old one, must not be taken for one of that.
 */
static void eviction_of_a_path_that_was_gone_is_not_of_the_new_one(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    sim_ask(sim, 0, SPAN("a.html"));
    sim_evict(sim, 0, 0);
    tree_unlink(&sim->tree, "root/a.html");
    assert_int_equal(sim_take(sim), 1);
    tree_write(&sim->tree, "root/a.html", "two");
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "two"));
    tree_replace(&sim->tree, "root/a.html", "three");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "three"));
    sim_stop(sim);
}

/* It evicts before the change reaches it: it passes over the change, and control lets go too. */
static void eviction_crossing_a_change_ends_the_path(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    tree_replace(&sim->tree, "root/a.html", "two");
    assert_int_equal(sim_take(sim), 1);
    sim_evict(sim, 0, 0);
    sim_settle(sim);
    assert_int_equal(counters_of(sim)->versions_live, 0);
    assert_int_equal(counters_of(sim)->versions_evicted, 1);
    assert_int_equal(counters_of(sim)->open_files, 0);
    sim_stop(sim);
}

static void memory_cap_leaves_bodies_in_files(void **state)
{
    struct sim *sim = *state;
    sim_start(sim, &(struct sim_options){.memory_body_bytes = 8, .memory_total_bytes = 10});
    tree_write(&sim->tree, "root/a", "12345678");
    tree_write(&sim->tree, "root/b", "123");
    tree_write(&sim->tree, "root/c", "12");
    tree_write(&sim->tree, "root/d", "123456789");
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    assert_int_equal(sim_status(sim, 0, "b"), 200);
    assert_int_equal(sim_status(sim, 0, "c"), 200);
    assert_int_equal(sim_status(sim, 0, "d"), 200);
    assert_non_null(sim_mapped(sim, 0, SPAN("a"))->body);
    assert_null(sim_mapped(sim, 0, SPAN("b"))->body);
    assert_non_null(sim_mapped(sim, 0, SPAN("c"))->body);
    assert_null(sim_mapped(sim, 0, SPAN("d"))->body);
    assert_int_equal(counters_of(sim)->memory_bytes, 10);
    assert_int_equal(counters_of(sim)->open_files, 2);
    sim_stop(sim);
}

/* Destroyed in the middle of everything, nothing leaks: the sanitizer looks. */
static void destroy_frees_what_workers_still_hold(void **state)
{
    struct sim *sim = start_memory(state);
    tree_write(&sim->tree, "root/a.html", "one");
    tree_write(&sim->tree, "root/b.html", "one");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_int_equal(sim_status(sim, 0, "b.html"), 200);
    assert_int_equal(sim_status(sim, 1, "b.html"), 200);
    tree_replace(&sim->tree, "root/a.html", "two");
    assert_int_equal(sim_take(sim), 1);
    sim_evict(sim, 1, 0);
    assert_true(sim_deliver_to_control(sim, 1));
    catalog_destroy(sim->catalog);
    assert_int_equal(tree_open_fds(), sim->fds_before);
}

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
        CASE(load_gives_a_version_once),
        CASE(load_gives_each_worker_the_same_version),
        CASE(memory_body_needs_no_descriptor),
        CASE(replacement_by_rename_is_one_change),
        CASE(replacement_of_same_length_and_mtime_is_a_change),
        CASE(write_in_place_is_a_change),
        CASE(writes_within_one_tick_are_changes),
        CASE(watch_fd_is_readable_when_there_are_changes),
        CASE(deletion_is_a_change_to_nothing),
        CASE(deletion_and_return_is_one_change),
        CASE(change_that_ends_where_it_began_is_none),
        CASE(changes_taken_together_are_one_generation),
        CASE(look_after_a_write_in_place_is_no_change),
        CASE(events_of_other_names_cost_no_look),
        CASE(load_that_finds_a_change_tells_all_holders),
        CASE(answers_that_are_not_200_are_not_cached),
        CASE(hard_links_are_versions_of_their_own),
        CASE(evicted_everywhere_is_forgotten),
        CASE(version_outlives_its_path_while_it_is_used),
        CASE(worker_without_room_gives_back),
        CASE(eviction_of_a_path_that_was_gone_is_not_of_the_new_one),
        CASE(eviction_crossing_a_change_ends_the_path),
        CASE(memory_cap_leaves_bodies_in_files),
        CASE(destroy_frees_what_workers_still_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
