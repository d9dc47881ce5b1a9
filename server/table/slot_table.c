#include "server/table/slot_table.h"

#include <errno.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/table/slot_table_private.h"

/* A single slot has no reserve: it could never hold anything. */
static uint32_t reserve_of(uint32_t slot_count)
{
    if (slot_count == 1) {
        return 0;
    }
    uint32_t share = slot_count / SLOT_RESERVE_SHARE;
    return share < 1 ? 1 : share > SLOT_RESERVE_MAX ? SLOT_RESERVE_MAX : share;
}

int slot_table_create(const struct slot_table_config *config, struct slot_table **ret_table)
{
    if (config->slot_count < 1 || config->slot_count > SLOT_TABLE_SLOTS_MAX) {
        return -EINVAL;
    }
    struct slot_table *table =
        FAULT("slot_table_alloc") != 0 ? NULL : alloc_zeroed(1, sizeof(*table));
    if (table == NULL) {
        return -ENOMEM;
    }
    *table = (struct slot_table){
        .config = *config,
        .counts = {.free = config->slot_count},
        .first_free = SLOT_NONE,
        .spare_count = config->slot_count,
        .reserve_count = reserve_of(config->slot_count),
    };
    size_t slots_bytes = config->slot_count * sizeof(struct slot);
    table->slots = FAULT("slot_table_map") != 0 ? NULL : alloc_map(slots_bytes);
    if (table->slots == NULL) {
        goto free_table;
    }
    if (path_map_init(&table->map, table->slots, config->slot_count, config->hash_seed) != 0) {
        goto free_slots;
    }
    if (slot_set_init(&table->updates, config->slot_count) != 0) {
        goto deinit_map;
    }
    *ret_table = table;
    return 0;

deinit_map:
    path_map_deinit(&table->map);
free_slots:
    alloc_unmap(table->slots, slots_bytes);
free_table:
    alloc_free(table);
    return -ENOMEM;
}

uint32_t slot_table_find(struct slot_table *table, struct span key)
{
    uint32_t hash = path_map_hash(&table->map, key);
    uint32_t slot_index = path_map_find(&table->map, hash, key);
    if (slot_index == SLOT_NONE) {
        return SLOT_NONE;
    }
    struct slot *slot = &table->slots[slot_index];
    DEBUG_ASSERT(slot->state == SLOT_LIVE);
    if (!slot->is_referenced) { /* a hot slot's cache line stays clean */
        slot->is_referenced = true;
    }
    return slot_index;
}

static const struct slot *held_slot(const struct slot_table *table, uint32_t slot_index)
{
    ASSERT(slot_index < table->config.slot_count);
    ASSERT(table->slots[slot_index].state != SLOT_FREE);
    return &table->slots[slot_index];
}

const struct version *slot_table_version(const struct slot_table *table, uint32_t slot_index)
{
    return held_slot(table, slot_index)->version;
}

bool slot_table_is_installed(const struct slot_table *table, uint32_t slot_index)
{
    return held_slot(table, slot_index)->file == SLOT_FILE_INSTALLED;
}

/* The end of a slot's use: RETIRING to FREE. */
static void free_slot(struct slot_table *table, uint32_t slot_index)
{
    struct slot *slot = &table->slots[slot_index];
    ASSERT(slot->state == SLOT_RETIRING);
    ASSERT(slot->user_count == 0);
    struct version *version = slot->version;
    *slot = (struct slot){.serial = slot->serial, .next_index = table->first_free};
    table->first_free = slot_index;
    table->counts.retiring--;
    table->counts.free++;

    table->is_calling = true;
    table->config.on_released(table->config.context, version);
    table->is_calling = false;
}

static void queue_update(struct slot_table *table, uint32_t slot_index, enum slot_file file)
{
    table->slots[slot_index].file = (uint8_t)file;
    slot_set_add(&table->updates, slot_index);
}

/* Takes the next step to the release of a RETIRING slot that has no users. */
static void release_unused(struct slot_table *table, uint32_t slot_index)
{
    struct slot *slot = &table->slots[slot_index];
    ASSERT(slot->state == SLOT_RETIRING);
    ASSERT(slot->user_count == 0);
    if (slot->file == SLOT_FILE_INSTALLED) {
        queue_update(table, slot_index, SLOT_FILE_TO_CLEAR);
        return;
    }
    if (slot->file == SLOT_FILE_NONE) {
        free_slot(table, slot_index);
        return;
    }
    ASSERT(slot->file == SLOT_FILE_INSTALLING); /* its report decides */
}

