#include "server/control/admin_socket.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/fault.h"

struct rig {
    char folder[32];
    char path[64];
    struct address address;
    struct admin_socket socket;
    const char *what;
};

static struct address address_of(const char *text)
{
    struct address address;
    struct sentence error;
    assert_int_equal(address_parse(span_of_string(text), &address, &error), 0);
    return address;
}

static int rig_create(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/admin_socket.XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    (void)snprintf(rig->path, sizeof(rig->path), "%s/admin.sock", rig->folder);
    char text[80];
    (void)snprintf(text, sizeof(text), "unix:%s", rig->path);
    rig->address = address_of(text);
    rig->socket.fd = -1;
    *state = rig;
    return 0;
}

static int rig_destroy(void **state)
{
    struct rig *rig = *state;
    admin_socket_close(&rig->socket);
    (void)unlink(rig->path);
    assert_int_equal(rmdir(rig->folder), 0);
    free(rig);
    return 0;
}

static int rig_open(struct rig *rig)
{
    rig->what = NULL;
    return admin_socket_open(&rig->address, &rig->socket, &rig->what);
}

/* 0 when somebody accepts at the address, else errno. */
static int try_connect(const struct address *address)
{
    int fd = socket(address->name.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int error = connect(fd, &address->name.any, address->name_bytes) == 0 ? 0 : errno;
    (void)close(fd);
    return error;
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    return status.st_mode;
}

static void socket_open_is_for_the_owner_only(void **state)
{
    struct rig *rig = *state;
    mode_t before = umask(0);
    assert_int_equal(rig_open(rig), 0);
    (void)umask(before);
    assert_int_equal(mode_of(rig->path), S_IFSOCK | 0600);
    assert_int_equal(try_connect(&rig->address), 0);
}

static void socket_close_removes_the_file(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig), 0);
    admin_socket_close(&rig->socket);
    assert_int_equal(access(rig->path, F_OK), -1);
    admin_socket_close(&rig->socket); /* twice is fine */
}

/* What a crashed server leaves: a socket file that nobody accepts on. */
static void make_stale_socket(const struct rig *rig)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &rig->address.name.any, rig->address.name_bytes), 0);
    (void)close(fd);
}

static void socket_open_replaces_a_stale_socket(void **state)
{
    struct rig *rig = *state;
    make_stale_socket(rig);
    assert_int_equal(try_connect(&rig->address), ECONNREFUSED);
    assert_int_equal(rig_open(rig), 0);
    assert_int_equal(try_connect(&rig->address), 0);
}

static void socket_open_refuses_a_live_socket(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig), 0);
    struct admin_socket second;
    const char *what = NULL;
    assert_int_equal(admin_socket_open(&rig->address, &second, &what), -EADDRINUSE);
    assert_non_null(strstr(what, "--admin"));
    assert_int_equal(second.fd, -1);
    admin_socket_close(&second);
    assert_int_equal(try_connect(&rig->address), 0); /* the first one lives on */
}

static void socket_open_leaves_other_files_alone(void **state)
{
    struct rig *rig = *state;
    FILE *file = fopen(rig->path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rig_open(rig), -EEXIST);
    assert_non_null(strstr(rig->what, "not a socket"));
    assert_true(S_ISREG(mode_of(rig->path)));
}

/* Somebody replaced our file: it is theirs to remove. */
static void socket_close_leaves_a_successor_alone(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig), 0);
    assert_int_equal(unlink(rig->path), 0);
    make_stale_socket(rig);
    admin_socket_close(&rig->socket);
    assert_true(S_ISSOCK(mode_of(rig->path)));
}

static void socket_open_says_that_a_directory_is_missing(void **state)
{
    struct rig *rig = *state;
    struct address address = address_of("unix:/nowhere/at/all");
    assert_int_equal(admin_socket_open(&address, &rig->socket, &rig->what), -ENOENT);
    assert_non_null(strstr(rig->what, "directory"));
}

