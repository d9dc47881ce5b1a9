/*
 * Access-log lines on their way from a worker to the control thread: a ring of bytes with one
 * writer and one reader. A line that does not fit is dropped whole and the caller counts it: the
 * request path never waits for a log.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/span.h"

struct log_ring {
    uint8_t *memory;                    /* NULL while the access log is off */
    size_t mask;                        /* bytes - 1; a power of two */
    _Alignas(64) _Atomic uint64_t head; /* bytes ever read */
    _Alignas(64) _Atomic uint64_t tail; /* bytes ever written */
};

/** bytes   a power of two. returns   0 or -ENOMEM */
[[gnu::warn_unused_result]] int log_ring_init(struct log_ring *ring, size_t bytes);
void log_ring_deinit(struct log_ring *ring);

/** Writer: one whole line with its newline. False: no room, nothing written. */
[[gnu::warn_unused_result]] bool log_ring_write(struct log_ring *ring, struct span line);

/** Reader: copies out up to `buffer_bytes`; only whole lines when the buffer holds at least one. */
size_t log_ring_read(struct log_ring *ring, char *buffer, size_t buffer_bytes);
