/*
 * The questions a worker has put to the loader and not had answered: one a path, however many
 * connections wait for it. There are as many places as connections; but a question outlives those
 * who left before it was answered, so all may be taken.
 *
 * Owned by one worker; the control thread reads a miss between MESSAGE_MISS and MESSAGE_LOADED.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/table/generation.h"

#define MISS_NONE          UINT32_MAX
#define MISS_BUCKETS_COUNT 1024 /* power of two */

/* Answered misses in order. */
struct miss_queue {
    struct miss *first;
    struct miss *last; /* valid while first != NULL */
};

struct miss_list {
    struct miss *misses;
    uint32_t miss_count;
    uint32_t first_free;
    uint32_t pending_count;
    uint32_t buckets[MISS_BUCKETS_COUNT]; /* chains of the pending, by key */
};

/** returns   0 or -ENOMEM */
[[gnu::warn_unused_result]] int miss_list_init(struct miss_list *list, uint32_t miss_count);
void miss_list_deinit(struct miss_list *list);

/** The pending miss for `key`, or NULL. */
struct miss *miss_list_find(struct miss_list *list, struct span key);

/** Every place is taken. */
bool miss_list_is_full(const struct miss_list *list);

/** Adds a miss for `key` (0..PATH_KEY_MAX bytes), which has none pending. The list is not full. */
struct miss *miss_list_add(struct miss_list *list, struct span key);

/** Takes an answered miss off the list. */
void miss_list_remove(struct miss_list *list, struct miss *miss);

void miss_queue_push(struct miss_queue *queue, struct miss *miss);

/** The oldest, or NULL. */
struct miss *miss_queue_pop(struct miss_queue *queue);

/** Takes out the miss for `key`, or returns NULL. O(misses in the queue). */
struct miss *miss_queue_take(struct miss_queue *queue, struct span key);
