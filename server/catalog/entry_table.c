#include "server/catalog/entry_table.h"

#include <xxhash.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/catalog/system.h"

int entry_table_init(struct entry_table *table, uint64_t hash_seed)
{
    *table = (struct entry_table){.hash_seed = hash_seed};
    TAILQ_INIT(&table->clean);
    TAILQ_INIT(&table->dirty);
    TAILQ_INIT(&table->retry);
    TAILQ_INIT(&table->unwatched);
    return hash_map_init(&table->by_key);
}

void entry_table_deinit(struct entry_table *table)
{
    if (table->by_key.buckets == NULL) {
        return;
    }
    for (struct catalog_entry *entry = entry_table_any(table); entry != NULL;
         entry = entry_table_any(table)) {
        entry_table_remove(table, entry);
    }
    hash_map_deinit(&table->by_key);
}

static uint64_t hash_of(const struct entry_table *table, struct span key)
{
    return XXH3_64bits_withSeed(key.ptr, key.bytes, table->hash_seed);
}

struct catalog_entry *entry_table_find(const struct entry_table *table, struct span key)
{
    struct hash_node *node = hash_map_first(&table->by_key, hash_of(table, key));
    for (; node != NULL; node = hash_map_next(node)) {
        struct catalog_entry *entry = container_of(node, struct catalog_entry, node);
        if (span_equal(entry->version->key, key)) {
            return entry;
        }
    }
    return NULL;
}

struct catalog_entry *entry_table_any(const struct entry_table *table)
{
    struct catalog_entry *entry = TAILQ_FIRST(&table->clean);
    if (entry == NULL) {
        entry = TAILQ_FIRST(&table->dirty);
    }
    return entry != NULL ? entry : TAILQ_FIRST(&table->retry);
}

static struct entry_list *list_of(struct entry_table *table, enum entry_state state)
{
    switch (state) {
    case ENTRY_CLEAN:
        return &table->clean;
    case ENTRY_DIRTY:
        return &table->dirty;
    case ENTRY_RETRY:
        return &table->retry;
    }
    ASSERT(false);
    return NULL;
}

struct catalog_entry *entry_table_add(struct entry_table *table, struct version *version)
{
    DEBUG_ASSERT(entry_table_find(table, version->key) == NULL);
    struct catalog_entry *entry = system_alloc(sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    entry->serial = ++table->last_serial;
    entry->version = version;
    entry->state = ENTRY_CLEAN;
    TAILQ_INSERT_TAIL(&table->clean, entry, link);
    hash_map_insert(&table->by_key, &entry->node, hash_of(table, version->key));
    return entry;
}

void entry_table_remove(struct entry_table *table, struct catalog_entry *entry)
{
    ASSERT(entry->dependencies.items == NULL);
    entry_table_set_unwatched(table, entry, false);
    entry_table_set_state(table, entry, ENTRY_CLEAN);
    TAILQ_REMOVE(&table->clean, entry, link);
    hash_map_remove(&table->by_key, &entry->node);
    alloc_free(entry);
}

void entry_set_version(struct catalog_entry *entry, struct version *version)
{
    entry->version = version;
    version->entry = entry;
    version->entry_serial = entry->serial;
}

void entry_table_set_state(struct entry_table *table,
                           struct catalog_entry *entry,
                           enum entry_state state)
{
    if (entry->state == state) {
        return;
    }
    table->dirty_count -= entry->state == ENTRY_DIRTY ? 1 : 0;
    TAILQ_REMOVE(list_of(table, entry->state), entry, link);
    entry->state = state;
    TAILQ_INSERT_TAIL(list_of(table, state), entry, link);
    table->dirty_count += state == ENTRY_DIRTY ? 1 : 0;
}

static void dirty_list(struct entry_table *table, struct entry_list *list)
{
    while (!TAILQ_EMPTY(list)) {
        entry_table_set_state(table, TAILQ_FIRST(list), ENTRY_DIRTY);
    }
}

void entry_table_dirty_all(struct entry_table *table)
{
    dirty_list(table, &table->clean);
    dirty_list(table, &table->retry);
}

void entry_table_set_unwatched(struct entry_table *table,
                               struct catalog_entry *entry,
                               bool is_unwatched)
{
    if (entry->is_unwatched == is_unwatched) {
        return;
    }
    entry->is_unwatched = is_unwatched;
    if (is_unwatched) {
        TAILQ_INSERT_TAIL(&table->unwatched, entry, unwatched_link);
        table->unwatched_count++;
    } else {
        TAILQ_REMOVE(&table->unwatched, entry, unwatched_link);
        table->unwatched_count--;
    }
}

void entry_table_dirty_polled(struct entry_table *table, uint32_t unwatched_max)
{
    dirty_list(table, &table->retry);
    uint64_t count =
        table->unwatched_count < unwatched_max ? table->unwatched_count : unwatched_max;
    for (; count > 0; count--) {
        struct catalog_entry *entry = TAILQ_FIRST(&table->unwatched);
        TAILQ_REMOVE(&table->unwatched, entry, unwatched_link);
        TAILQ_INSERT_TAIL(&table->unwatched, entry, unwatched_link);
        entry_table_set_state(table, entry, ENTRY_DIRTY);
    }
}
