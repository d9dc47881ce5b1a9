/*
 * The inside of the io_uring engine, for its own files and tests.
 */
#pragma once

#include <stdint.h>

#include "server/engine/uring/receive_buffers.h"
#include "server/engine/uring/ring.h"
#include "server/engine/uring/uring.h"
#include "server/engine/uring/user_data.h"

/* A watch that the engine re-arms by itself when the kernel ends it. */
struct uring_watch {
    uint64_t user_data; /* 0: free */
    int fd;
    bool is_cancelled; /* the caller asked for its end */
};

struct uring {
    struct engine engine; /* first: the verbs */
    struct ring ring;
    struct receive_buffers buffers;
    struct __kernel_timespec *timeouts; /* one per submission entry: lives until it is submitted */
    uint32_t in_flight;                 /* started, and their last completion not yet taken */
    int dead;                           /* -errno that ended the ring; 0: it lives */
    struct io_uring_sqe scratch;        /* written instead of an entry once the ring is dead */
    struct engine_counters counters;
    struct uring_watch watches[URING_WATCHES_MAX];
};
