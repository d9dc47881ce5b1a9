/* Which path leads where, which out, and that names are announced before they are looked up. */
#include "server/catalog/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/catalog/tree_fixture.h"
#include "server/table/generation.h"

struct resolver_case {
    struct tree tree;
    struct resolver *resolver;
    unsigned step_count;
    unsigned shared_count; /* of the steps in a directory that had one before, in the batch */
    /* Called before each look-up. */
    void (*on_step)(struct resolver_case *c, struct span name);
    char last_name[256];
    enum resolver_stage last_stage;
};

static void on_step(void *context,
                    int directory_fd,
                    void *place,
                    enum resolver_stage stage,
                    struct span name,
                    struct resolver_step *ret_step)
{
    struct resolver_case *c = context;
    c->shared_count += place != NULL ? 1 : 0;
    assert_true(directory_fd >= 0);
    assert_true(name.bytes > 0 && name.bytes < sizeof(c->last_name));
    memcpy(c->last_name, name.ptr, name.bytes);
    c->last_name[name.bytes] = '\0';
    c->last_stage = stage;
    c->step_count++;
    if (c->on_step != NULL) {
        c->on_step(c, name);
    }
    *ret_step = (struct resolver_step){.place = c, .name_hash = c->step_count};
}

static void start(struct resolver_case *c, const char *root)
{
    char path[TREE_PATH_MAX];
    static char
        kept_path[2 * TREE_PATH_MAX]; /* tidy: the resolver borrows it, one case at a time */
    (void)snprintf(kept_path, sizeof(kept_path), "%s", tree_path(&c->tree, root, path));
    const struct resolver_config config = {
        .root_path = kept_path, .index_name = "index.html", .context = c, .on_step = on_step};
    assert_int_equal(resolver_create(&config, &c->resolver), 0);
}

/* What a key is answered with; the descriptor, if any, is checked and closed. */
static uint32_t status_of(struct resolver_case *c, struct span key)
{
    const struct resolved found = resolver_open(c->resolver, key);
    if (found.status == 200) {
        assert_true(found.fd >= 0);
        assert_true(S_ISREG(found.stat.st_mode));
        assert_int_equal(close(found.fd), 0);
    } else {
        assert_int_equal(found.fd, -1);
        assert_int_not_equal(found.error_number, 0);
    }
    return found.status;
}

/* As status_of(), in a batch of its own, and then in the batch of what came before. */
static uint32_t status_both_ways(struct resolver_case *c, struct span key)
{
    const uint32_t kept = status_of(c, key);
    assert_int_equal(status_of(c, key), kept);
    resolver_reset(c->resolver);
    assert_int_equal(status_of(c, key), kept);
    return kept;
}

struct key_case {
    const char *name;
    struct span key;
    uint32_t status;
};

static void check_table(struct resolver_case *c, const struct key_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        print_message("%s\n", cases[i].name);
        assert_int_equal(status_both_ways(c, cases[i].key), cases[i].status);
    }
    resolver_reset(c->resolver);
}

static void open_answers_by_what_is_there(void **state)
{
    struct resolver_case *c = *state;
    tree_mkdir(&c->tree, "root/dir");
    tree_mkdir(&c->tree, "root/empty");
    tree_mkdir(&c->tree, "root/odd");
    tree_mkdir(&c->tree, "root/odd/index.html");
    tree_write(&c->tree, "root/a.html", "a");
    tree_write(&c->tree, "root/dir/b.html", "b");
    tree_write(&c->tree, "root/dir/index.html", "index");
    start(c, "root");
    static const struct key_case cases[] = {
        {"a file", SPAN("a.html"), 200},
        {"a file in a directory", SPAN("dir/b.html"), 200},
        {"a directory with its slash", SPAN("dir/"), 200},
        {"a directory without its slash", SPAN("dir"), 301},
        {"a directory without an index", SPAN("empty/"), 403},
        {"the root without an index", SPAN(""), 403},
        {"an index that is a directory", SPAN("odd/"), 403},
        {"a file with a slash", SPAN("a.html/"), 404},
        {"a file as a directory", SPAN("a.html/b"), 404},
        {"nothing", SPAN("none"), 404},
        {"nothing in nothing", SPAN("none/none"), 404},
        {"a directory that is not there", SPAN("none/"), 404},
    };
    check_table(c, cases, ARRAY_COUNT(cases));
}

