/* What the kernel is asked for: one component, beneath, and nothing followed. */
#include "server/catalog/system.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/catalog/tree_fixture.h"

static void open_stays_beneath_and_follows_nothing(void **state)
{
    const struct tree *tree = *state;
    tree_write(tree, "outside", "x");
    tree_write(tree, "root/a", "x");
    tree_symlink(tree, "a", "root/link");
    tree_symlink(tree, ".", "root/here");
    static const struct {
        const char *name;
        int flags;
        int rc;
    } cases[] = {
        {"..", O_PATH, -EXDEV},
        {"../outside", O_RDONLY, -EXDEV},
        {"/etc", O_PATH, -EXDEV},
        {"link", O_RDONLY, -ELOOP},
        {"link", O_RDONLY | O_NOFOLLOW, -ELOOP},
        {"here/a", O_RDONLY, -ELOOP},
        {"here", O_PATH | O_DIRECTORY | O_NOFOLLOW, -ENOTDIR},
        {"a", O_PATH | O_DIRECTORY | O_NOFOLLOW, -ENOTDIR},
        {"none", O_RDONLY, -ENOENT},
    };
    const int root_fd = open(tree->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root_fd >= 0);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s\n", cases[i].name);
        assert_int_equal(system_open(root_fd, cases[i].name, cases[i].flags), cases[i].rc);
    }
    const int fd = system_open(root_fd, "a", O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
    (void)close(root_fd);
}

static void link_targets_are_whole_or_refused(void **state)
{
    const struct tree *tree = *state;
    char target[16];
    tree_symlink(tree, "fifteen-bytes!!", "root/fits");
    tree_symlink(tree, "sixteen-bytes!!!", "root/long");
    tree_write(tree, "root/a", "x");
    const int root_fd = open(tree->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(system_read_link(root_fd, "fits", target, sizeof(target)), 15);
    assert_string_equal(target, "fifteen-bytes!!");
    assert_int_equal(system_read_link(root_fd, "long", target, sizeof(target)), -ENAMETOOLONG);
    assert_int_equal(system_read_link(root_fd, "a", target, sizeof(target)), -EINVAL);
    (void)close(root_fd);
}

static void calls_report_errno(void **state)
{
    (void)state;
    char byte = 0;
    struct stat stat;
    assert_int_equal(system_stat_fd(-1, &stat), -EBADF);
    assert_int_equal(system_read_at(-1, &byte, 1, 0), -EBADF);
    assert_int_equal(system_read_queue(-1, &byte, 1), -EBADF);
    assert_int_equal(system_add_watch(-1, -1, 0), -EINVAL);
    assert_int_equal(system_queued_bytes(-1), 0);
}

static void identity_is_in_nanoseconds(void **state)
{
    (void)state;
    const struct stat stat = {.st_dev = 1,
                              .st_ino = 2,
                              .st_size = INT64_C(5) << 32,
                              .st_mtim = {.tv_sec = -1, .tv_nsec = 999999999},
                              .st_ctim = {.tv_sec = 3, .tv_nsec = 4}};
    const struct file_identity identity = system_identity_of(&stat);
    assert_int_equal(identity.device, 1);
    assert_int_equal(identity.inode, 2);
    assert_int_equal(identity.size_bytes, UINT64_C(5) << 32);
    assert_int_equal(identity.mtime_ns, -1);
    assert_int_equal(identity.ctime_ns, INT64_C(3000000004));
}

static int set_up(void **state)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    tree_create(tree);
    *state = tree;
    return 0;
}

static int tear_down(void **state)
{
    tree_remove(*state);
    free(*state);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(open_stays_beneath_and_follows_nothing),
        CASE(link_targets_are_whole_or_refused),
        cmocka_unit_test(calls_report_errno),
        cmocka_unit_test(identity_is_in_nanoseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
