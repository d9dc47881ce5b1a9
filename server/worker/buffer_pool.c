#include "server/worker/buffer_pool.h"

#include <errno.h>

#include "server/base/alloc.h"
#include "server/base/check.h"

int buffer_pool_init(struct buffer_pool *pool, uint32_t buffer_count, size_t buffer_bytes)
{
    *pool = (struct buffer_pool){.buffer_count = buffer_count, .buffer_bytes = buffer_bytes};
    pool->memory = alloc_map(buffer_count * buffer_bytes);
    pool->free_indices = alloc_zeroed(buffer_count, sizeof(*pool->free_indices));
    if (pool->memory == NULL || pool->free_indices == NULL) {
        buffer_pool_deinit(pool);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < buffer_count; i++) {
        pool->free_indices[i] = buffer_count - 1 - i;
    }
    pool->free_count = buffer_count;
    return 0;
}

uint8_t *buffer_pool_take(struct buffer_pool *pool)
{
    ASSERT(pool->free_count > 0);
    return pool->memory + pool->free_indices[--pool->free_count] * pool->buffer_bytes;
}

void buffer_pool_give(struct buffer_pool *pool, uint8_t *buffer)
{
    ASSERT(pool->free_count < pool->buffer_count);
    size_t offset = (size_t)(buffer - pool->memory);
    DEBUG_ASSERT(offset % pool->buffer_bytes == 0);
    pool->free_indices[pool->free_count++] = (uint32_t)(offset / pool->buffer_bytes);
}

void buffer_pool_deinit(struct buffer_pool *pool)
{
    alloc_unmap(pool->memory, pool->buffer_count * pool->buffer_bytes);
    alloc_free(pool->free_indices);
    *pool = (struct buffer_pool){0};
}
