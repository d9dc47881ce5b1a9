#include "server/table/path_map.h"

#include <errno.h>
#include <stddef.h>
#include <xxhash.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/table/slot.h"

static size_t map_bytes(const struct path_map *map)
{
    return ((size_t)map->mask + 1) * sizeof(struct path_cell);
}

int path_map_init(struct path_map *map,
                  const struct slot *slots,
                  uint32_t slot_count,
                  uint64_t seed)
{
    ASSERT(slot_count >= 1);
    ASSERT(slot_count <= SLOT_TABLE_SLOTS_MAX);
    uint32_t cell_count = 2;
    while (cell_count < 2 * slot_count) {
        cell_count *= 2;
    }
    *map = (struct path_map){.slots = slots, .seed = seed, .mask = cell_count - 1};
    map->cells = FAULT("path_map_map") != 0 ? NULL : alloc_map(map_bytes(map));
    return map->cells == NULL ? -ENOMEM : 0;
}

uint32_t path_map_hash(const struct path_map *map, struct span key)
{
    return (uint32_t)XXH3_64bits_withSeed(key.ptr, key.bytes, map->seed);
}

uint32_t path_map_find(const struct path_map *map, uint32_t hash, struct span key)
{
    for (uint32_t i = hash & map->mask; map->cells[i].slot_number != 0; i = (i + 1) & map->mask) {
        if (map->cells[i].hash != hash) {
            continue;
        }
        uint32_t slot_index = map->cells[i].slot_number - 1;
        if (span_equal(map->slots[slot_index].version->key, key)) {
            return slot_index;
        }
    }
    return SLOT_NONE;
}

void path_map_insert(struct path_map *map, uint32_t hash, uint32_t slot_index)
{
    uint32_t i = hash & map->mask;
    while (map->cells[i].slot_number != 0) {
        i = (i + 1) & map->mask;
    }
    map->cells[i] = (struct path_cell){.hash = hash, .slot_number = slot_index + 1};
}

/* The cell that leads to `slot_index`. */
static uint32_t cell_of(const struct path_map *map, uint32_t hash, uint32_t slot_index)
{
    uint32_t i = hash & map->mask;
    while (map->cells[i].slot_number != slot_index + 1) {
        ASSERT(map->cells[i].slot_number != 0);
        i = (i + 1) & map->mask;
    }
    return i;
}

void path_map_replace(struct path_map *map,
                      uint32_t hash,
                      uint32_t slot_index,
                      uint32_t new_slot_index)
{
    map->cells[cell_of(map, hash, slot_index)].slot_number = new_slot_index + 1;
}

void path_map_remove(struct path_map *map, uint32_t hash, uint32_t slot_index)
{
    uint32_t hole = cell_of(map, hash, slot_index);
    uint32_t i = (hole + 1) & map->mask;
    for (; map->cells[i].slot_number != 0; i = (i + 1) & map->mask) {
        /* A cell may move back into the hole unless its home lies after it. Distances wrap. */
        uint32_t home_distance = (i - map->cells[i].hash) & map->mask;
        uint32_t hole_distance = (i - hole) & map->mask;
        if (home_distance >= hole_distance) {
            map->cells[hole] = map->cells[i];
            hole = i;
        }
    }
    map->cells[hole] = (struct path_cell){0};
}

void path_map_verify(const struct path_map *map, uint32_t key_count)
{
    uint32_t found_count = 0;
    for (uint32_t i = 0; i <= map->mask; i++) {
        if (map->cells[i].slot_number == 0) {
            continue;
        }
        uint32_t slot_index = map->cells[i].slot_number - 1;
        const struct slot *slot = &map->slots[slot_index];
        ASSERT(slot->state == SLOT_LIVE);
        ASSERT(slot->hash == map->cells[i].hash);
        ASSERT(slot->hash == path_map_hash(map, slot->version->key));
        ASSERT(path_map_find(map, slot->hash, slot->version->key) == slot_index);
        found_count++;
    }
    ASSERT(found_count == key_count);
}

void path_map_deinit(struct path_map *map)
{
    alloc_unmap(map->cells, map_bytes(map));
    map->cells = NULL;
}
