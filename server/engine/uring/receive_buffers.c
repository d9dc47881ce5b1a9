#include "server/engine/uring/receive_buffers.h"

#include <errno.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/fault.h"

#define CACHE_LINE_BYTES 64

/*
 * Requests are short, so only the front of each buffer is used; at distances of a power of two all
 * those fronts would share a few sets of the cache. An odd number of lines spreads them.
 */
static size_t stride_of(uint32_t bytes)
{
    const size_t lines = (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES;
    return (lines | 1) * CACHE_LINE_BYTES;
}

static size_t shared_bytes(uint32_t count)
{
    return count * sizeof(struct io_uring_buf);
}

static int register_shared(const struct receive_buffers *buffers, struct ring *ring)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)buffers->shared,
        .ring_entries = buffers->count,
        .bgid = RECEIVE_BUFFERS_GROUP,
    };
    const int fault = FAULT("uring_buffers");
    return fault != 0 ? -fault : io_uring_register_buf_ring(&ring->io, &registration, 0);
}

int receive_buffers_init(struct receive_buffers *ret_buffers,
                         struct ring *ring,
                         uint32_t count,
                         uint32_t bytes)
{
    ASSERT(count >= RECEIVE_BUFFERS_MIN && count <= RECEIVE_BUFFERS_MAX);
    ASSERT((count & (count - 1)) == 0);
    ASSERT(bytes >= RECEIVE_BUFFERS_BYTES_MIN && bytes <= RECEIVE_BUFFERS_BYTES_MAX);
    struct receive_buffers buffers = {.count = count, .bytes = bytes, .stride = stride_of(bytes)};

    int result = -ENOMEM;
    buffers.memory = alloc_map(buffers.stride * count);
    if (buffers.memory == NULL) {
        return result;
    }
    buffers.shared = alloc_map(shared_bytes(count));
    if (buffers.shared == NULL) {
        goto unmap_memory;
    }
    io_uring_buf_ring_init(buffers.shared);
    result = register_shared(&buffers, ring);
    if (result < 0) {
        goto unmap_shared;
    }
    for (uint32_t id = 0; id < count; id++) {
        receive_buffers_return(&buffers, (uint16_t)id);
    }
    *ret_buffers = buffers;
    return 0;

unmap_shared:
    alloc_unmap(buffers.shared, shared_bytes(count));
unmap_memory:
    alloc_unmap(buffers.memory, buffers.stride * count);
    return result;
}

void receive_buffers_deinit(struct receive_buffers *buffers, struct ring *ring)
{
    if (buffers->shared == NULL) {
        return;
    }
    /* Fails only if it was never registered; the memory goes either way, nothing uses it. */
    (void)io_uring_unregister_buf_ring(&ring->io, RECEIVE_BUFFERS_GROUP);
    alloc_unmap(buffers->shared, shared_bytes(buffers->count));
    alloc_unmap(buffers->memory, buffers->stride * buffers->count);
    buffers->shared = NULL;
}