/* LIVE to RETIRING, or to FREE at once. The map leads here no more. */
static void retire_slot(struct slot_table *table, uint32_t slot_index)
{
    struct slot *slot = &table->slots[slot_index];
    ASSERT(slot->state == SLOT_LIVE);
    slot->state = SLOT_RETIRING;
    table->counts.live--;
    table->counts.retiring++;
    if (slot->file == SLOT_FILE_TO_INSTALL) { /* the kernel never hears of it */
        slot_set_remove(&table->updates, slot_index);
        slot->file = SLOT_FILE_NONE;
    }
    if (slot->user_count == 0) {
        table->spare_count++;
        release_unused(table, slot_index);
    }
}

static void evict(struct slot_table *table, uint32_t slot_index)
{
    struct slot *slot = &table->slots[slot_index];
    path_map_remove(&table->map, slot->hash, slot_index);
    table->counts.evictions++;

    table->is_calling = true;
    table->config.on_evicted(table->config.context, slot->version);
    table->is_calling = false;

    retire_slot(table, slot_index);
}

/* Moves the hand by one slot, and returns the slot that it was on. */
static uint32_t hand_pass(struct slot_table *table)
{
    uint32_t slot_index = table->hand_index;
    table->hand_index = slot_index + 1 < table->touched_count ? slot_index + 1 : 0;
    return slot_index;
}

/*
 * Evicts unused slots that nobody asked for since the hand last passed, until `wanted_count` are
 * spare. Where everything is hot, the first one that the hand met goes: each publish makes room for
 * itself, or the table would fill up while the hand goes round.
 */
static void make_room(struct slot_table *table, uint32_t wanted_count, uint32_t kept_index)
{
    uint32_t hot_index = SLOT_NONE;
    uint64_t evictions_before = table->counts.evictions;
    for (int i = 0; i < SLOT_HAND_STEPS_MAX && table->spare_count < wanted_count; i++) {
        uint32_t slot_index = hand_pass(table);
        struct slot *slot = &table->slots[slot_index];
        if (slot->state != SLOT_LIVE || slot->user_count > 0 || slot_index == kept_index) {
            continue;
        }
        if (!slot->is_referenced) {
            evict(table, slot_index);
            continue;
        }
        slot->is_referenced = false;
        hot_index = hot_index == SLOT_NONE ? slot_index : hot_index;
    }
    bool is_too_hot = table->counts.evictions == evictions_before;
    if (table->spare_count < wanted_count && is_too_hot && hot_index != SLOT_NONE) {
        evict(table, hot_index);
    }
}

/* Takes a free slot, of which there is one, for `version`. */
static uint32_t occupy_slot(struct slot_table *table, uint32_t hash, struct version *version)
{
    uint32_t slot_index = table->first_free;
    if (slot_index != SLOT_NONE) {
        table->first_free = table->slots[slot_index].next_index;
    } else {
        slot_index = table->touched_count++;
    }
    struct slot *slot = &table->slots[slot_index];
    ASSERT(slot->state == SLOT_FREE);
    slot->state = SLOT_LIVE;
    slot->version = version;
    slot->hash = hash;
    slot->next_index = SLOT_NONE;
    table->counts.free--;
    table->counts.live++;
    table->spare_count--;
    if (table->config.is_registered && version->fd >= 0) {
        queue_update(table, slot_index, SLOT_FILE_TO_INSTALL);
    }
    return slot_index;
}

uint32_t slot_table_publish(struct slot_table *table, struct version *version)
{
    ASSERT(!table->is_calling);
    uint32_t hash = path_map_hash(&table->map, version->key);
    uint32_t old_index = path_map_find(&table->map, hash, version->key);
    bool is_old_spare = old_index != SLOT_NONE && table->slots[old_index].user_count == 0;
    make_room(table, table->reserve_count + (is_old_spare ? 0 : 1), old_index);
    if (table->counts.free == 0) {
        return SLOT_NONE;
    }
    uint32_t slot_index = occupy_slot(table, hash, version);
    if (old_index == SLOT_NONE) {
        path_map_insert(&table->map, hash, slot_index);
        return slot_index;
    }
    path_map_replace(&table->map, hash, old_index, slot_index);
    retire_slot(table, old_index);
    return slot_index;
}

bool slot_table_retire(struct slot_table *table, struct span key)
{
    ASSERT(!table->is_calling);
    uint32_t hash = path_map_hash(&table->map, key);
    uint32_t slot_index = path_map_find(&table->map, hash, key);
    if (slot_index == SLOT_NONE) {
        return false;
    }
    path_map_remove(&table->map, hash, slot_index);
    retire_slot(table, slot_index);
    return true;
}

void slot_table_retire_all(struct slot_table *table)
{
    ASSERT(!table->is_calling);
    for (uint32_t i = 0; i < table->touched_count; i++) {
        if (table->slots[i].state == SLOT_LIVE) {
            path_map_remove(&table->map, table->slots[i].hash, i);
            retire_slot(table, i);
        }
    }
}