static void open_refuses_keys_that_are_no_paths(void **state)
{
    struct resolver_case *c = *state;
    tree_mkdir(&c->tree, "root/dir");
    tree_write(&c->tree, "root/dir/a", "a");
    tree_write(&c->tree, "root/dir/index.html", "index");
    tree_write(&c->tree, "secret", "outside");
    start(c, "root");
    static const struct key_case cases[] = {
        {"control", SPAN("dir/a"), 200},          {"leading slash", SPAN("/dir/a"), 404},
        {"doubled slash", SPAN("dir//a"), 404},   {"dot", SPAN("./dir/a"), 404},
        {"dot in between", SPAN("dir/./a"), 404}, {"dot at the end", SPAN("dir/."), 404},
        {"dots", SPAN("../secret"), 404},         {"dots in between", SPAN("dir/../dir/a"), 404},
        {"dots at the end", SPAN("dir/.."), 404}, {"dots and a slash", SPAN("dir/../"), 404},
        {"NUL", SPAN("dir/a\0b"), 404},           {"NUL alone", SPAN("\0"), 404},
        {"only slashes", SPAN("///"), 404},       {"three dots is a name", SPAN(".../a"), 404},
    };
    check_table(c, cases, ARRAY_COUNT(cases));
    assert_int_equal(status_of(c, span_of(NULL, 0)), 403);
}

static void open_takes_any_bytes_in_names(void **state)
{
    struct resolver_case *c = *state;
    static const char *const names[] = {
        "\x01\x7f\xff\xfe", "a b", "%00", "\\", "a\nb", "\xc3\xa4", "~", "-rf", "...", "..a", "*",
    };
    char path[TREE_PATH_MAX];
    start(c, "root");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        (void)snprintf(path, sizeof(path), "root/%s", names[i]);
        tree_write(&c->tree, path, "x");
        assert_int_equal(status_both_ways(c, span_of_string(names[i])), 200);
    }
}

static void open_takes_names_up_to_255_bytes(void **state)
{
    struct resolver_case *c = *state;
    char path[5 + 256 + 1] = "root/";
    memset(path + 5, 'n', 256);
    path[5 + 255] = '\0';
    tree_write(&c->tree, path, "x");
    start(c, "root");
    assert_int_equal(status_both_ways(c, span_of(path + 5, 255)), 200);
    path[5 + 255] = 'n';
    assert_int_equal(status_both_ways(c, span_of(path + 5, 256)), 404);
    path[5 + 256] = '/';
    assert_int_equal(status_both_ways(c, span_of(path + 5, 257)), 404);
}

static void open_refuses_keys_too_long_or_too_deep(void **state)
{
    struct resolver_case *c = *state;
    static char key[PATH_KEY_MAX + 2]; /* tidy: too large for the stack's taste */
    start(c, "root");
    memset(key, 'k', sizeof(key));
    assert_int_equal(status_of(c, span_of(key, PATH_KEY_MAX + 1)), 404);
    assert_int_equal(status_of(c, span_of(key, PATH_KEY_MAX)), 404);

    /* d/d/d/...: made from inside, because no system call takes so long a path. */
    int fd = open(c->tree.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < RESOLVER_DEPTH_MAX + 10; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        const int next_fd = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next_fd >= 0);
        const int file_fd = openat(next_fd, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        assert_true(file_fd >= 0);
        (void)close(file_fd);
        (void)close(fd);
        fd = next_fd;
    }
    (void)close(fd);
    for (unsigned i = 0; i < sizeof(key) - 1; i += 2) {
        memcpy(key + i, "d/", 2);
    }
    const size_t deep_bytes = 2 * (size_t)RESOLVER_DEPTH_MAX;
    char kept = key[200];
    key[200] = 'f';
    assert_int_equal(status_both_ways(c, span_of(key, 201)), 200);
    key[200] = kept;
    assert_int_equal(status_both_ways(c, span_of(key, deep_bytes)), 404);
    assert_int_equal(status_both_ways(c, span_of(key, PATH_KEY_MAX)), 404);
}

