/*
 * Equal buffers, handed out last-in first-out so that the one just given back, still in the cache,
 * is the next one taken (a buffer that has left L2 costs more than a registered file saves).
 *
 * There is one for every use that can happen at once, so the pool never runs dry; pages cost memory
 * only once touched. Owned by one worker.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buffer_pool {
    uint8_t *memory;
    uint32_t *free_indices; /* stack */
    uint32_t free_count;
    uint32_t buffer_count;
    size_t buffer_bytes;
};

/** returns   0 or -ENOMEM */
[[gnu::warn_unused_result]] int
buffer_pool_init(struct buffer_pool *pool, uint32_t buffer_count, size_t buffer_bytes);
void buffer_pool_deinit(struct buffer_pool *pool);

/** Takes a buffer; there always is one. O(1). */
uint8_t *buffer_pool_take(struct buffer_pool *pool);

/** Gives back what buffer_pool_take() gave. O(1). */
void buffer_pool_give(struct buffer_pool *pool, uint8_t *buffer);
