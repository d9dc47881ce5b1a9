#include "server/catalog/hash_map.h"

#include <errno.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/catalog/system.h"

#define BUCKETS_AT_FIRST 256

int hash_map_init(struct hash_map *map)
{
    struct hash_node **buckets = system_alloc(BUCKETS_AT_FIRST * sizeof(struct hash_node *));
    if (buckets == NULL) {
        return -ENOMEM;
    }
    *map = (struct hash_map){.buckets = buckets, .bucket_count = BUCKETS_AT_FIRST};
    return 0;
}

void hash_map_deinit(struct hash_map *map)
{
    alloc_free(map->buckets);
    *map = (struct hash_map){0};
}

static struct hash_node **bucket_of(const struct hash_map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->bucket_count - 1)];
}

static void insert_node(struct hash_map *map, struct hash_node *node)
{
    struct hash_node **bucket = bucket_of(map, node->hash);
    node->next = *bucket;
    *bucket = node;
}

static void grow(struct hash_map *map)
{
    struct hash_map grown = {.bucket_count = map->bucket_count * 2, .node_count = map->node_count};
    grown.buckets = system_alloc(grown.bucket_count * sizeof(struct hash_node *));
    if (grown.buckets == NULL) {
        return; /* longer chains are slower, not wrong */
    }
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct hash_node *node = map->buckets[i];
        while (node != NULL) {
            struct hash_node *next = node->next;
            insert_node(&grown, node);
            node = next;
        }
    }
    alloc_free(map->buckets);
    *map = grown;
}

void hash_map_insert(struct hash_map *map, struct hash_node *node, uint64_t hash)
{
    if (map->node_count >= map->bucket_count) {
        grow(map);
    }
    node->hash = hash;
    insert_node(map, node);
    map->node_count++;
}

void hash_map_remove(struct hash_map *map, struct hash_node *node)
{
    struct hash_node **place = bucket_of(map, node->hash);
    while (*place != node) {
        ASSERT(*place != NULL);
        place = &(*place)->next;
    }
    *place = node->next;
    node->next = NULL;
    map->node_count--;
}

static struct hash_node *skip_others(struct hash_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash) {
        node = node->next;
    }
    return node;
}

struct hash_node *hash_map_first(const struct hash_map *map, uint64_t hash)
{
    return skip_others(*bucket_of(map, hash), hash);
}

struct hash_node *hash_map_next(const struct hash_node *node)
{
    return skip_others(node->next, node->hash);
}