static void socket_open_takes_a_free_port(void **state)
{
    struct rig *rig = *state;
    struct address address = address_of("127.0.0.1:0");
    assert_int_equal(admin_socket_open(&address, &rig->socket, &rig->what), 0);
    assert_true(address_port(&rig->socket.address) > 0);
    assert_int_equal(try_connect(&rig->socket.address), 0);
    struct admin_socket second;
    assert_int_equal(admin_socket_open(&rig->socket.address, &second, &rig->what), -EADDRINUSE);
    assert_non_null(strstr(rig->what, "port"));
}

static void socket_open_takes_every_address(void **state)
{
    struct rig *rig = *state;
    struct address every = address_of("*:0");
    assert_int_equal(admin_socket_open(&every, &rig->socket, &rig->what), 0);
    struct address local = address_of("127.0.0.1:0");
    address_set_port(&local, address_port(&rig->socket.address));
    assert_int_equal(try_connect(&local), 0);
}

static void default_socket_makes_a_private_directory(void **state)
{
    struct rig *rig = *state;
    char directory[64];
    (void)snprintf(directory, sizeof(directory), "%s/turntable", rig->folder);
    struct admin_places places = {.xdg_runtime_dir = rig->folder, .uid = 12345};
    assert_int_equal(admin_socket_open_default(&places, &rig->socket, &rig->what), 0);
    assert_int_equal(mode_of(directory), S_IFDIR | 0700);
    assert_int_equal(try_connect(&rig->socket.address), 0);
    admin_socket_close(&rig->socket);
    assert_int_equal(rmdir(directory), 0);
}

/* Where others may write, they could put a socket of their own in place of ours. */
static void default_socket_passes_over_a_shared_directory(void **state)
{
    struct rig *rig = *state;
    char shared[64];
    char next[96];
    (void)snprintf(shared, sizeof(shared), "%s/shared", rig->folder);
    (void)snprintf(next, sizeof(next), "%s/turntable", rig->folder);
    assert_int_equal(mkdir(shared, 0700), 0);
    assert_int_equal(chmod(shared, 0770), 0);
    struct admin_places places = {
        .runtime_directory = shared, .xdg_runtime_dir = rig->folder, .uid = 12345};
    assert_int_equal(admin_socket_open_default(&places, &rig->socket, &rig->what), 0);
    assert_memory_equal(rig->socket.address.name.local.sun_path, next, strlen(next));
    admin_socket_close(&rig->socket);
    assert_int_equal(rmdir(shared), 0);
    assert_int_equal(rmdir(next), 0);
}

#ifdef TURNTABLE_FAULT_POINTS
static void socket_open_fails_clean_without_descriptors(void **state)
{
    struct rig *rig = *state;
    make_stale_socket(rig); /* two sockets are made: to probe, and to listen */
    for (uint64_t skip = 0; skip < 2; skip++) {
        fault_arm("admin_socket", skip, 1, EMFILE);
        assert_int_equal(rig_open(rig), -EMFILE);
        assert_non_null(rig->what);
        fault_disarm_all();
    }
}
#endif

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_create, rig_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(socket_open_is_for_the_owner_only),
        RIG_TEST(socket_close_removes_the_file),
        RIG_TEST(socket_open_replaces_a_stale_socket),
        RIG_TEST(socket_open_refuses_a_live_socket),
        RIG_TEST(socket_open_leaves_other_files_alone),
        RIG_TEST(socket_close_leaves_a_successor_alone),
        RIG_TEST(socket_open_says_that_a_directory_is_missing),
        RIG_TEST(socket_open_takes_a_free_port),
        RIG_TEST(socket_open_takes_every_address),
        RIG_TEST(default_socket_makes_a_private_directory),
        RIG_TEST(default_socket_passes_over_a_shared_directory),
#ifdef TURNTABLE_FAULT_POINTS
        RIG_TEST(socket_open_fails_clean_without_descriptors),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
