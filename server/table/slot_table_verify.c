#include "server/base/check.h"
#include "server/table/slot_table_private.h"

static void verify_free(const struct slot *slot)
{
    ASSERT(slot->version == NULL);
    ASSERT(slot->user_count == 0);
    ASSERT(slot->file == SLOT_FILE_NONE);
}

static void verify_live(const struct slot *slot)
{
    ASSERT(slot->version != NULL);
    ASSERT(slot->file <= SLOT_FILE_INSTALLED);
}

/* Law L3 is here: nothing with users is being cleared, and nothing without users is forgotten. */
static void verify_retiring(const struct slot *slot)
{
    ASSERT(slot->version != NULL);
    ASSERT(slot->file != SLOT_FILE_TO_INSTALL);
    if (slot->user_count > 0) {
        ASSERT(slot->file < SLOT_FILE_TO_CLEAR);
        return;
    }
    ASSERT(slot->file != SLOT_FILE_NONE);
    ASSERT(slot->file != SLOT_FILE_INSTALLED);
}

static void verify_slot(const struct slot_table *table, const struct slot *slot)
{
    switch ((enum slot_state)slot->state) {
    case SLOT_FREE:
        verify_free(slot);
        break;
    case SLOT_LIVE:
        verify_live(slot);
        break;
    case SLOT_RETIRING:
        verify_retiring(slot);
        break;
    }
    ASSERT(slot->serial <= SLOT_SERIAL_MAX);
    if (slot->file != SLOT_FILE_NONE) {
        ASSERT(table->config.is_registered);
        ASSERT(slot->version->fd >= 0);
    }
    if (slot->is_dropped) {
        ASSERT(slot->file >= SLOT_FILE_TO_CLEAR);
        ASSERT(slot->file != SLOT_FILE_CLEARED);
    }
    bool is_queued = slot->file == SLOT_FILE_TO_INSTALL || slot->file == SLOT_FILE_TO_CLEAR;
    ASSERT(is_queued == slot_set_has(&table->updates, (uint32_t)(slot - table->slots)));
}

/* A circle would be longer than there are slots. */
static uint32_t free_list_count(const struct slot_table *table)
{
    uint32_t count = 0;
    for (uint32_t i = table->first_free; i != SLOT_NONE; i = table->slots[i].next_index) {
        ASSERT(i < table->touched_count);
        ASSERT(table->slots[i].state == SLOT_FREE);
        count++;
        ASSERT(count <= table->touched_count);
    }
    return count;
}

void slot_table_verify(const struct slot_table *table)
{
    uint32_t slot_count = table->config.slot_count;
    struct slot_counts found = {0};
    uint32_t busy_count = 0; /* not spare */
    for (uint32_t i = 0; i < slot_count; i++) {
        const struct slot *slot = &table->slots[i];
        ASSERT(i < table->touched_count || slot->state == SLOT_FREE);
        verify_slot(table, slot);
        found.free += slot->state == SLOT_FREE;
        found.live += slot->state == SLOT_LIVE;
        found.retiring += slot->state == SLOT_RETIRING;
        busy_count += slot->state == SLOT_LIVE || slot->user_count > 0;
    }
    ASSERT(found.free == table->counts.free);
    ASSERT(found.live == table->counts.live);
    ASSERT(found.retiring == table->counts.retiring);
    ASSERT(slot_count - busy_count == table->spare_count);

    uint32_t untouched_count = slot_count - table->touched_count;
    ASSERT(free_list_count(table) + untouched_count == table->counts.free);
    slot_set_verify(&table->updates);
    path_map_verify(&table->map, table->counts.live);
}
