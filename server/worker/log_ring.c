#include "server/worker/log_ring.h"

#include <errno.h>
#include <stdatomic.h>

#include "server/base/alloc.h"
#include "server/base/check.h"

int log_ring_init(struct log_ring *ring, size_t bytes)
{
    ASSERT((bytes & (bytes - 1)) == 0);
    ring->memory = alloc_map(bytes);
    if (ring->memory == NULL) {
        return -ENOMEM;
    }
    ring->mask = bytes - 1;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return 0;
}

bool log_ring_write(struct log_ring *ring, struct span line)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (ring->mask + 1 - (tail - head) < line.bytes) {
        return false;
    }
    size_t at = tail & ring->mask;
    size_t first_bytes = ring->mask + 1 - at;
    if (first_bytes > line.bytes) {
        first_bytes = line.bytes;
    }
    memcpy(ring->memory + at, line.ptr, first_bytes);
    memcpy(ring->memory, line.ptr + first_bytes, line.bytes - first_bytes);
    atomic_store_explicit(&ring->tail, tail + line.bytes, memory_order_release);
    return true;
}

/* How much of `bytes` from `text` ends with a newline; all of it when there is none. */
static size_t whole_lines_bytes(const char *text, size_t bytes)
{
    const char *last = memrchr(text, '\n', bytes);
    return last == NULL ? bytes : (size_t)(last - text) + 1;
}

size_t log_ring_read(struct log_ring *ring, char *buffer, size_t buffer_bytes)
{
    if (ring->memory == NULL) {
        return 0;
    }
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    size_t bytes = (size_t)(tail - head);
    if (bytes > buffer_bytes) {
        bytes = buffer_bytes;
    }
    size_t at = head & ring->mask;
    size_t first_bytes = ring->mask + 1 - at;
    if (first_bytes > bytes) {
        first_bytes = bytes;
    }
    memcpy(buffer, ring->memory + at, first_bytes);
    memcpy(buffer + first_bytes, ring->memory, bytes - first_bytes);
    bytes = whole_lines_bytes(buffer, bytes);
    atomic_store_explicit(&ring->head, head + bytes, memory_order_release);
    return bytes;
}

void log_ring_deinit(struct log_ring *ring)
{
    alloc_unmap(ring->memory, ring->mask + 1);
    ring->memory = NULL;
}
