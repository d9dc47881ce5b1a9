/* What happens on the way to a file: directories, symlinks, releases, permissions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/catalog/catalog.h"
#include "server/catalog/tree_fixture.h"
#include "server/catalog/worker_fixture.h"

static struct sim *start(void **state)
{
    struct sim *sim = *state;
    sim_start(sim, &(struct sim_options){.memory_body_bytes = 0});
    return sim;
}

static void directory_renamed_away_takes_its_files(void **state)
{
    struct sim *sim = start(state);
    tree_mkdir(&sim->tree, "root/one");
    tree_mkdir(&sim->tree, "root/one/two");
    tree_write(&sim->tree, "root/one/two/a.html", "a");
    tree_write(&sim->tree, "root/one/two/b.html", "b");
    assert_int_equal(sim_status(sim, 0, "one/two/a.html"), 200);
    assert_int_equal(sim_status(sim, 1, "one/two/b.html"), 200);
    tree_rename(&sim->tree, "root/one", "root/three");
    assert_int_equal(sim_take(sim), 2);
    sim_settle(sim);
    assert_int_equal(sim_status(sim, 0, "one/two/a.html"), 404);
    assert_int_equal(sim_status(sim, 0, "three/two/a.html"), 200);
    sim_stop(sim);
}

static void directory_put_in_its_place_brings_its_files(void **state)
{
    struct sim *sim = start(state);
    tree_mkdir(&sim->tree, "root/one");
    tree_write(&sim->tree, "root/one/a.html", "old");
    tree_mkdir(&sim->tree, "next");
    tree_write(&sim->tree, "next/a.html", "new");
    assert_int_equal(sim_status(sim, 0, "one/a.html"), 200);
    tree_rename(&sim->tree, "root/one", "previous");
    tree_rename(&sim->tree, "next", "root/one");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "one/a.html", "new"));
    /* The old directory is not listened to any more, the new one is. */
    tree_replace(&sim->tree, "previous/a.html", "away");
    assert_int_equal(sim_take(sim), 0);
    tree_replace(&sim->tree, "root/one/a.html", "newer");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "one/a.html", "newer"));
    sim_stop(sim);
}

static void directory_deleted_and_made_again_is_heard(void **state)
{
    struct sim *sim = start(state);
    tree_mkdir(&sim->tree, "root/dir");
    tree_write(&sim->tree, "root/dir/a.html", "one");
    assert_int_equal(sim_status(sim, 0, "dir/a.html"), 200);
    tree_unlink(&sim->tree, "root/dir/a.html");
    tree_rmdir(&sim->tree, "root/dir");
    tree_mkdir(&sim->tree, "root/dir");
    tree_write(&sim->tree, "root/dir/a.html", "two");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    tree_replace(&sim->tree, "root/dir/a.html", "three");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "dir/a.html", "three"));
    sim_stop(sim);
}

static void flip_of_the_root_is_one_generation(void **state)
{
    struct sim *sim = *state;
    struct tree *tree = &sim->tree;
    tree_mkdir(tree, "releases");
    tree_mkdir(tree, "releases/1");
    tree_mkdir(tree, "releases/2");
    tree_write(tree, "releases/1/a.html", "a1");
    tree_write(tree, "releases/1/b.html", "b1");
    tree_write(tree, "releases/1/gone.html", "gone");
    tree_write(tree, "releases/2/a.html", "a2");
    tree_write(tree, "releases/2/b.html", "b2");
    tree_symlink(tree, "releases/1", "current");
    sim_start(sim, &(struct sim_options){.root = "current"});
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_int_equal(sim_status(sim, 1, "b.html"), 200);
    assert_int_equal(sim_status(sim, 1, "gone.html"), 200);
    for (unsigned i = 0; i < 3; i++) {
        tree_flip(tree, "releases/2", "current");
        assert_int_equal(sim_take(sim), i == 0 ? 3 : 2);
        sim_settle(sim);
        assert_true(sim_serves(sim, 0, "a.html", "a2"));
        assert_true(sim_serves(sim, 1, "b.html", "b2"));
        assert_int_equal(sim_take(sim), 0);
        tree_flip(tree, "releases/1", "current");
        assert_int_equal(sim_take(sim), 2);
        sim_settle(sim);
        assert_true(sim_serves(sim, 0, "a.html", "a1"));
        assert_int_equal(sim_take(sim), 0);
        /* The release that is live is the one that is heard. */
        tree_replace(tree, "releases/2/a.html", "a2");
        assert_int_equal(sim_take(sim), 0);
        tree_replace(tree, "releases/1/a.html", "a1");
        assert_int_equal(sim_take(sim), 1);
        sim_settle(sim);
    }
    assert_int_equal(sim_status(sim, 0, "gone.html"), 200);
    sim_stop(sim);
}

/* A load walks the new way before the notification was read: the others are not forgotten. */
static void flip_found_by_a_load_reaches_the_others(void **state)
{
    struct sim *sim = *state;
    struct tree *tree = &sim->tree;
    tree_mkdir(tree, "1");
    tree_mkdir(tree, "2");
    tree_write(tree, "1/a.html", "a1");
    tree_write(tree, "1/b.html", "b1");
    tree_write(tree, "2/a.html", "a2");
    tree_write(tree, "2/b.html", "b2");
    tree_symlink(tree, "1", "current");
    sim_start(sim, &(struct sim_options){.root = "current"});
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    tree_flip(tree, "2", "current");
    assert_int_equal(sim_status(sim, 0, "b.html"), 200);
    assert_true(sim_serves(sim, 0, "b.html", "b2"));
    assert_true(sim_serves(sim, 0, "a.html", "a1"));
    assert_true(catalog_wants_poll(sim->catalog));
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "a2"));
    sim_stop(sim);
}