static void symlinks_beneath_the_root_are_followed(void **state)
{
    struct resolver_case *c = *state;
    const struct tree *tree = &c->tree;
    tree_mkdir(tree, "root/dir");
    tree_mkdir(tree, "root/dir/deep");
    tree_write(tree, "root/a", "a");
    tree_write(tree, "root/dir/b", "b");
    tree_write(tree, "root/dir/index.html", "index");
    tree_symlink(tree, "a", "root/to-a");
    tree_symlink(tree, "to-a", "root/to-to-a");
    tree_symlink(tree, "dir", "root/to-dir");
    tree_symlink(tree, "dir/", "root/to-dir-slash");
    tree_symlink(tree, "../a", "root/dir/up-a");
    tree_symlink(tree, "../../a", "root/dir/deep/up-up-a");
    tree_symlink(tree, ".././/dir/./b", "root/dir/odd-b");
    tree_symlink(tree, ".", "root/here");
    tree_symlink(tree, "none", "root/dangling");
    tree_symlink(tree, "a/", "root/file-slash");
    tree_symlink(tree, "../to-dir/deep/../b", "root/dir/round");
    start(c, "root");
    static const struct key_case cases[] = {
        {"to a file", SPAN("to-a"), 200},
        {"to a symlink", SPAN("to-to-a"), 200},
        {"to a directory", SPAN("to-dir/b"), 200},
        {"to a directory with a slash", SPAN("to-dir-slash/b"), 200},
        {"to a directory, asked as such", SPAN("to-dir/"), 200},
        {"to a directory, asked without slash", SPAN("to-dir"), 301},
        {"to a directory with a slash, asked without", SPAN("to-dir-slash"), 301},
        {"one up", SPAN("dir/up-a"), 200},
        {"two up", SPAN("dir/deep/up-up-a"), 200},
        {"with dots and slashes", SPAN("dir/odd-b"), 200},
        {"to itself's directory", SPAN("here/here/here/a"), 200},
        {"to nothing", SPAN("dangling"), 404},
        {"to a file with a slash", SPAN("file-slash"), 404},
        {"through another, and up", SPAN("dir/round"), 200},
    };
    check_table(c, cases, ARRAY_COUNT(cases));
}

static void symlinks_out_of_the_root_are_refused(void **state)
{
    struct resolver_case *c = *state;
    const struct tree *tree = &c->tree;
    char root[TREE_PATH_MAX];
    tree_mkdir(tree, "root/dir");
    tree_write(tree, "root/a", "a");
    tree_write(tree, "secret", "outside");
    tree_symlink(tree, "/etc/passwd", "root/absolute");
    tree_symlink(tree, "/", "root/slash");
    tree_symlink(tree, tree_path(tree, "root/a", root), "root/absolute-inside");
    tree_symlink(tree, "../secret", "root/up");
    tree_symlink(tree, "..", "root/parent");
    tree_symlink(tree, "../root/a", "root/out-and-in");
    tree_symlink(tree, "../../secret", "root/dir/up-up");
    tree_symlink(tree, "dir/../../secret", "root/down-up-up");
    tree_symlink(tree, "absolute", "root/to-absolute");
    tree_symlink(tree, "../root/dir", "root/index.html");
    start(c, "root");
    static const struct key_case cases[] = {
        {"absolute", SPAN("absolute"), 403},
        {"to /", SPAN("slash/etc/passwd"), 403},
        {"absolute, but to the root", SPAN("absolute-inside"), 403},
        {"one up", SPAN("up"), 403},
        {"to the parent", SPAN("parent/secret"), 403},
        {"out and in again", SPAN("out-and-in"), 403},
        {"two up from one below", SPAN("dir/up-up"), 403},
        {"down and up", SPAN("down-up-up"), 403},
        {"through a symlink", SPAN("to-absolute"), 403},
        {"as an index", SPAN(""), 403},
        {"as a directory", SPAN("parent/"), 403},
    };
    check_table(c, cases, ARRAY_COUNT(cases));
}

