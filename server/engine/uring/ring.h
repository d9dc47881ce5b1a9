/*
 * One io_uring: set up with the best flags that the kernel takes, entered with the fewest system
 * calls. Belongs to the thread that set it up; any other thread's use is refused by the kernel.
 *
 * Knows nothing of engines and operations; the probes use it too.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/engine/uring/kernel_abi.h"

/* The kernel's own limit on completions (2 * IORING_MAX_ENTRIES). */
#define RING_COMPLETIONS_MAX 65536

struct ring {
    struct io_uring io;
    uint32_t enter_flags; /* passed with every entry; set by ring_init() */
};

/**
 * Sets up a ring: one issuer, task work only when it enters, all of a batch submitted even if one
 * entry fails. Needs Linux 6.1.
 *
 * entry_count       submission entries, a power of two
 * completion_count  completion entries, >= entry_count; rounded up, cut to RING_COMPLETIONS_MAX
 * returns           0 or -errno of io_uring_setup(2): -EPERM, -ENOSYS, -ENOMEM, -EINVAL (too old)
 */
[[gnu::warn_unused_result]] int
ring_init(struct ring *ret_ring, uint32_t entry_count, uint32_t completion_count);

/** Operations still in flight are cancelled by the kernel, some time later. */
void ring_deinit(struct ring *ring);

/**
 * Gives the ring a table of empty file slots; raises the soft limit of open files as it must.
 *
 * returns   0, -EMFILE (the hard limit is below `slot_count`), -ENOMEM, or another -errno
 */
[[gnu::warn_unused_result]] int ring_register_files(struct ring *ring, uint32_t slot_count);

/**
 * Publishes the prepared entries, submits them and, with IORING_ENTER_GETEVENTS in `flags`, runs
 * task work and waits until `min_complete` completions are there. One system call.
 *
 * returns   entries submitted (a signal may have cut the wait short), or -errno
 */
[[gnu::warn_unused_result]] static inline int
ring_enter(struct ring *ring, uint32_t min_complete, uint32_t flags)
{
    struct io_uring_sq *sq = &ring->io.sq;
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    return io_uring_enter((unsigned)ring->io.enter_ring_fd, sq->sqe_tail - *sq->khead, min_complete,
                          flags | ring->enter_flags, NULL);
}

/** True when prepared entries wait for the next ring_enter(). */
static inline bool ring_has_entries(const struct ring *ring)
{
    return ring->io.sq.sqe_tail != *ring->io.sq.khead;
}
