/* When a walk begins anew at "/", and what its paths depend on. */
#include "server/catalog/walk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/fault.h"
#include "server/catalog/tree_fixture.h"

struct walk_case {
    struct tree tree;
    struct test_clock clock;
    struct catalog_counters counters;
    struct walk *walk;
    char root[TREE_PATH_MAX];
    unsigned changes;     /* of the owner, who is the case */
    unsigned all_changes; /* of everything */
};

static void on_change(void *context, void *owner, bool is_modified)
{
    struct walk_case *c = context;
    (void)is_modified;
    assert_ptr_equal(owner, c);
    c->changes++;
}

static void on_change_all(void *context)
{
    struct walk_case *c = context;
    c->all_changes++;
}

static int try_start(struct walk_case *c, const char *root)
{
    const char *what = NULL;
    const struct walk_config config = {
        .root_path = tree_path(&c->tree, root, c->root),
        .index_name = "index.html",
        .clock = &c->clock.clock,
        .counters = &c->counters,
        .context = c,
        .on_change = on_change,
        .on_change_all = on_change_all,
    };
    const int rc = walk_create(&config, &c->walk, &what);
    assert_true(rc == 0 || what != NULL);
    return rc;
}

/* One batch of one key; returns the first byte of the file, or 0 where there is none. */
static char open_one(struct walk_case *c, const char *key)
{
    char byte = 0;
    const struct resolved found = walk_open(c->walk, span_of_string(key));
    if (found.status == 200) {
        assert_int_equal(pread(found.fd, &byte, 1, 0), 1);
        (void)close(found.fd);
    }
    walk_end(c->walk);
    return byte;
}

static void depend_on(struct walk_case *c, const char *key, struct dependency_set *set)
{
    bool is_watched = false;
    const struct resolved found = walk_open(c->walk, span_of_string(key));
    assert_int_equal(found.status, 200);
    (void)close(found.fd);
    assert_int_equal(walk_depend(c->walk, c, set, &is_watched), 0);
    assert_true(is_watched);
    walk_end(c->walk);
}

static void walk_sees_the_root_of_its_time(void **state)
{
    struct walk_case *c = *state;
    tree_mkdir(&c->tree, "1");
    tree_mkdir(&c->tree, "2");
    tree_write(&c->tree, "1/a", "1");
    tree_write(&c->tree, "2/a", "2");
    tree_symlink(&c->tree, "1", "current");
    assert_int_equal(try_start(c, "current"), 0);
    assert_int_equal(open_one(c, "a"), '1');
    assert_int_equal(open_one(c, "a"), '1');
    for (unsigned i = 0; i < 4; i++) {
        /* The notification is unread, or read: either way the next walk goes the new way. */
        tree_flip(&c->tree, i % 2 == 0 ? "2" : "1", "current");
        if (i >= 2) {
            walk_read(c->walk);
        }
        assert_int_equal(open_one(c, "a"), i % 2 == 0 ? '2' : '1');
    }
    tree_rename(&c->tree, "current", "old");
    assert_int_equal(open_one(c, "a"), 0);
    tree_symlink(&c->tree, "2", "current");
    assert_int_equal(open_one(c, "a"), '2');
}

static void root_that_is_where_it_was_is_not_walked_to(void **state)
{
    struct walk_case *c = *state;
    tree_write(&c->tree, "root/a", "a");
    assert_int_equal(try_start(c, "root"), 0);
    assert_int_equal(open_one(c, "a"), 'a');
    walk_read(c->walk);
#ifdef TURNTABLE_FAULT_POINTS
    fault_arm("catalog_openat2", 1, UINT64_MAX, EMFILE); /* one open is enough: the file's */
    assert_int_equal(open_one(c, "a"), 'a');
    fault_disarm_all();
    /* Anything queued, and the whole way is walked again. */
    tree_write(&c->tree, "root/b", "b");
    fault_arm("catalog_openat2", 1, UINT64_MAX, EMFILE);
    assert_int_equal(open_one(c, "a"), 0);
    fault_disarm_all();
#endif
    assert_int_equal(open_one(c, "a"), 'a');
}

static void change_of_the_way_to_the_root_is_told_once(void **state)
{
    struct walk_case *c = *state;
    struct dependency_set set = {0};
    tree_mkdir(&c->tree, "site");
    tree_mkdir(&c->tree, "site/root");
    tree_write(&c->tree, "site/root/a", "a");
    assert_int_equal(try_start(c, "site/root"), 0);
    depend_on(c, "a", &set);
    assert_int_equal(c->all_changes, 1); /* the first way is a new one too */
    walk_read(c->walk);
    tree_rename(&c->tree, "site", "moved");
    tree_mkdir(&c->tree, "site");
    walk_read(c->walk);
    assert_true(c->all_changes > 1);
    assert_int_equal(open_one(c, "a"), 0);
    const unsigned all_changes = c->all_changes;
    tree_write(&c->tree, "moved/root/a", "b"); /* the path still depends on what it found */
    walk_read(c->walk);
    assert_true(c->changes > 0);
    assert_int_equal(c->all_changes, all_changes);
    walk_forget(c->walk, &set);
}