static void symlink_loops_end(void **state)
{
    struct resolver_case *c = *state;
    const struct tree *tree = &c->tree;
    char name[32];
    char target[32];
    tree_write(tree, "root/link0", "the end");
    for (unsigned i = 1; i <= RESOLVER_LINKS_MAX + 1; i++) {
        (void)snprintf(name, sizeof(name), "root/link%u", i);
        (void)snprintf(target, sizeof(target), "link%u", i - 1);
        tree_symlink(tree, target, name);
    }
    tree_symlink(tree, "self", "root/self");
    tree_symlink(tree, "pong", "root/ping");
    tree_symlink(tree, "ping", "root/pong");
    tree_symlink(tree, "grow/grow/grow", "root/grow");
    start(c, "root");
    static const struct key_case cases[] = {
        {"forty", SPAN("link40"), 200}, {"forty-one", SPAN("link41"), 404},
        {"itself", SPAN("self"), 404},  {"itself as a directory", SPAN("self/a"), 404},
        {"two", SPAN("ping"), 404},     {"one that grows", SPAN("grow"), 404},
    };
    check_table(c, cases, ARRAY_COUNT(cases));
}

/* Targets that say `d/../` over and over: legal, and bounded. */
static void symlinks_that_never_arrive_end(void **state)
{
    struct resolver_case *c = *state;
    const struct tree *tree = &c->tree;
    char target[4000];
    tree_mkdir(tree, "root/d");
    tree_write(tree, "root/a", "a");
    for (size_t i = 0; i < 700; i++) {
        memcpy(target + 5 * i, "d/../", 5);
    }
    memcpy(target + 3500, "a", 2);
    tree_symlink(tree, target, "root/once");
    memcpy(target + 3500, "once", 5);
    tree_symlink(tree, target, "root/twice");

    /* Each puts more in front of what remains than it takes away. */
    tree_symlink(tree, "d", "root/long0");
    for (unsigned i = 1; i < 8; i++) {
        char name[16];
        const int bytes = snprintf(target, sizeof(target), "long%u/", i - 1);
        memset(target + bytes, '/', sizeof(target) - 1 - (size_t)bytes);
        target[sizeof(target) - 1] = '\0';
        (void)snprintf(name, sizeof(name), "root/long%u", i);
        tree_symlink(tree, target, name);
    }
    start(c, "root");
    static const struct key_case cases[] = {
        {"700 names", SPAN("once"), 200},
        {"1400 names", SPAN("twice"), 404},
        {"8000 bytes", SPAN("long2"), 301},
        {"28000 bytes", SPAN("long7"), 404},
    };
    check_table(c, cases, ARRAY_COUNT(cases));
}

static void special_files_are_refused_and_not_opened(void **state)
{
    struct resolver_case *c = *state;
    char path[TREE_PATH_MAX];
    assert_int_equal(mkfifo(tree_path(&c->tree, "root/fifo", path), 0666), 0);
    tree_symlink(&c->tree, "fifo", "root/to-fifo");
    tree_mkdir(&c->tree, "root/dir");
    assert_int_equal(mkfifo(tree_path(&c->tree, "root/dir/index.html", path), 0666), 0);

    /* A path of a socket is short: it is bound from inside. */
    const int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    const int here_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(c->tree.root), 0);
    assert_int_equal(bind(socket_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fchdir(here_fd), 0);
    (void)close(here_fd);
    (void)close(socket_fd);

    start(c, "root");
    static const struct key_case cases[] = {
        {"FIFO", SPAN("fifo"), 403},
        {"symlink to a FIFO", SPAN("to-fifo"), 403},
        {"FIFO as an index", SPAN("dir/"), 403},
        {"socket", SPAN("socket"), 403},
        {"FIFO as a directory", SPAN("fifo/a"), 404},
    };
    check_table(c, cases, ARRAY_COUNT(cases));
    if (mknod(tree_path(&c->tree, "root/null", path), S_IFCHR | 0666, 0x103) == 0) {
        assert_int_equal(status_both_ways(c, SPAN("null")), 403);
    }
}

