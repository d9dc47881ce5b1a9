/*
 * For the catalog's tests: a file tree of their own, on the file system of the build directory, and
 * a clock that a test can turn and hook into. What goes wrong here ends the program: ASSERT.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/base/clock.h"

#define TREE_PATH_MAX 512

/* base/ is the test's; base/root is what the catalog serves, unless the test says otherwise. */
struct tree {
    char base[TREE_PATH_MAX];
    char root[TREE_PATH_MAX];
    unsigned scratch_count;
};

/** Makes base/ and base/root, readable by everyone. */
void tree_create(struct tree *tree);

/** Removes all of it. */
void tree_remove(struct tree *tree);

/* Paths are relative to base/, so "root/a.html" is what is served as "a.html". */

/** Writes in place: creates, or cuts and writes again, the same inode. */
void tree_write(const struct tree *tree, const char *path, const char *content);
void tree_write_bytes(const struct tree *tree, const char *path, const void *bytes, size_t count);

/** Writes a new file beside base/root, and renames it over `path`: one notification, no gap. */
void tree_replace(struct tree *tree, const char *path, const char *content);

void tree_mkdir(const struct tree *tree, const char *path);
void tree_symlink(const struct tree *tree, const char *target, const char *path);

/** Makes the symlink elsewhere and renames it over `path`, as a release flip does. */
void tree_flip(struct tree *tree, const char *target, const char *path);

void tree_rename(const struct tree *tree, const char *path, const char *new_path);
void tree_unlink(const struct tree *tree, const char *path);
void tree_rmdir(const struct tree *tree, const char *path);
void tree_chmod(const struct tree *tree, const char *path, mode_t mode);
void tree_truncate(const struct tree *tree, const char *path, uint64_t bytes);
void tree_set_mtime(const struct tree *tree, const char *path, int64_t seconds);

/** base/path, absolute, in `buffer`. */
const char *tree_path(const struct tree *tree, const char *path, char buffer[static TREE_PATH_MAX]);

/** Reads base/path, symlinks followed; returns its bytes, or -1 when there is no such file. */
ssize_t tree_read(const struct tree *tree, const char *path, char *buffer, size_t buffer_bytes);

/** Descriptors that this process has open. */
unsigned tree_open_fds(void);

/* A clock. Its wall clock runs `ahead_seconds` before the system's: what it shows is never racy. */
struct test_clock {
    struct clock clock;
    uint64_t now_ns;
    int64_t ahead_seconds;
    /* Called each time a clock is asked, with how often it was before: a place to change things. */
    void (*on_wall)(void *context, unsigned count);
    void (*on_monotonic)(void *context, unsigned count);
    void *context;
    unsigned wall_count;
    unsigned monotonic_count;
};

void test_clock_init(struct test_clock *clock);

/**
 * Runs `run(state)` in a forked child that is nobody (uid 65534), because root may do everything.
 * If it fails, so does the caller.
 *
 * returns   false when it cannot be done: no right to become nobody, who may not reach the tree
 */
bool test_run_as_nobody(const struct tree *tree, void (*run)(void **state), void **state);
