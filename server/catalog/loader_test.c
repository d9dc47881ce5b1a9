/* What a version says, and that it is one state of the file whatever happens while it is made. */
#include "server/catalog/loader.h"

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

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/catalog/system.h"
#include "server/catalog/tree_fixture.h"

struct loader_case {
    struct tree tree;
    struct test_clock clock;
    struct catalog_counters counters;
    struct loader loader;
    char root[TREE_PATH_MAX];
};

static struct resolved open_file(const struct loader_case *c, const char *path)
{
    char full[TREE_PATH_MAX];
    struct resolved found = {.status = 200};
    found.fd = open(tree_path(&c->tree, path, full), O_RDONLY | O_CLOEXEC);
    assert_true(found.fd >= 0);
    assert_int_equal(fstat(found.fd, &found.stat), 0);
    return found;
}

static struct version *build(struct loader_case *c, const char *key, const char *path)
{
    struct version *version = NULL;
    const struct resolved found = open_file(c, path);
    assert_int_equal(loader_build(&c->loader, span_of_string(key), &found, NULL, &version), 0);
    return version;
}

static void build_says_what_the_file_is(void **state)
{
    struct loader_case *c = *state;
    tree_write(&c->tree, "root/a.html", "hello");
    tree_set_mtime(&c->tree, "root/a.html", 784111777);
    struct version *version = build(c, "a.html", "root/a.html");
    char path[TREE_PATH_MAX];
    static const char head[] = "HTTP/1.1 200 OK\r\n";
    assert_true(span_equal(version->key, SPAN("a.html")));
    assert_int_equal(version->key.ptr[version->key.bytes], 0);
    assert_string_equal(version->file_path, tree_path(&c->tree, "root/a.html", path));
    assert_int_equal(version->identity.size_bytes, 5);
    assert_int_equal(version->identity.mtime_ns, INT64_C(784111777) * 1000000000);
    assert_int_equal(version->last_modified_seconds, 784111777);
    assert_true(version->etag.bytes > 2 && version->etag.ptr[0] == '"');
    assert_true(version->content_type.bytes > 9);
    assert_memory_equal(version->content_type.ptr, "text/html", 9);
    assert_true(version->head.bytes > sizeof(head));
    assert_memory_equal(version->head.ptr, head, sizeof(head) - 1);
    assert_non_null(
        memmem(version->head.ptr, version->head.bytes, version->etag.ptr, version->etag.bytes));
    assert_non_null(memmem(version->head.ptr, version->head.bytes, "Content-Length: 5\r\n", 19));
    assert_non_null(
        memmem(version->head.ptr, version->head.bytes, "Sun, 06 Nov 1994 08:49:37 GMT", 29));
    assert_memory_equal(version->body, "hello", 5);
    assert_int_equal(version->fd, -1);
    assert_int_equal(version->reference_count, 1);
    assert_int_equal(version->body_charge_bytes, 5);
    loader_free(&c->loader, version);
}

static void file_path_names_the_index(void **state)
{
    struct loader_case *c = *state;
    char path[TREE_PATH_MAX];
    tree_mkdir(&c->tree, "root/dir");
    tree_write(&c->tree, "root/index.html", "home");
    tree_write(&c->tree, "root/dir/index.html", "dir");
    struct version *home = build(c, "", "root/index.html");
    struct version *dir = build(c, "dir/", "root/dir/index.html");
    assert_string_equal(home->file_path, tree_path(&c->tree, "root/index.html", path));
    assert_string_equal(dir->file_path, tree_path(&c->tree, "root/dir/index.html", path));
    assert_memory_equal(home->content_type.ptr, "text/html", 9);
    assert_memory_equal(dir->content_type.ptr, "text/html", 9);
}

static void last_modified_is_a_date_that_http_can_say(void **state)
{
    struct loader_case *c = *state;
    const int64_t now_seconds = clock_wall_seconds(clock_system());
    tree_write(&c->tree, "root/a", "a");
    tree_set_mtime(&c->tree, "root/a", now_seconds + 100000);
    struct version *version = build(c, "a", "root/a");
    assert_true(version->last_modified_seconds >= now_seconds);
    assert_true(version->last_modified_seconds < now_seconds + 100000);
    tree_set_mtime(&c->tree, "root/a", -86400);
    version = build(c, "a", "root/a");
    assert_int_equal(version->last_modified_seconds, 0);
    tree_set_mtime(&c->tree, "root/a", 0);
    version = build(c, "a", "root/a");
    assert_int_equal(version->last_modified_seconds, 0);
}

