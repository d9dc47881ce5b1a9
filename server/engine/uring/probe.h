/*
 * Whether the io_uring engine will work on this machine, by trying what it needs; and if not, a
 * sentence for the operator. Called once at start, before any worker.
 */
#pragma once

#include <stdbool.h>

#include "server/engine/uring/lifetime.h"
#include "server/engine/uring/obstacle.h"

struct uring_probe_result {
    enum lifetime lifetime;
    bool has_index_array;   /* the kernel is older than 6.6; works, a little slower */
    bool is_wait_as_iowait; /* older than 6.15: top(1) books an idle worker as waiting for a disk */
};

/**
 * Tries a ring, its operations, tags, file table and receive buffers, and the lifetime of files.
 * About a millisecond; leaves nothing behind. Any thread.
 *
 * ret_what   on failure one sentence: what is missing and the remedy
 * returns    0, or -errno of what failed (-ENOSYS for missing operations or tags)
 */
[[gnu::warn_unused_result]] int uring_probe(struct uring_probe_result *ret_result,
                                            char ret_what[static OBSTACLE_TEXT_MAX]);