static void depend_replaces_what_a_path_depended_on(void **state)
{
    struct walk_case *c = *state;
    struct dependency_set set = {0};
    tree_mkdir(&c->tree, "root/v1");
    tree_mkdir(&c->tree, "root/v2");
    tree_write(&c->tree, "root/v1/a", "1");
    tree_write(&c->tree, "root/v2/a", "2");
    tree_symlink(&c->tree, "v1", "root/live");
    assert_int_equal(try_start(c, "root"), 0);
    depend_on(c, "live/a", &set);
    assert_int_equal(set.count, 3); /* live, v1, a */
    tree_flip(&c->tree, "v2", "root/live");
    depend_on(c, "live/a", &set);
    walk_read(c->walk);
    c->changes = 0;
    tree_replace(&c->tree, "root/v1/a", "x");
    walk_read(c->walk);
    assert_int_equal(c->changes, 0);
    tree_replace(&c->tree, "root/v2/a", "x");
    walk_read(c->walk);
    assert_int_equal(c->changes, 1);
    walk_forget(c->walk, &set);
    tree_replace(&c->tree, "root/v2/a", "y");
    walk_read(c->walk);
    assert_int_equal(c->changes, 1);
}

static void idle_watches_are_bounded(void **state)
{
    struct walk_case *c = *state;
    char path[32];
    assert_int_equal(try_start(c, "root"), 0);
    for (unsigned i = 0; i < WALK_IDLE_WATCHES_MAX + 50; i++) {
        (void)snprintf(path, sizeof(path), "root/%u", i);
        tree_mkdir(&c->tree, path);
    }
    for (unsigned i = 0; i < WALK_IDLE_WATCHES_MAX + 50; i++) {
        (void)snprintf(path, sizeof(path), "%u/none", i);
        assert_int_equal(open_one(c, path), 0);
        assert_true(c->counters.watches <= WALK_IDLE_WATCHES_MAX + 20);
    }
    assert_true(c->counters.watches >= WALK_IDLE_WATCHES_MAX);
}

#ifdef TURNTABLE_FAULT_POINTS
static void create_says_what_is_missing(void **state)
{
    struct walk_case *c = *state;
    static const int errors[] = {ENOSYS, EPERM, EMFILE};
    for (size_t i = 0; i < 3; i++) {
        fault_arm("catalog_openat2", 0, 1, errors[i]);
        assert_int_equal(try_start(c, "root"), -errors[i]);
        fault_disarm_all();
    }
    assert_null(c->walk);
}

static void depend_keeps_the_old_names_without_memory(void **state)
{
    struct walk_case *c = *state;
    struct dependency_set set = {0};
    tree_write(&c->tree, "root/a", "a");
    assert_int_equal(try_start(c, "root"), 0);
    depend_on(c, "a", &set);
    const struct resolved found = walk_open(c->walk, SPAN("a"));
    (void)close(found.fd);
    bool is_watched = true;
    fault_arm("catalog_alloc", 0, 1, ENOMEM);
    assert_int_equal(walk_depend(c->walk, c, &set, &is_watched), -ENOMEM);
    fault_disarm_all();
    walk_end(c->walk);
    walk_read(c->walk);
    c->changes = 0;
    tree_replace(&c->tree, "root/a", "b");
    walk_read(c->walk);
    assert_int_equal(c->changes, 1);
    walk_forget(c->walk, &set);
}
#endif

static int set_up(void **state)
{
    struct walk_case *c = calloc(1, sizeof(*c));
    tree_create(&c->tree);
    test_clock_init(&c->clock);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct walk_case *c = *state;
    walk_destroy(c->walk);
    assert_int_equal(c->counters.watches, 0);
    tree_remove(&c->tree);
    free(c);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(walk_sees_the_root_of_its_time),
        CASE(root_that_is_where_it_was_is_not_walked_to),
        CASE(change_of_the_way_to_the_root_is_told_once),
        CASE(depend_replaces_what_a_path_depended_on),
        CASE(idle_watches_are_bounded),
#ifdef TURNTABLE_FAULT_POINTS
        CASE(create_says_what_is_missing),
        CASE(depend_keeps_the_old_names_without_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