static void bodies_go_where_the_limits_say(void **state)
{
    struct loader_case *c = *state;
    static const struct {
        const char *name;
        uint64_t memory_body_bytes;
        uint64_t memory_total_bytes;
        uint64_t bytes;
        bool is_memory;
    } cases[] = {
        {"none in memory", 0, 1 << 20, 1, false},
        {"none in memory, not even nothing", 0, 1 << 20, 0, false},
        {"nothing", 10, 100, 0, true},
        {"just small enough", 10, 100, 10, true},
        {"one too many", 10, 100, 11, false},
        {"just within the total", 200, 100, 100, true},
        {"one above the total", 200, 100, 101, false},
        {"no total", 10, 0, 1, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s\n", cases[i].name);
        c->loader.memory_body_bytes = cases[i].memory_body_bytes;
        c->loader.memory_total_bytes = cases[i].memory_total_bytes;
        tree_write(&c->tree, "root/a", "");
        tree_truncate(&c->tree, "root/a", cases[i].bytes);
        struct version *version = build(c, "a", "root/a");
        assert_int_equal(version->body != NULL, cases[i].is_memory);
        assert_int_equal(version->fd < 0, cases[i].is_memory);
        assert_int_equal(c->counters.open_files, cases[i].is_memory ? 0 : 1);
        assert_int_equal(c->counters.memory_bytes, cases[i].is_memory ? cases[i].bytes : 0);
        loader_free(&c->loader, version);
        assert_int_equal(c->counters.open_files, 0);
        assert_int_equal(c->counters.memory_bytes, 0);
    }
}

static void file_larger_than_4_gib_stays_a_file(void **state)
{
    struct loader_case *c = *state;
    const uint64_t bytes = (UINT64_C(5) << 30) + 7;
    c->loader.memory_body_bytes = UINT64_MAX;
    c->loader.memory_total_bytes = UINT64_C(4) << 30;
    tree_write(&c->tree, "root/a", "start");
    tree_truncate(&c->tree, "root/a", bytes);
    struct version *version = build(c, "a", "root/a");
    assert_true(version->fd >= 0);
    assert_null(version->body);
    assert_int_equal(version->identity.size_bytes, bytes);
    assert_non_null(
        memmem(version->head.ptr, version->head.bytes, "Content-Length: 5368709127\r\n", 28));
}

/*
 * The loader asks the clock between the stat and the reading of the body: there the file is
 * changed, as often as the case says. How often it is asked is how often it was begun anew.
 */
struct edit {
    struct loader_case *c;
    unsigned times;
    void (*run)(struct loader_case *c, unsigned count);
};

static void on_wall(void *context, unsigned count)
{
    const struct edit *edit = context;
    if (count < edit->times) {
        edit->run(edit->c, count);
    }
}

static void edit_same_length(struct loader_case *c, unsigned count)
{
    tree_write(&c->tree, "root/a", count % 2 == 0 ? "bbbb" : "cccc");
    tree_set_mtime(&c->tree, "root/a", 1000 + count); /* a coarse clock would not show it */
}

static void edit_longer(struct loader_case *c, unsigned count)
{
    tree_truncate(&c->tree, "root/a", 5 + count);
}

static void edit_shorter(struct loader_case *c, unsigned count)
{
    tree_truncate(&c->tree, "root/a", 3 - count);
}

static void
check_edit(struct loader_case *c, unsigned times, void (*run)(struct loader_case *, unsigned))
{
    struct edit edit = {.c = c, .times = times, .run = run};
    tree_write(&c->tree, "root/a", "aaaa");
    const struct resolved found = open_file(c, "root/a");
    struct version *version = NULL;
    c->clock.wall_count = 0;
    c->clock.on_wall = on_wall;
    c->clock.context = &edit;
    assert_int_equal(loader_build(&c->loader, SPAN("a"), &found, NULL, &version), 0);
    c->clock.on_wall = NULL;

    char want[16];
    const ssize_t bytes = tree_read(&c->tree, "root/a", want, sizeof(want));
    assert_int_equal(version->identity.size_bytes, bytes);
    if (times < LOADER_READS_MAX) {
        assert_int_equal(c->clock.wall_count, times + 1);
        assert_non_null(version->body);
        assert_memory_equal(version->body, want, bytes);
    } else {
        assert_int_equal(c->clock.wall_count, LOADER_READS_MAX + 1);
        assert_true(version->fd >= 0);
        assert_null(version->body);
        assert_int_equal(version->body_charge_bytes, 0);
    }
    struct stat now;
    char path[TREE_PATH_MAX];
    assert_int_equal(stat(tree_path(&c->tree, "root/a", path), &now), 0);
    const struct file_identity identity = system_identity_of(&now);
    assert_true(file_identity_equal(&identity, &version->identity));
    loader_free(&c->loader, version);
}

static void file_that_changes_while_it_is_read_is_read_again(void **state)
{
    struct loader_case *c = *state;
    for (unsigned times = 0; times <= LOADER_READS_MAX; times++) {
        check_edit(c, times, edit_same_length);
        check_edit(c, times, edit_longer);
        check_edit(c, times, edit_shorter);
    }
}

static void file_that_outgrows_memory_while_it_is_read_stays_a_file(void **state)
{
    struct loader_case *c = *state;
    struct edit edit = {.c = c, .times = 1, .run = edit_longer};
    c->loader.memory_body_bytes = 4;
    tree_write(&c->tree, "root/a", "aaaa");
    c->clock.on_wall = on_wall;
    c->clock.context = &edit;
    struct version *version = build(c, "a", "root/a");
    c->clock.on_wall = NULL;
    assert_true(version->fd >= 0);
    assert_int_equal(version->identity.size_bytes, 5);
}

static int is_current(struct loader_case *c, const struct version *version, bool is_modified)
{
    const struct resolved found = open_file(c, "root/a");
    const int rc = loader_is_current(&c->loader, version, &found, is_modified);
    (void)close(found.fd);
    return rc;
}

/* Within a tick of the clock: another body, and the version is made to have the stat of it. */
static void same_stat_is_believed_only_of_settled_files(void **state)
{
    struct loader_case *c = *state;
    struct stat now;
    char path[TREE_PATH_MAX];
    tree_write(&c->tree, "root/a", "aaaa");
    struct version *racy = build(c, "a", "root/a");
    c->clock.ahead_seconds = 10;
    struct version *settled = build(c, "a", "root/a");
    c->loader.memory_body_bytes = 0;
    struct version *settled_file = build(c, "a", "root/a");
    c->clock.ahead_seconds = 0;
    struct version *racy_file = build(c, "a", "root/a");
    assert_int_equal(is_current(c, racy, true), 1);

    tree_write(&c->tree, "root/a", "bbbb");
    assert_int_equal(stat(tree_path(&c->tree, "root/a", path), &now), 0);
    struct version *const versions[] = {racy, settled, racy_file, settled_file};
    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        assert_int_equal(is_current(c, versions[i], false), 0);
        versions[i]->identity = system_identity_of(&now);
    }
    assert_int_equal(is_current(c, racy, false), 0);
    assert_int_equal(is_current(c, settled, true), 1);
    assert_int_equal(is_current(c, racy_file, true), 0);
    assert_int_equal(is_current(c, racy_file, false), 1);
    assert_int_equal(is_current(c, settled_file, true), 1);
}