void slot_table_acquire(struct slot_table *table, uint32_t slot_index)
{
    ASSERT(!table->is_calling);
    ASSERT(slot_index < table->config.slot_count);
    struct slot *slot = &table->slots[slot_index];
    ASSERT(slot->state == SLOT_LIVE);
    ASSERT(slot->user_count < UINT32_MAX);
    slot->user_count++;
}

void slot_table_release(struct slot_table *table, uint32_t slot_index)
{
    ASSERT(!table->is_calling);
    ASSERT(slot_index < table->config.slot_count);
    struct slot *slot = &table->slots[slot_index];
    ASSERT(slot->user_count > 0);
    slot->user_count--;
    if (slot->user_count == 0 && slot->state == SLOT_RETIRING) {
        table->spare_count++;
        release_unused(table, slot_index);
    }
}

/* Hands one queued update to the owner. */
static struct slot_update take_update(struct slot_table *table, uint32_t slot_index)
{
    struct slot *slot = &table->slots[slot_index];
    slot_set_remove(&table->updates, slot_index);
    if (slot->file == SLOT_FILE_TO_CLEAR) {
        ASSERT(slot->user_count == 0); /* law L3 */
        slot->file = SLOT_FILE_CLEARING;
        return (struct slot_update){.slot_index = slot_index, .fd = -1};
    }
    ASSERT(slot->file == SLOT_FILE_TO_INSTALL);
    slot->file = SLOT_FILE_INSTALLING;
    slot->serial = slot->serial == SLOT_SERIAL_MAX ? 1 : slot->serial + 1;
    return (struct slot_update){
        .slot_index = slot_index, .fd = slot->version->fd, .serial = slot->serial};
}

bool slot_table_has_updates(const struct slot_table *table)
{
    return table->updates.member_count > 0;
}

uint32_t slot_table_take_updates(struct slot_table *table,
                                 struct slot_update *ret_updates,
                                 uint32_t update_max)
{
    ASSERT(!table->is_calling);
    ASSERT(update_max > 0);
    uint32_t count = 0;
    while (count < update_max) {
        uint32_t slot_index = slot_set_next(&table->updates, table->take_index);
        if (slot_index == SLOT_NONE) {
            table->take_index = 0;
            break;
        }
        ret_updates[count++] = take_update(table, slot_index);
        table->take_index = slot_index + 1;
    }
    return count;
}

static void on_installed(struct slot_table *table, uint32_t slot_index, bool is_done)
{
    struct slot *slot = &table->slots[slot_index];
    ASSERT(slot->file == SLOT_FILE_INSTALLING);
    slot->file = is_done ? SLOT_FILE_INSTALLED : SLOT_FILE_NONE;
    if (slot->state == SLOT_RETIRING && slot->user_count == 0) {
        release_unused(table, slot_index);
    }
}

static void on_cleared(struct slot_table *table, uint32_t slot_index, bool is_done)
{
    struct slot *slot = &table->slots[slot_index];
    ASSERT(slot->file == SLOT_FILE_CLEARING);
    if (slot->is_dropped) {
        free_slot(table, slot_index);
        return;
    }
    if (is_done) {
        slot->file = SLOT_FILE_CLEARED;
        return;
    }
    queue_update(table, slot_index, SLOT_FILE_TO_CLEAR);
}

void slot_table_on_updated(struct slot_table *table, const struct slot_update *update, bool is_done)
{
    ASSERT(!table->is_calling);
    ASSERT(update->slot_index < table->config.slot_count);
    if (update->fd < 0) {
        on_cleared(table, update->slot_index, is_done);
        return;
    }
    ASSERT(update->serial == table->slots[update->slot_index].serial);
    on_installed(table, update->slot_index, is_done);
}

/* A tag is believed once the slot is to be cleared: its serial says which use it ends. */
static bool is_tag_waited(const struct slot *slot, uint32_t serial)
{
    return slot->file >= SLOT_FILE_TO_CLEAR && !slot->is_dropped && slot->serial == serial;
}

void slot_table_on_tag(struct slot_table *table, uint32_t slot_index, uint32_t serial)
{
    ASSERT(!table->is_calling);
    if (slot_index >= table->config.slot_count ||
        !is_tag_waited(&table->slots[slot_index], serial)) {
        table->counts.stale_tags++;
        return;
    }
    if (table->slots[slot_index].file == SLOT_FILE_CLEARED) {
        free_slot(table, slot_index);
        return;
    }
    table->slots[slot_index].is_dropped = true; /* the report of the clear frees it */
}

struct slot_counts slot_table_counts(const struct slot_table *table)
{
    return table->counts;
}

void slot_table_destroy(struct slot_table *table)
{
    if (table == NULL) {
        return;
    }
    slot_set_deinit(&table->updates);
    path_map_deinit(&table->map);
    alloc_unmap(table->slots, table->config.slot_count * sizeof(struct slot));
    alloc_free(table);
}
