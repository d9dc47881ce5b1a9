/* Which event reaches whom, and that no watch outlives its use. */
#include "server/catalog/watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/fault.h"
#include "server/catalog/system.h"
#include "server/catalog/tree_fixture.h"

#define OWNERS_MAX 8

struct watcher_case {
    struct tree tree;
    struct watcher *watcher;
    uint64_t watches;
    struct dependency dependencies[OWNERS_MAX];
    unsigned changes[OWNERS_MAX];
    unsigned modifications[OWNERS_MAX];
    unsigned losses;
};

static void on_change(void *context, void *owner, bool is_modified)
{
    struct watcher_case *c = context;
    const size_t index = (size_t)((struct dependency *)owner - c->dependencies);
    assert_true(index < OWNERS_MAX);
    c->changes[index]++;
    c->modifications[index] += is_modified ? 1 : 0;
}

static void on_lost(void *context)
{
    struct watcher_case *c = context;
    c->losses++;
}

static struct watch *arm(struct watcher_case *c, const char *path, enum watch_scope scope)
{
    char full[TREE_PATH_MAX];
    struct watch *watch = NULL;
    const int fd = open(tree_path(&c->tree, path, full), O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(watcher_arm(c->watcher, fd, scope, &watch), 0);
    (void)close(fd);
    return watch;
}

/* Owner `index` depends on a name in a directory. */
static void depend(struct watcher_case *c,
                   unsigned index,
                   const char *path,
                   enum watch_scope scope,
                   const char *name)
{
    struct watch *watch = arm(c, path, scope);
    c->dependencies[index].owner = &c->dependencies[index];
    assert_int_equal(watcher_add(c->watcher, watch, watcher_name_hash(span_of_string(name)),
                                 &c->dependencies[index]),
                     0);
}

static void forget(struct watcher_case *c, unsigned index)
{
    watcher_remove(c->watcher, &c->dependencies[index]);
}

/* Reads, and takes the counts back to zero; returns how many changes owner `index` was told. */
static unsigned told(struct watcher_case *c, unsigned index)
{
    assert_int_equal(watcher_read(c->watcher), 0);
    const unsigned count = c->changes[index];
    memset(c->changes, 0, sizeof(c->changes));
    memset(c->modifications, 0, sizeof(c->modifications));
    return count;
}

static void change_is_told_to_those_who_depend_on_the_name(void **state)
{
    struct watcher_case *c = *state;
    depend(c, 0, "root", WATCH_FILE, "a");
    depend(c, 1, "root", WATCH_FILE, "a");
    depend(c, 2, "root", WATCH_FILE, "b");
    assert_int_equal(c->watches, 1);
    tree_write(&c->tree, "root/a", "x");
    assert_int_equal(watcher_read(c->watcher), 0);
    assert_true(c->changes[0] > 0);
    assert_int_equal(c->changes[1], c->changes[0]);
    assert_int_equal(c->modifications[0], 1);
    assert_int_equal(c->changes[2], 0);
    forget(c, 0);
    (void)told(c, 0);
    tree_unlink(&c->tree, "root/a");
    assert_int_equal(watcher_read(c->watcher), 0);
    assert_int_equal(c->changes[0], 0);
    assert_int_equal(c->changes[1], 1);
}

static void scope_says_what_is_heard(void **state)
{
    struct watcher_case *c = *state;
    tree_write(&c->tree, "root/a", "x");
    struct watch *watch = arm(c, "root", WATCH_WAY);
    depend(c, 0, "root", WATCH_WAY, "a");
    assert_true(watcher_covers(watch, WATCH_WAY));
    assert_false(watcher_covers(watch, WATCH_FILE));
    tree_write(&c->tree, "root/a", "y");
    assert_int_equal(told(c, 0), 0);
    tree_chmod(&c->tree, "root/a", 0644);
    assert_int_equal(told(c, 0), 1);
    depend(c, 1, "root", WATCH_FILE, "a");
    assert_true(watcher_covers(watch, WATCH_FILE));
    /* Armed again for less, it still hears all. */
    depend(c, 2, "root", WATCH_WAY, "a");
    assert_true(watcher_covers(watch, WATCH_FILE));
    tree_write(&c->tree, "root/a", "w");
    assert_true(told(c, 1) > 0);
    assert_int_equal(c->watches, 1);
}

static void directory_itself_concerns_all_names_in_it(void **state)
{
    struct watcher_case *c = *state;
    tree_mkdir(&c->tree, "root/dir");
    depend(c, 0, "root/dir", WATCH_FILE, "a");
    depend(c, 1, "root/dir", WATCH_FILE, "b");
    tree_chmod(&c->tree, "root/dir", 0700);
    assert_int_equal(watcher_read(c->watcher), 0);
    assert_true(c->changes[0] > 0 && c->changes[1] > 0);
    (void)told(c, 0);
    tree_rename(&c->tree, "root/dir", "root/moved");
    assert_true(told(c, 0) > 0);
    tree_rmdir(&c->tree, "root/moved");
    assert_true(told(c, 0) > 0);
    assert_int_equal(c->watches, 0); /* the kernel ended it */
    forget(c, 0);
    forget(c, 1);
    watcher_trim(c->watcher, 0);
    assert_int_equal(c->losses, 0);
}

static void watch_without_use_is_kept_until_trimmed(void **state)
{
    struct watcher_case *c = *state;
    char path[32];
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof(path), "root/%u", i);
        tree_mkdir(&c->tree, path);
        depend(c, i, path, WATCH_FILE, "a");
    }
    for (unsigned i = 0; i < 4; i++) {
        forget(c, i);
    }
    assert_int_equal(c->watches, 4);
    watcher_trim(c->watcher, 1);
    assert_int_equal(c->watches, 1);
    /* The youngest stayed: to arm it again makes no new one. */
    depend(c, 3, "root/3", WATCH_FILE, "a");
    assert_int_equal(c->watches, 1);
    watcher_trim(c->watcher, 0);
    assert_int_equal(c->watches, 1);
    tree_write(&c->tree, "root/3/a", "x");
    assert_true(told(c, 3) > 0);
}

