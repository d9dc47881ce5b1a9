#include "server/catalog/tree_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/base/check.h"

const char *tree_path(const struct tree *tree, const char *path, char buffer[static TREE_PATH_MAX])
{
    const int bytes = snprintf(buffer, TREE_PATH_MAX, "%s/%s", tree->base, path);
    ASSERT(bytes > 0 && bytes < TREE_PATH_MAX);
    return buffer;
}

void tree_create(struct tree *tree)
{
    *tree = (struct tree){0};
    char program[PATH_MAX];
    const ssize_t bytes = readlink("/proc/self/exe", program, sizeof(program) - 1);
    ASSERT(bytes > 0);
    program[bytes] = '\0';
    *strrchr(program, '/') = '\0';
    const int base_bytes =
        snprintf(tree->base, sizeof(tree->base), "%.*s/catalog_XXXXXX", 480, program);
    ASSERT(base_bytes > 0 && base_bytes < TREE_PATH_MAX);
    ASSERT(mkdtemp(tree->base) != NULL);
    ASSERT(chmod(tree->base, 0755) == 0);
    (void)tree_path(tree, "root", tree->root);
    tree_mkdir(tree, "root");
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *where)
{
    (void)stat;
    (void)kind;
    (void)where;
    return remove(path);
}

void tree_remove(struct tree *tree)
{
    ASSERT(nftw(tree->base, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static void write_all(int fd, const void *bytes, size_t count)
{
    size_t done = 0;
    while (done < count) {
        const ssize_t wrote = write(fd, (const char *)bytes + done, count - done);
        ASSERT(wrote > 0);
        done += (size_t)wrote;
    }
}

void tree_write_bytes(const struct tree *tree, const char *path, const void *bytes, size_t count)
{
    char full[TREE_PATH_MAX];
    const int fd =
        open(tree_path(tree, path, full), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ASSERT(fd >= 0);
    write_all(fd, bytes, count);
    ASSERT(close(fd) == 0);
}

void tree_write(const struct tree *tree, const char *path, const char *content)
{
    tree_write_bytes(tree, path, content, strlen(content));
}

static const char *scratch_name(struct tree *tree, char buffer[static 32])
{
    (void)snprintf(buffer, 32, "scratch%u", tree->scratch_count++);
    return buffer;
}

void tree_replace(struct tree *tree, const char *path, const char *content)
{
    char scratch[32];
    tree_write(tree, scratch_name(tree, scratch), content);
    tree_rename(tree, scratch, path);
}

void tree_mkdir(const struct tree *tree, const char *path)
{
    char full[TREE_PATH_MAX];
    ASSERT(mkdir(tree_path(tree, path, full), 0755) == 0);
}

void tree_symlink(const struct tree *tree, const char *target, const char *path)
{
    char full[TREE_PATH_MAX];
    ASSERT(symlink(target, tree_path(tree, path, full)) == 0);
}

void tree_flip(struct tree *tree, const char *target, const char *path)
{
    char scratch[32];
    tree_symlink(tree, target, scratch_name(tree, scratch));
    tree_rename(tree, scratch, path);
}

void tree_rename(const struct tree *tree, const char *path, const char *new_path)
{
    char full[TREE_PATH_MAX];
    char new_full[TREE_PATH_MAX];
    ASSERT(rename(tree_path(tree, path, full), tree_path(tree, new_path, new_full)) == 0);
}

void tree_unlink(const struct tree *tree, const char *path)
{
    char full[TREE_PATH_MAX];
    ASSERT(unlink(tree_path(tree, path, full)) == 0);
}

void tree_rmdir(const struct tree *tree, const char *path)
{
    char full[TREE_PATH_MAX];
    ASSERT(rmdir(tree_path(tree, path, full)) == 0);
}

void tree_chmod(const struct tree *tree, const char *path, mode_t mode)
{
    char full[TREE_PATH_MAX];
    ASSERT(chmod(tree_path(tree, path, full), mode) == 0);
}

void tree_truncate(const struct tree *tree, const char *path, uint64_t bytes)
{
    char full[TREE_PATH_MAX];
    ASSERT(truncate(tree_path(tree, path, full), (off_t)bytes) == 0);
}

void tree_set_mtime(const struct tree *tree, const char *path, int64_t seconds)
{
    char full[TREE_PATH_MAX];
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds}};
    ASSERT(utimensat(AT_FDCWD, tree_path(tree, path, full), times, 0) == 0);
}

ssize_t tree_read(const struct tree *tree, const char *path, char *buffer, size_t buffer_bytes)
{
    char full[TREE_PATH_MAX];
    const int fd = open(tree_path(tree, path, full), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    const ssize_t bytes = read(fd, buffer, buffer_bytes);
    (void)close(fd); /* read only */
    return bytes;
}

unsigned tree_open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    ASSERT(directory != NULL);
    unsigned count = 0;
    while (readdir(directory) != NULL) {
        count++;
    }
    (void)closedir(directory); /* read only */
    return count;
}

static uint64_t test_monotonic_ns(void *context)
{
    struct test_clock *clock = context;
    if (clock->on_monotonic != NULL) {
        clock->on_monotonic(clock->context, clock->monotonic_count);
    }
    clock->monotonic_count++;
    return clock->now_ns;
}

static int64_t test_wall_seconds(void *context)
{
    struct test_clock *clock = context;
    if (clock->on_wall != NULL) {
        clock->on_wall(clock->context, clock->wall_count);
    }
    clock->wall_count++;
    return clock_wall_seconds(clock_system()) + clock->ahead_seconds;
}

void test_clock_init(struct test_clock *clock)
{
    *clock = (struct test_clock){.now_ns = NS_PER_SEC, .ahead_seconds = 0};
    clock->clock = (struct clock){
        .monotonic_ns = test_monotonic_ns,
        .wall_seconds = test_wall_seconds,
        .context = clock,
    };
}

#define NOBODY 65534

bool test_run_as_nobody(const struct tree *tree, void (*run)(void **state), void **state)
{
    const pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
                               setresuid(NOBODY, NOBODY, NOBODY) != 0)) {
            _exit(77);
        }
        if (access(tree->root, X_OK) != 0) {
            _exit(77);
        }
        run(state);
        _exit(0);
    }
    int status = 0;
    ASSERT(waitpid(pid, &status, 0) == pid);
    ASSERT(WIFEXITED(status));
    ASSERT(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
    return WEXITSTATUS(status) == 0;
}
