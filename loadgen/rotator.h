/*
 * The rotator: makes self-describing files and replaces them, at a steady rate, by rename(2), while
 * the load runs. What it did goes to the rotation log; each file that it replaces is shown to the
 * release witness first.
 *
 * rotator_create() and rotator_make_files() before the load; then a thread of its own. It alone
 * writes to its directory: names NAME (rotate-000.bin...) by way of .rotate-tmp-N.
 */
#pragma once

#include <stdint.h>

#include "loadgen/rotation_log.h"
#include "loadgen/witness.h"
#include "server/base/span.h"

#define ROTATOR_FILES_MAX      100000
#define ROTATOR_FILE_BYTES_MIN 1024
#define ROTATOR_FILE_BYTES_MAX (256 * 1024)
/* After a delay so many replacements are caught up with; those before are skipped, and counted. */
#define ROTATOR_CATCH_UP_MAX 4
/* So many failures in a row end the rotation: a full disk does not get better by trying. */
#define ROTATOR_FAILURES_MAX 8

struct rotator;

struct rotator_settings {
    const char *directory; /* must exist */
    uint32_t file_count;   /* 1..ROTATOR_FILES_MAX */
    uint64_t seed;
    double rate; /* replacements a second, all files together; 0: none */
};

struct rotator_counts {
    uint64_t replaced;
    uint64_t skipped; /* replacements that were due while the rotator was late */
    uint64_t failed;
    int error;       /* of the last failure, -errno; 0: none */
    uint64_t cpu_ns; /* of the rotator's thread; after its end */
};

/**
 * Opens the directory and settles all sizes; makes nothing yet.
 *
 * log, witness   borrowed until rotator_destroy(); the log must be of the same seed and file count
 * returns        0; -ENOMEM; what open(2) says
 */
[[gnu::warn_unused_result]] int rotator_create(const struct rotator_settings *settings,
                                               struct rotation_log *log,
                                               struct witness *witness,
                                               struct rotator **ret_rotator);
void rotator_destroy(struct rotator *rotator);

/** Room for the name of any of its files. */
#define ROTATOR_NAME_BYTES 32

/** Writes the name of a file of any rotator, NUL-terminated. Pure. */
void rotator_write_name(uint32_t file_index, char ret_name[static ROTATOR_NAME_BYTES]);

/** Which of a rotator's first `file_count` files has this name; UINT32_MAX: none. Pure. */
uint32_t rotator_find_name(struct span name, uint32_t file_count);

/** The size of a file's newest version, 0 before there is one. */
uint64_t rotator_file_bytes(const struct rotator *rotator, uint32_t file_index);

/**
 * Makes every file anew, with the version after the one that an earlier run left there.
 *
 * returns   0 or -errno
 */
[[gnu::warn_unused_result]] int rotator_make_files(struct rotator *rotator);

/** Replaces one file by its next version, now. returns 0 or -errno, the old version in place. */
[[gnu::warn_unused_result]] int rotator_replace(struct rotator *rotator, uint32_t file_index);

/** Starts replacing random files, `rate` a second. returns 0 or -errno */
[[gnu::warn_unused_result]] int rotator_start(struct rotator *rotator);

/** Ends the thread, if there is one; returns what it did. Idempotent. */
struct rotator_counts rotator_stop(struct rotator *rotator);

/** Replacements so far; any thread. */
uint64_t rotator_replaced_count(const struct rotator *rotator);