static void flip_of_a_directory_on_the_way_is_heard(void **state)
{
    struct sim *sim = start(state);
    struct tree *tree = &sim->tree;
    tree_mkdir(tree, "root/v1");
    tree_mkdir(tree, "root/v2");
    tree_write(tree, "root/v1/a.html", "v1");
    tree_write(tree, "root/v2/a.html", "v2");
    tree_symlink(tree, "v1", "root/live");
    assert_int_equal(sim_status(sim, 0, "live/a.html"), 200);
    tree_flip(tree, "v2", "root/live");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "live/a.html", "v2"));
    tree_replace(tree, "root/v2/a.html", "v2b");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "live/a.html", "v2b"));
    sim_stop(sim);
}

/* As Kubernetes mounts a ConfigMap: a.html -> ..data/a.html, ..data -> ..2024. */
static void kubernetes_data_flip_is_heard(void **state)
{
    struct sim *sim = start(state);
    struct tree *tree = &sim->tree;
    tree_mkdir(tree, "root/..1");
    tree_mkdir(tree, "root/..2");
    tree_write(tree, "root/..1/a.html", "one");
    tree_write(tree, "root/..2/a.html", "two");
    tree_symlink(tree, "..1", "root/..data");
    tree_symlink(tree, "..data/a.html", "root/a.html");
    assert_int_equal(sim_status(sim, 0, "a.html"), 200);
    assert_true(sim_serves(sim, 0, "a.html", "one"));
    tree_flip(tree, "..2", "root/..data");
    tree_unlink(tree, "root/..1/a.html");
    tree_rmdir(tree, "root/..1");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "a.html", "two"));
    sim_stop(sim);
}

static void index_replaced_is_a_change_of_the_directory(void **state)
{
    struct sim *sim = start(state);
    tree_mkdir(&sim->tree, "root/dir");
    tree_write(&sim->tree, "root/index.html", "home");
    tree_write(&sim->tree, "root/dir/index.html", "one");
    assert_int_equal(sim_status(sim, 0, ""), 200);
    assert_int_equal(sim_status(sim, 0, "dir/"), 200);
    assert_int_equal(sim_status(sim, 0, "dir"), 301);
    assert_true(sim_serves(sim, 0, "", "home"));
    tree_replace(&sim->tree, "root/dir/index.html", "two");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_true(sim_serves(sim, 0, "dir/", "two"));
    tree_unlink(&sim->tree, "root/dir/index.html");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_int_equal(sim_status(sim, 0, "dir/"), 403);
    sim_stop(sim);
}

static void file_that_becomes_a_directory_is_gone(void **state)
{
    struct sim *sim = start(state);
    tree_write(&sim->tree, "root/a", "one");
    assert_int_equal(sim_status(sim, 0, "a"), 200);
    tree_unlink(&sim->tree, "root/a");
    tree_mkdir(&sim->tree, "root/a");
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_null(sim_mapped(sim, 0, SPAN("a")));
    assert_int_equal(sim_status(sim, 0, "a"), 301);
    sim_stop(sim);
}

static void permission_denied_is_403_and_heard(void **state)
{
    struct sim *sim = start(state);
    tree_mkdir(&sim->tree, "root/dir");
    tree_write(&sim->tree, "root/dir/a.html", "one");
    tree_write(&sim->tree, "root/b.html", "one");
    assert_int_equal(sim_status(sim, 0, "dir/a.html"), 200);
    assert_int_equal(sim_status(sim, 0, "b.html"), 200);
    tree_chmod(&sim->tree, "root/b.html", 0);
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_int_equal(sim_status(sim, 0, "b.html"), 403);
    tree_chmod(&sim->tree, "root/dir", 0);
    assert_int_equal(sim_take(sim), 1);
    sim_settle(sim);
    assert_int_equal(sim_status(sim, 0, "dir/a.html"), 403);
    tree_chmod(&sim->tree, "root/dir", 0755);
    assert_int_equal(sim_status(sim, 0, "dir/a.html"), 200);
    tree_chmod(&sim->tree, "root/b.html", 0644);
    sim_stop(sim);
}

/* Root may read everything: the case runs as nobody. */
static void permission_denied_as_nobody(void **state)
{
    struct sim *sim = *state;
    tree_chmod(&sim->tree, ".", 0777);
    tree_chmod(&sim->tree, "root", 0777);
    if (!test_run_as_nobody(&sim->tree, permission_denied_is_403_and_heard, state)) {
        skip();
    }
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
        CASE(directory_renamed_away_takes_its_files),
        CASE(directory_put_in_its_place_brings_its_files),
        CASE(directory_deleted_and_made_again_is_heard),
        CASE(flip_of_the_root_is_one_generation),
        CASE(flip_found_by_a_load_reaches_the_others),
        CASE(flip_of_a_directory_on_the_way_is_heard),
        CASE(kubernetes_data_flip_is_heard),
        CASE(index_replaced_is_a_change_of_the_directory),
        CASE(file_that_becomes_a_directory_is_gone),
        CASE(permission_denied_as_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