static void symlinks_above_the_root_lead_anywhere(void **state)
{
    struct resolver_case *c = *state;
    const struct tree *tree = &c->tree;
    char path[TREE_PATH_MAX];
    tree_mkdir(tree, "real");
    tree_mkdir(tree, "real/site");
    tree_mkdir(tree, "links");
    tree_write(tree, "real/site/a", "a");
    tree_symlink(tree, tree_path(tree, "real", path), "absolute");
    tree_symlink(tree, "../absolute/../real/site", "links/current");
    tree_symlink(tree, "../../../../../../../../../../../..", "links/far-up");
    start(c, "links/current");
    assert_int_equal(status_both_ways(c, SPAN("a")), 200);
    resolver_destroy(c->resolver);

    char far[2 * TREE_PATH_MAX];
    (void)snprintf(far, sizeof(far), "links/far-up%s/real/site", tree->base);
    start(c, far);
    assert_int_equal(status_both_ways(c, SPAN("a")), 200);
}

static void root_may_be_slash(void **state)
{
    struct resolver_case *c = *state;
    char path[TREE_PATH_MAX];
    const struct resolver_config config = {
        .root_path = "/", .index_name = "index.html", .context = c, .on_step = on_step};
    tree_write(&c->tree, "root/a", "a");
    tree_symlink(&c->tree, "a", "root/to-a");
    assert_int_equal(resolver_create(&config, &c->resolver), 0);
    const char *key = tree_path(&c->tree, "root/to-a", path) + 1;
    assert_int_equal(status_both_ways(c, span_of_string(key)), 200);
}

/* The name appears only after it was announced: an announcement that came later would miss it. */
static void make_what_is_announced(struct resolver_case *c, struct span name)
{
    char path[TREE_PATH_MAX];
    if (span_equal(name, SPAN("dir"))) {
        tree_mkdir(&c->tree, "root/dir");
    } else if (span_equal(name, SPAN("link"))) {
        tree_symlink(&c->tree, "target", "root/dir/link");
    } else if (span_equal(name, SPAN("target"))) {
        tree_write(&c->tree, "root/dir/target", "here");
    } else {
        assert_int_equal(access(tree_path(&c->tree, "root", path), F_OK), 0);
    }
}

static void names_are_announced_before_they_are_looked_up(void **state)
{
    struct resolver_case *c = *state;
    start(c, "root");
    c->on_step = make_what_is_announced;
    const struct resolved found = resolver_open(c->resolver, SPAN("dir/link"));
    assert_int_equal(found.status, 200);
    (void)close(found.fd);
    uint32_t root_count = 0;
    uint32_t count = 0;
    const struct resolver_step *steps = resolver_steps(c->resolver, &root_count, &count);
    assert_int_equal(count, c->step_count);
    assert_int_equal(count - root_count, 3);
    assert_int_equal(steps[count - 1].name_hash, c->step_count);
    assert_int_equal(c->last_stage, RESOLVER_FILE);
}

