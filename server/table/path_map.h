/*
 * From a path key to the slot whose version has that key. Open addressing with linear probing and
 * backward-shift deletion: no tombstones, so it never has to be rebuilt. A cell is a slot and 32
 * bits of hash; the keys are the versions' own, read through the slots.
 *
 * Private to server/table/; belongs to the thread of its table. It knows nothing of slot states.
 */
#pragma once

#include <stdint.h>

#include "server/base/span.h"

struct slot;

struct path_cell {
    uint32_t hash;
    uint32_t slot_number; /* slot index + 1; 0: empty, so that untouched pages cost nothing */
};

struct path_map {
    struct path_cell *cells;
    const struct slot *slots; /* borrowed */
    uint64_t seed;
    uint32_t mask; /* cells - 1; at least twice as many cells as slots, so one is always empty */
};

/**
 * Makes an empty map for up to `slot_count` (1..SLOT_TABLE_SLOTS_MAX) keys.
 *
 * slots     read in path_map_find(); outlives the map
 * returns   0 or -ENOMEM
 */
[[gnu::warn_unused_result]] int
path_map_init(struct path_map *map, const struct slot *slots, uint32_t slot_count, uint64_t seed);
void path_map_deinit(struct path_map *map);

/** The hash under which `key` is kept: XXH3 with the map's seed. */
uint32_t path_map_hash(const struct path_map *map, struct span key);

/** The slot whose version has `key`, or SLOT_NONE. `hash` is path_map_hash(key). */
uint32_t path_map_find(const struct path_map *map, uint32_t hash, struct span key);

/** Leads a key that is not in the map to `slot_index`. */
void path_map_insert(struct path_map *map, uint32_t hash, uint32_t slot_index);

/** The key that led to `slot_index` leads to `new_slot_index` from here on. */
void path_map_replace(struct path_map *map,
                      uint32_t hash,
                      uint32_t slot_index,
                      uint32_t new_slot_index);

/** The key that led to `slot_index` leads nowhere. */
void path_map_remove(struct path_map *map, uint32_t hash, uint32_t slot_index);

/** ASSERTs that the map has `key_count` keys and that each can be found. For tests. O(cells). */
void path_map_verify(const struct path_map *map, uint32_t key_count);
