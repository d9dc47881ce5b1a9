/*
 * The access log's file: takes the lines that workers leave in their log rings and appends them.
 * What the file will not take yet waits in one buffer, and behind it in the rings, where workers
 * drop and count; what it refuses (a full disk) is dropped and counted here. The server goes on.
 *
 * Owns the descriptor unless it is standard output. Control thread; may wait for a disk, never for
 * the reader of a pipe.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/clock.h"
#include "server/worker/worker.h"

struct access_log;

/* Bytes that one call of access_log_write() takes at most: at 50 ms that is 160 MB/s. */
#define ACCESS_LOG_PASS_MAX (8 * 1024 * 1024)

/* How often a file that takes nothing is complained about. */
#define ACCESS_LOG_WARN_NS (10 * NS_PER_SEC)

struct access_log_config {
    const char *path;              /* a file, or "-": standard output; borrowed */
    struct worker *const *workers; /* borrowed */
    uint32_t worker_count;
    const struct clock *clock;
};

/** returns   0, -ENOMEM, or -errno of open(2) */
[[gnu::warn_unused_result]] int access_log_create(const struct access_log_config *config,
                                                  struct access_log **ret_log);

/**
 * Moves what the workers have left so far to the file. Call it regularly.
 *
 * returns   true when it stopped at ACCESS_LOG_PASS_MAX: there may be more
 */
bool access_log_write(struct access_log *log);

/**
 * Opens the path anew, for a log that was renamed; what was taken so far goes to the old file.
 * Nothing for standard output.
 *
 * returns   0, or -errno of open(2): the old file is kept
 */
[[gnu::warn_unused_result]] int access_log_reopen(struct access_log *log);

/** Lines that were taken from workers and could not be written. */
uint64_t access_log_lines_unwritten(const struct access_log *log);

/** Writes what the workers have left as far as the file takes it, and closes. NULL is fine. */
void access_log_destroy(struct access_log *log);