static void batch_walks_shared_directories_once(void **state)
{
    struct resolver_case *c = *state;
    tree_mkdir(&c->tree, "root/dir");
    tree_mkdir(&c->tree, "root/dir/two");
    tree_write(&c->tree, "root/dir/two/a", "a");
    tree_write(&c->tree, "root/dir/two/b", "b");
    tree_write(&c->tree, "root/c", "c");
    tree_symlink(&c->tree, "../../c", "root/dir/two/to-c");
    start(c, "root");
    assert_int_equal(status_of(c, SPAN("dir/two/a")), 200);
    const unsigned first_count = c->step_count;
    uint32_t root_count = 0;
    uint32_t count = 0;
    (void)resolver_steps(c->resolver, &root_count, &count);
    assert_int_equal(count - root_count, 3);

    assert_int_equal(c->shared_count, 0);
    assert_int_equal(status_of(c, SPAN("dir/two/b")), 200);
    assert_int_equal(c->step_count, first_count + 1);
    assert_int_equal(c->shared_count, 1);
    (void)resolver_steps(c->resolver, &root_count, &count);
    assert_int_equal(count - root_count, 3);

    /* Above the kept directory through a symlink: what was kept is let go, the root is not. */
    assert_int_equal(status_of(c, SPAN("dir/two/to-c")), 200);
    assert_int_equal(c->step_count, first_count + 3);
    (void)resolver_steps(c->resolver, &root_count, &count);
    assert_int_equal(count - root_count, 4);
    assert_int_equal(status_of(c, SPAN("dir/two/b")), 200);
    assert_int_equal(c->step_count, first_count + 6);

    assert_int_equal(status_of(c, SPAN("c")), 200);
    assert_int_equal(c->step_count, first_count + 7);
    resolver_reset(c->resolver);
    assert_int_equal(status_of(c, SPAN("c")), 200);
    assert_int_equal(c->step_count, first_count + 7 + root_count + 1);

    /* Kept for the next batch: the root's walk is not repeated, its own steps are. */
    c->shared_count = 0;
    resolver_keep_root(c->resolver);
    assert_int_equal(status_of(c, SPAN("c")), 200);
    assert_int_equal(c->step_count, first_count + 7 + root_count + 2);
    assert_int_equal(c->shared_count, 0);
    (void)resolver_steps(c->resolver, &root_count, &count);
    assert_int_equal(count - root_count, 1);
}

/* Between the look and the open the name takes another kind. Each time the walk looks again. */
static void swap_kinds(struct resolver_case *c, struct span name)
{
    if (span_equal(name, SPAN("changing"))) {
        tree_flip(&c->tree, "a", "root/changing");
    }
}

static void symlink_put_in_a_files_place_is_followed(void **state)
{
    struct resolver_case *c = *state;
    tree_write(&c->tree, "root/a", "a");
    tree_write(&c->tree, "root/changing", "file");
    start(c, "root");
    c->on_step = swap_kinds;
    const struct resolved found = resolver_open(c->resolver, SPAN("changing"));
    assert_int_equal(found.status, 200);
    char byte = 0;
    assert_int_equal(read(found.fd, &byte, 1), 1);
    assert_int_equal(byte, 'a');
    (void)close(found.fd);
}

#ifdef TURNTABLE_FAULT_POINTS
static void errors_of_the_system_have_their_status(void **state)
{
    struct resolver_case *c = *state;
    static const struct {
        const char *point;
        int error_number;
        uint32_t status;
    } cases[] = {
        {"catalog_openat2", EMFILE, 503}, {"catalog_openat2", ENFILE, 503},
        {"catalog_openat2", ENOMEM, 503}, {"catalog_openat2", EIO, 503},
        {"catalog_openat2", EACCES, 403}, {"catalog_openat2", EPERM, 403},
        {"catalog_openat2", ENOENT, 404}, {"catalog_stat", EIO, 503},
        {"catalog_stat", ENOMEM, 503},    {"catalog_stat", ESTALE, 503},
    };
    tree_mkdir(&c->tree, "root/dir");
    tree_write(&c->tree, "root/dir/a", "a");
    start(c, "root");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        fault_arm(cases[i].point, 0, 1, cases[i].error_number);
        print_message("%s %s\n", cases[i].point, strerror(cases[i].error_number));
        assert_int_equal(status_of(c, SPAN("dir/a")), cases[i].status);
        fault_disarm_all();
        assert_int_equal(status_of(c, SPAN("dir/a")), 200);
        resolver_reset(c->resolver);
    }
}

