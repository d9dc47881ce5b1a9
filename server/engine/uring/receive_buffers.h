/*
 * The buffers that receives land in: a ring of them shared with the kernel, which takes the next
 * one when data is there. So an idle connection holds no buffer. Each buffer belongs to the kernel
 * until a completion names it, then to whoever got that event, until it is returned.
 *
 * Belongs to the ring's thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/engine/uring/ring.h"

/* The one group that receives select from. */
#define RECEIVE_BUFFERS_GROUP 0

#define RECEIVE_BUFFERS_MIN       16
#define RECEIVE_BUFFERS_MAX       32768 /* the kernel's limit */
#define RECEIVE_BUFFERS_BYTES_MIN 512
#define RECEIVE_BUFFERS_BYTES_MAX 65536

struct receive_buffers {
    struct io_uring_buf_ring *shared; /* entries that the kernel reads; NULL: not set up */
    uint8_t *memory;                  /* count * stride bytes */
    uint32_t count;                   /* a power of two */
    uint32_t bytes;                   /* of each */
    size_t stride;                    /* distance of neighbours, >= bytes */
};

/**
 * Maps the buffers and gives them all to the kernel.
 *
 * count, bytes   within the limits above, count a power of two
 * returns        0, -ENOMEM, or -errno of the registration
 */
[[gnu::warn_unused_result]] int receive_buffers_init(struct receive_buffers *ret_buffers,
                                                     struct ring *ring,
                                                     uint32_t count,
                                                     uint32_t bytes);

/** Call while the ring still lives, with no receive in flight. */
void receive_buffers_deinit(struct receive_buffers *buffers, struct ring *ring);

static inline uint8_t *receive_buffers_at(const struct receive_buffers *buffers, uint16_t id)
{
    return buffers->memory + buffers->stride * id;
}

/** Gives buffer `id` back to the kernel. */
static inline void receive_buffers_return(struct receive_buffers *buffers, uint16_t id)
{
    io_uring_buf_ring_add(buffers->shared, receive_buffers_at(buffers, id), buffers->bytes, id,
                          io_uring_buf_ring_mask(buffers->count), 0);
    io_uring_buf_ring_advance(buffers->shared, 1);
}
