/*
 * The way in: entries of the submission queue, and entering the kernel with them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/engine/uring/uring_internal.h"

/** Whether an -errno of an entry passes by itself: submit again after the next completions. */
bool submission_is_passing(int error);

/**
 * Enters the kernel once, see ring_enter(), and settles and counts what it may say.
 *
 * returns   0: go on (perhaps nothing was submitted; the next entry retries); or the -errno that
 *           ended the ring, also kept in `dead`
 */
[[gnu::warn_unused_result]] int
submission_enter(struct uring *uring, uint32_t min_complete, uint32_t flags);

/** More was started between two waits than the queue has entries: submits them. Never NULL. */
[[gnu::cold]] struct io_uring_sqe *submission_make_room(struct uring *uring);

/** The next free entry, never NULL. */
static inline struct io_uring_sqe *submission_next(struct uring *uring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring.io);
    return __builtin_expect(entry != NULL, 1) ? entry : submission_make_room(uring);
}