static void twins_have_etags_of_their_own(void **state)
{
    struct loader_case *c = *state;
    struct version *versions[4] = {NULL};
    tree_write(&c->tree, "root/a", "aaaa");
    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        const struct resolved found = open_file(c, "root/a");
        const struct version *previous = i == 0 ? NULL : versions[i - 1];
        assert_int_equal(loader_build(&c->loader, SPAN("a"), &found, previous, &versions[i]), 0);
        for (size_t j = 0; j < i; j++) {
            assert_false(span_equal(versions[i]->etag, versions[j]->etag));
        }
    }
    struct version *again = build(c, "a", "root/a");
    assert_true(span_equal(again->etag, versions[0]->etag));
}

#ifdef TURNTABLE_FAULT_POINTS
static void failures_leave_the_descriptor_with_the_caller(void **state)
{
    struct loader_case *c = *state;
    static const struct {
        const char *point;
        int error_number;
    } cases[] = {{"catalog_pread", EIO}, {"catalog_stat", EIO}, {"catalog_alloc", ENOMEM}};
    tree_write(&c->tree, "root/a", "aaaa");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct resolved found = open_file(c, "root/a");
        struct version *version = NULL;
        fault_arm(cases[i].point, 0, 1, cases[i].error_number);
        assert_int_equal(loader_build(&c->loader, SPAN("a"), &found, NULL, &version),
                         -cases[i].error_number);
        fault_disarm_all();
        assert_null(version);
        assert_int_equal(close(found.fd), 0);
        assert_int_equal(c->counters.open_files + c->counters.memory_bytes, 0);
    }
    struct version *version = build(c, "a", "root/a");
    fault_arm("catalog_pread", 0, 1, EIO);
    assert_int_equal(is_current(c, version, false), -EIO);
    fault_disarm_all();
}
#endif

static int set_up(void **state)
{
    struct loader_case *c = calloc(1, sizeof(*c));
    tree_create(&c->tree);
    test_clock_init(&c->clock);
    c->loader = (struct loader){
        .root_path = c->tree.root,
        .index_name = "index.html",
        .memory_body_bytes = 1024,
        .memory_total_bytes = 1 << 20,
        .clock = &c->clock.clock,
        .counters = &c->counters,
    };
    loader_init(&c->loader);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct loader_case *c = *state;
    loader_deinit(&c->loader);
    assert_int_equal(c->counters.open_files, 0);
    assert_int_equal(c->counters.memory_bytes, 0);
    tree_remove(&c->tree);
    free(c);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(build_says_what_the_file_is),
        CASE(file_path_names_the_index),
        CASE(last_modified_is_a_date_that_http_can_say),
        CASE(bodies_go_where_the_limits_say),
        CASE(file_larger_than_4_gib_stays_a_file),
        CASE(file_that_changes_while_it_is_read_is_read_again),
        CASE(file_that_outgrows_memory_while_it_is_read_stays_a_file),
        CASE(same_stat_is_believed_only_of_settled_files),
        CASE(twins_have_etags_of_their_own),
#ifdef TURNTABLE_FAULT_POINTS
        CASE(failures_leave_the_descriptor_with_the_caller),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