static void watch_without_use_ends_with_its_first_event(void **state)
{
    struct watcher_case *c = *state;
    (void)arm(c, "root", WATCH_FILE);
    assert_int_equal(c->watches, 1);
    tree_write(&c->tree, "root/a", "x");
    assert_int_equal(watcher_read(c->watcher), 0);
    assert_int_equal(c->watches, 0);
    assert_int_equal(watcher_read(c->watcher), 0); /* its IN_IGNORED */
    depend(c, 0, "root", WATCH_FILE, "a");
    tree_write(&c->tree, "root/a", "y");
    assert_true(told(c, 0) > 0);
}

static void long_queue_is_read_in_parts(void **state)
{
    struct watcher_case *c = *state;
    char path[300];
    depend(c, 0, "root", WATCH_FILE, "last");
    /* Names of 249 bytes, 272 an event: some 4000 of them fill WATCHER_READ_MAX. */
    for (unsigned i = 0; i < 1100; i++) {
        (void)snprintf(path, sizeof(path), "root/%0249u", i);
        tree_write(&c->tree, path, "x");
        tree_unlink(&c->tree, path);
    }
    tree_write(&c->tree, "root/last", "x");
    assert_true(system_queued_bytes(watcher_fd(c->watcher)) > WATCHER_READ_MAX);
    assert_int_equal(watcher_read(c->watcher), 0);
    assert_int_equal(c->changes[0], 0);
    assert_true(system_queued_bytes(watcher_fd(c->watcher)) > 0);
    assert_int_equal(watcher_read(c->watcher), 0);
    assert_true(c->changes[0] > 0);
    assert_int_equal(system_queued_bytes(watcher_fd(c->watcher)), 0);
    assert_int_equal(c->losses, 0);
}

static void arm_refuses_what_is_no_directory(void **state)
{
    struct watcher_case *c = *state;
    char path[TREE_PATH_MAX];
    struct watch *watch = NULL;
    tree_write(&c->tree, "root/a", "x");
    const int fd = open(tree_path(&c->tree, "root/a", path), O_PATH | O_CLOEXEC);
    assert_int_equal(watcher_arm(c->watcher, fd, WATCH_FILE, &watch), -ENOTDIR);
    assert_null(watch);
    (void)close(fd);
}

#ifdef TURNTABLE_FAULT_POINTS
static void read_failure_is_reported(void **state)
{
    struct watcher_case *c = *state;
    fault_arm("catalog_read", 0, 1, EIO);
    assert_int_equal(watcher_read(c->watcher), -EIO);
    fault_disarm_all();
    assert_int_equal(watcher_read(c->watcher), 0);
}

static void arm_undoes_all_when_there_is_no_memory(void **state)
{
    struct watcher_case *c = *state;
    struct watch *watch = NULL;
    const int fd = open(c->tree.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fault_arm("catalog_alloc", 0, 1, ENOMEM);
    assert_int_equal(watcher_arm(c->watcher, fd, WATCH_FILE, &watch), -ENOMEM);
    fault_disarm_all();
    assert_int_equal(c->watches, 0);
    assert_int_equal(watcher_arm(c->watcher, fd, WATCH_FILE, &watch), 0);
    fault_arm("catalog_alloc", 0, 1, ENOMEM);
    assert_int_equal(watcher_add(c->watcher, watch, 1, &c->dependencies[0]), -ENOMEM);
    fault_disarm_all();
    assert_null(c->dependencies[0].name);
    (void)close(fd);
}

static void create_undoes_all_when_there_is_no_memory(void **state)
{
    (void)state;
    uint64_t watches = 0;
    const struct watcher_config config = {.watch_gauge = &watches};
    for (unsigned i = 0; i < 3; i++) {
        struct watcher *watcher = NULL;
        fault_arm("catalog_alloc", i, 1, ENOMEM);
        assert_int_equal(watcher_create(&config, &watcher), -ENOMEM);
        fault_disarm_all();
        assert_null(watcher);
    }
    watcher_destroy(NULL);
}
#endif

static int set_up(void **state)
{
    struct watcher_case *c = calloc(1, sizeof(*c));
    const struct watcher_config config = {
        .context = c, .on_change = on_change, .on_lost = on_lost, .watch_gauge = &c->watches};
    tree_create(&c->tree);
    assert_int_equal(watcher_create(&config, &c->watcher), 0);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct watcher_case *c = *state;
    watcher_destroy(c->watcher);
    assert_int_equal(c->watches, 0);
    tree_remove(&c->tree);
    free(c);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(change_is_told_to_those_who_depend_on_the_name),
        CASE(scope_says_what_is_heard),
        CASE(directory_itself_concerns_all_names_in_it),
        CASE(watch_without_use_is_kept_until_trimmed),
        CASE(watch_without_use_ends_with_its_first_event),
        CASE(long_queue_is_read_in_parts),
        CASE(arm_refuses_what_is_no_directory),
#ifdef TURNTABLE_FAULT_POINTS
        CASE(read_failure_is_reported),
        CASE(arm_undoes_all_when_there_is_no_memory),
        CASE(create_undoes_all_when_there_is_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
