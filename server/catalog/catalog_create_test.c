/* Which roots are taken, and which are refused, with the remedy in the message. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/catalog/catalog.h"
#include "server/catalog/tree_fixture.h"
#include "server/catalog/worker_fixture.h"

struct bad_root {
    const char *root;
    int rc;
    const char *remedy;
};

static void check_bad_root(const struct sim *sim, const struct bad_root *bad)
{
    char path[TREE_PATH_MAX];
    struct catalog *catalog = NULL;
    const char *what = NULL;
    const struct catalog_config config = {
        .root_path = tree_path(&sim->tree, bad->root, path),
        .index_name = "index.html",
        .clock = &sim->clock.clock,
    };
    const unsigned fds = tree_open_fds();
    print_message("root '%s'\n", bad->root);
    assert_int_equal(catalog_create(&config, &catalog, &what), bad->rc);
    assert_null(catalog);
    assert_non_null(what);
    assert_non_null(strstr(what, bad->remedy));
    assert_int_equal(tree_open_fds(), fds);
}

static void create_refuses_a_bad_root_with_the_remedy(void **state)
{
    struct sim *sim = *state;
    static const struct bad_root roots[] = {
        {"none", -ENOENT, "create it"},
        {"none/below", -ENOENT, "create it"},
        {"file", -ENOTDIR, "names the directory"},
        {"file/below", -ENOTDIR, "names the directory"},
        {"loop", -ELOOP, "look for a loop"},
        {"dangling", -ENOENT, "create it"},
    };
    tree_write(&sim->tree, "file", "not a directory");
    tree_symlink(&sim->tree, "loop", "loop");
    tree_symlink(&sim->tree, "none", "dangling");
    for (size_t i = 0; i < ARRAY_COUNT(roots); i++) {
        check_bad_root(sim, &roots[i]);
    }
}

static void check_unreadable_roots(void **state)
{
    const struct sim *sim = *state;
    check_bad_root(sim, &(struct bad_root){"shut", -EACCES, "read and search it"});
    check_bad_root(sim, &(struct bad_root){"shut/root", -EACCES, "read and search it"});
    check_bad_root(sim, &(struct bad_root){"search-only", -EACCES, "read and search it"});
}

static void create_refuses_an_unreadable_root(void **state)
{
    struct sim *sim = *state;
    tree_mkdir(&sim->tree, "shut");
    tree_mkdir(&sim->tree, "shut/root");
    tree_mkdir(&sim->tree, "search-only");
    tree_chmod(&sim->tree, "shut", 0);
    tree_chmod(&sim->tree, "search-only", 0711);
    if (!test_run_as_nobody(&sim->tree, check_unreadable_roots, state)) {
        skip();
    }
}

static void create_refuses_names_that_are_none(void **state)
{
    struct sim *sim = *state;
    char root[PATH_MAX];
    memset(root, 'a', sizeof(root));
    root[0] = '/';
    root[CATALOG_ROOT_PATH_MAX + 1] = '\0';
    const struct {
        const char *root_path;
        const char *index_name;
        int rc;
    } cases[] = {
        {root, "index.html", -ENAMETOOLONG},
        {"", "index.html", -EINVAL},
        {sim->tree.root, "", -EINVAL},
        {sim->tree.root, "a/b", -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct catalog *catalog = NULL;
        const char *what = NULL;
        const struct catalog_config config = {.root_path = cases[i].root_path,
                                              .index_name = cases[i].index_name,
                                              .clock = &sim->clock.clock};
        assert_int_equal(catalog_create(&config, &catalog, &what), cases[i].rc);
        assert_non_null(what);
    }
    catalog_destroy(NULL);
}

static void root_may_be_relative(void **state)
{
    struct sim *sim = *state;
    char working[PATH_MAX];
    char path[TREE_PATH_MAX];
    struct catalog *catalog = NULL;
    struct generation *generation = NULL;
    const char *what = NULL;
    const struct catalog_config config = {
        .root_path = "root", .index_name = "index.html", .clock = &sim->clock.clock};
    tree_write(&sim->tree, "root/a", "a");
    assert_non_null(getcwd(working, sizeof(working)));
    assert_int_equal(chdir(sim->tree.base), 0);
    assert_int_equal(catalog_create(&config, &catalog, &what), 0);
    assert_int_equal(chdir(working), 0); /* it means the directory of its start */
    const struct catalog_answer answer = catalog_load(catalog, 0, SPAN("a"), &generation);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.version->file_path, tree_path(&sim->tree, "root/a", path));
    catalog_destroy(catalog);
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
        CASE(create_refuses_a_bad_root_with_the_remedy),
        CASE(create_refuses_an_unreadable_root),
        CASE(create_refuses_names_that_are_none),
        CASE(root_may_be_relative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
