/*
 * The freshness gate: how a worker knows whether a change was signalled that it has not taken in
 * (law L6). inotify queues its event inside rename(2), before that returns; so a request that was
 * sent afterwards finds either the event still queued, or the control thread between reading it and
 * having handed out what follows, or that already in the worker's mailbox.
 *
 *     control: begin -> read the queue empty -> send generations -> finish
 *     worker:  harvest requests -> is_suspect? -> drain the mailbox -> answer
 *
 * The order of the worker's three steps is what makes it safe. One gate for the process.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct freshness_gate {
    int watch_fd;           /* inotify descriptor, read by control alone; -1: nothing is watched */
    _Atomic uint64_t begun; /* rounds of reading begun; written by control */
    _Atomic uint64_t finished; /* rounds whose consequences have all been sent */
};

/** Control thread: before it reads the queue. */
static inline void freshness_begin(struct freshness_gate *gate)
{
    atomic_fetch_add_explicit(&gate->begun, 1, memory_order_seq_cst);
}

/** Control thread: after the last message that followed from the round was sent. */
static inline void freshness_finish(struct freshness_gate *gate)
{
    atomic_store_explicit(&gate->finished, atomic_load_explicit(&gate->begun, memory_order_relaxed),
                          memory_order_seq_cst);
}

/**
 * Worker: true when a signalled change may not have reached the mailbox yet. Call after the
 * requests were received and before the mailbox is drained. One ioctl(2) on the inotify queue.
 */
bool freshness_is_suspect(const struct freshness_gate *gate);
