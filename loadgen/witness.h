/*
 * The release witness: sees from outside when a server really lets go of a replaced file. An
 * inotify watch (IN_DELETE_SELF) is put on the old file before it is replaced; the kernel speaks
 * when the file's last name and last descriptor are gone. True for any server; a fixed file of
 * io_uring, which /proc/PID/fd does not show, counts as well.
 *
 * A thread of its own reads the events, so that they are timed when they come. The rotator's thread
 * calls watch, replaced and cancel. Any thread may ask for counts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loadgen/histogram.h"

/* Files that can be waited for at once, a power of two; those beyond go unwatched, and counted. */
#define WITNESS_PENDING_MAX 65536

struct witness;

struct witness_counts {
    uint64_t watched;   /* replaced files that were watched */
    uint64_t released;  /* of these, gone */
    uint64_t pending;   /* of these, still held */
    uint64_t unwatched; /* replaced files that could not be watched */
    uint64_t lost;      /* of the watched, those whose event the kernel dropped: never known */
};

/**
 * Creates a witness and starts its thread.
 *
 * returns   0; -ENOMEM; what inotify_init1(2), eventfd(2) or pthread_create(3) say
 */
[[gnu::warn_unused_result]] int witness_create(struct witness **ret_witness);

/** Stops the thread; NULL is fine. */
void witness_destroy(struct witness *witness);

/**
 * Watches the file that `path` leads to now. Follow with witness_replaced() or witness_cancel().
 *
 * returns   a number for these, >= 0; negative when it cannot be watched (counted): pass it on
 */
[[gnu::warn_unused_result]] int witness_watch(struct witness *witness, const char *path);

/** The watched file lost its name at `replaced_ns`. */
void witness_replaced(struct witness *witness, int watch, uint64_t replaced_ns);

/** The watched file was not replaced after all. */
void witness_cancel(struct witness *witness, int watch);

struct witness_counts witness_counts(struct witness *witness);

/** Adds the times from replacement to release so far. */
void witness_merge_releases(struct witness *witness, struct histogram *histogram);

/** CPU time of the witness's thread up to its last event: not the load's. */
uint64_t witness_cpu_ns(struct witness *witness);
