/*
 * A hash map of nodes that live inside other objects. It stores and finds by a 64-bit hash; whether
 * a node of the same hash is the one that was meant, the caller decides.
 *
 * Grows by doubling; where there is no memory to grow it only gets slower. One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_node {
    struct hash_node *next; /* in the bucket */
    uint64_t hash;
};

struct hash_map {
    struct hash_node **buckets;
    size_t bucket_count; /* a power of two */
    size_t node_count;
};

/** returns   0 or -ENOMEM */
[[gnu::warn_unused_result]] int hash_map_init(struct hash_map *map);

/** Frees the buckets; the nodes are their owners'. A zeroed map is fine. */
void hash_map_deinit(struct hash_map *map);

/** Adds a node that is in no map. Nodes of equal hash may stand side by side. */
void hash_map_insert(struct hash_map *map, struct hash_node *node, uint64_t hash);

/** Removes a node that is in this map. */
void hash_map_remove(struct hash_map *map, struct hash_node *node);

/** The nodes of a hash, in no order: the first, then the next of the same hash, then NULL. */
struct hash_node *hash_map_first(const struct hash_map *map, uint64_t hash);
struct hash_node *hash_map_next(const struct hash_node *node);
