#include "server/worker/miss_list.h"

#include <errno.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/table/slot_table.h"

/* FNV-1a: the list is short and its keys are confirmed byte by byte. */
static uint32_t bucket_of(struct span key)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < key.bytes; i++) {
        hash = (hash ^ key.ptr[i]) * UINT32_C(16777619);
    }
    return hash & (MISS_BUCKETS_COUNT - 1);
}

static struct span miss_key(const struct miss *miss)
{
    return span_of(miss->key, miss->key_bytes);
}

int miss_list_init(struct miss_list *list, uint32_t miss_count)
{
    list->misses = alloc_map(miss_count * sizeof(*list->misses));
    if (list->misses == NULL) {
        return -ENOMEM;
    }
    list->miss_count = miss_count;
    list->pending_count = 0;
    list->first_free = MISS_NONE;
    for (uint32_t i = 0; i < MISS_BUCKETS_COUNT; i++) {
        list->buckets[i] = MISS_NONE;
    }
    return 0;
}

struct miss *miss_list_find(struct miss_list *list, struct span key)
{
    uint32_t index = list->buckets[bucket_of(key)];
    while (index != MISS_NONE) {
        struct miss *miss = &list->misses[index];
        if (span_equal(miss_key(miss), key)) {
            return miss;
        }
        index = miss->next_index;
    }
    return NULL;
}

bool miss_list_is_full(const struct miss_list *list)
{
    return list->pending_count == list->miss_count;
}

/* Places never used come after the freed ones, so that untouched pages stay untouched. */
static struct miss *take_place(struct miss_list *list)
{
    if (list->first_free != MISS_NONE) {
        struct miss *miss = &list->misses[list->first_free];
        list->first_free = miss->next_index;
        return miss;
    }
    ASSERT(!miss_list_is_full(list));
    return &list->misses[list->pending_count]; /* no freed place: 0..pending_count-1 are taken */
}

struct miss *miss_list_add(struct miss_list *list, struct span key)
{
    ASSERT(key.bytes <= PATH_KEY_MAX);
    struct miss *miss = take_place(list);
    list->pending_count++;
    uint32_t *bucket = &list->buckets[bucket_of(key)];
    miss->next_index = *bucket;
    *bucket = (uint32_t)(miss - list->misses);
    miss->first_parked = MISS_NONE;
    miss->slot_index = SLOT_NONE;
    miss->version = NULL;
    miss->key_bytes = (uint16_t)key.bytes;
    memcpy(miss->key, key.ptr, key.bytes);
    miss->key[key.bytes] = '\0';
    return miss;
}

void miss_list_remove(struct miss_list *list, struct miss *miss)
{
    uint32_t index = (uint32_t)(miss - list->misses);
    uint32_t *link = &list->buckets[bucket_of(miss_key(miss))];
    while (*link != index) {
        ASSERT(*link != MISS_NONE);
        link = &list->misses[*link].next_index;
    }
    *link = miss->next_index;
    miss->next_index = list->first_free;
    list->first_free = index;
    list->pending_count--;
}

void miss_list_deinit(struct miss_list *list)
{
    alloc_unmap(list->misses, list->miss_count * sizeof(*list->misses));
    list->misses = NULL;
}

void miss_queue_push(struct miss_queue *queue, struct miss *miss)
{
    miss->next_answered = NULL;
    if (queue->first == NULL) {
        queue->first = miss;
    } else {
        queue->last->next_answered = miss;
    }
    queue->last = miss;
}

struct miss *miss_queue_pop(struct miss_queue *queue)
{
    struct miss *miss = queue->first;
    if (miss != NULL) {
        queue->first = miss->next_answered;
    }
    return miss;
}

struct miss *miss_queue_take(struct miss_queue *queue, struct span key)
{
    struct miss *before = NULL;
    for (struct miss *miss = queue->first; miss != NULL; miss = miss->next_answered) {
        if (span_equal(miss_key(miss), key)) {
            if (before == NULL) {
                queue->first = miss->next_answered;
            } else {
                before->next_answered = miss->next_answered;
            }
            if (queue->last == miss) {
                queue->last = before;
            }
            return miss;
        }
        before = miss;
    }
    return NULL;
}