/* What a name is may change between two calls: then it is looked at again, for a while. */
static void names_that_change_their_kind_are_looked_at_again(void **state)
{
    struct resolver_case *c = *state;
    static const struct {
        const char *name;
        const char *point;
        uint64_t count;
        int error_number;
        uint32_t status;
    } cases[] = {
        {"a file was a symlink when opened", "catalog_openat2", 1, ELOOP, 200},
        {"a file was a socket when opened", "catalog_openat2", 1, ENXIO, 200},
        {"a file never stays one", "catalog_openat2", 100, ELOOP, 503},
        {"a symlink was a file when read", "catalog_readlink", 1, EINVAL, 200},
        {"a symlink never stays one", "catalog_readlink", 100, EINVAL, 503},
    };
    tree_write(&c->tree, "root/a", "a");
    tree_symlink(&c->tree, "a", "root/to-a");
    start(c, "root");
    assert_int_equal(status_of(c, SPAN("to-a")), 200);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s\n", cases[i].name);
        fault_arm(cases[i].point, 0, cases[i].count, cases[i].error_number);
        assert_int_equal(status_of(c, SPAN("to-a")), cases[i].status);
        fault_disarm_all();
    }
}

static void directory_that_was_a_symlink_is_looked_at_again(void **state)
{
    struct resolver_case *c = *state;
    tree_mkdir(&c->tree, "root/dir");
    tree_write(&c->tree, "root/dir/a", "a");
    tree_write(&c->tree, "root/b", "b");
    start(c, "root");
    assert_int_equal(status_of(c, SPAN("b")), 200);
    fault_arm("catalog_openat2", 0, 1, ENOTDIR);
    assert_int_equal(status_of(c, SPAN("dir/a")), 200);
    fault_disarm_all();
    assert_int_equal(status_of(c, SPAN("b")), 200);
    fault_arm("catalog_openat2", 0, 100, ENOTDIR);
    assert_int_equal(status_of(c, SPAN("dir/a")), 503);
    fault_disarm_all();
}
#endif

static int set_up(void **state)
{
    struct resolver_case *c = calloc(1, sizeof(*c));
    tree_create(&c->tree);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct resolver_case *c = *state;
    resolver_destroy(c->resolver);
    tree_remove(&c->tree);
    free(c);
    return 0;
}

static int set_up_group(void **state)
{
    static unsigned fds; /* tidy: cmocka passes one pointer through */
    fds = tree_open_fds();
    *state = &fds;
    return 0;
}

static int tear_down_group(void **state)
{
    return tree_open_fds() == *(unsigned *)*state ? 0 : -1; /* no case leaks a descriptor */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(open_answers_by_what_is_there),
        CASE(open_refuses_keys_that_are_no_paths),
        CASE(open_takes_any_bytes_in_names),
        CASE(open_takes_names_up_to_255_bytes),
        CASE(open_refuses_keys_too_long_or_too_deep),
        CASE(symlinks_beneath_the_root_are_followed),
        CASE(symlinks_out_of_the_root_are_refused),
        CASE(symlink_loops_end),
        CASE(symlinks_that_never_arrive_end),
        CASE(special_files_are_refused_and_not_opened),
        CASE(symlinks_above_the_root_lead_anywhere),
        CASE(root_may_be_slash),
        CASE(names_are_announced_before_they_are_looked_up),
        CASE(batch_walks_shared_directories_once),
        CASE(symlink_put_in_a_files_place_is_followed),
#ifdef TURNTABLE_FAULT_POINTS
        CASE(errors_of_the_system_have_their_status),
        CASE(names_that_change_their_kind_are_looked_at_again),
        CASE(directory_that_was_a_symlink_is_looked_at_again),
#endif
    };
    return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
