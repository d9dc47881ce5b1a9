/*
 * The resolver: walks from "/" through the root's configured path and then beneath the root to one
 * file, a component at a time, following symlinks itself. So it can say of every name on the way
 * that it is about to be looked up, before it is: whoever watches the directory from then on misses
 * nothing.
 *
 * Above the root symlinks may lead anywhere. Beneath it none may leave it: an absolute target, or
 * `..` above the root, is refused. Only regular files are opened; what else there is (FIFO, device,
 * socket) is never opened at all.
 *
 *     "/" --root path--> root directory --directories of the key--> directory --name--> file
 *                        kept                                       kept
 *
 * The two directories are kept open for the rest of the batch, whose keys share the walk: the next
 * one begins at the deepest that is also its own. The root may be kept from batch to batch; whether
 * it is still the root, only who hears of changes can know.
 *
 * Control thread. It knows no inotify: on_step does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "server/base/span.h"

/* Directories that a walk may be deep: each is an open descriptor while the walk lasts. */
#define RESOLVER_DEPTH_MAX 256

/* Symlinks that one stage of a walk may follow: the kernel's MAXSYMLINKS. */
#define RESOLVER_LINKS_MAX 40

/* Names that one walk may look up. */
#define RESOLVER_STEPS_MAX 1024

/* Where a name is about to be looked up, and what as. */
enum resolver_stage {
    RESOLVER_ANCESTOR,  /* on the way to the root */
    RESOLVER_DIRECTORY, /* beneath the root, on the way to a file */
    RESOLVER_FILE,      /* the file's own name, or where its symlinks lead */
};

/* One look-up, as on_step described it. */
struct resolver_step {
    void *place;        /* the watched directory; NULL: it could not be watched */
    uint64_t name_hash; /* of the name in it */
};

struct resolver_config {
    const char *root_path;  /* absolute, without NUL in it; borrowed */
    const char *index_name; /* what a directory answers with; borrowed */
    void *context;
    /*
     * `name` is about to be looked up in `directory_fd` (borrowed for the call). `place` is where
     * the last step of this batch in this directory was, NULL if there was none.
     */
    void (*on_step)(void *context,
                    int directory_fd,
                    void *place,
                    enum resolver_stage stage,
                    struct span name,
                    struct resolver_step *ret_step);
};

/* What a key leads to. */
struct resolved {
    uint32_t status;  /* 200, 301 (add a slash), 403, 404, 503 */
    int error_number; /* the errno behind a status that is not 200; 0: none was */
    int fd;           /* status 200: open for reading, the caller's now; else -1 */
    struct stat stat; /* status 200: of `fd` */
};

struct resolver;

/** returns   0 or -ENOMEM, or -errno where "/" cannot be opened: -ENOSYS without openat2(2) */
[[gnu::warn_unused_result]] int resolver_create(const struct resolver_config *config,
                                                struct resolver **ret_resolver);
void resolver_destroy(struct resolver *resolver);

/**
 * Walks to the root directory.
 *
 * returns   its O_PATH descriptor, borrowed until the batch ends; or -errno
 */
[[gnu::warn_unused_result]] int resolver_open_root(struct resolver *resolver);

/**
 * Walks to what `key` leads to and opens it.
 *
 * key       without a slash in front; one at the end, or an empty key: a directory's index. Any
 *           bytes: empty, `.` and `..` components and NULs are answered 404.
 */
struct resolved resolver_open(struct resolver *resolver, struct span key);

/** The look-ups behind the last answer: those on the way to the root first. Borrowed. */
const struct resolver_step *
resolver_steps(const struct resolver *resolver, uint32_t *ret_root_count, uint32_t *ret_count);

/** Ends a batch but for the root: the next walk begins there, if it was reached. */
void resolver_keep_root(struct resolver *resolver);

/** Ends a batch: the next walk begins at "/". */
void resolver_reset(struct resolver *resolver);
