/*
 * The entries: one for each path key that some worker holds. An entry says which version the path
 * leads to, who holds it, which names that depends on, and whether it must be looked at again.
 *
 *                 notification            looked at
 *     ENTRY_CLEAN ------------> ENTRY_DIRTY ------> ENTRY_CLEAN
 *                                   |    ^
 *                        the system |    | the next poll
 *                            failed v    |
 *                                ENTRY_RETRY
 *
 * Owns the entries; versions are the loader's. Control thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/base/span.h"
#include "server/catalog/hash_map.h"
#include "server/catalog/walk.h"
#include "server/table/version.h"

enum entry_state {
    ENTRY_CLEAN, /* as far as was told, the version is what the path leads to */
    ENTRY_DIRTY, /* to be looked at by the next catalog_take_changes() */
    ENTRY_RETRY, /* looking failed; the old version serves until the next poll (law L8) */
};

struct catalog_entry {
    struct hash_node node;
    TAILQ_ENTRY(catalog_entry) link;           /* of the entries in its state */
    TAILQ_ENTRY(catalog_entry) unwatched_link; /* when is_unwatched */
    struct version *version;                   /* never NULL; its key is the entry's */
    uint64_t serial;                           /* 1, 2, 3, ... in order of creation */
    uint64_t holder_mask;               /* workers whose map leads to it, as far as is known */
    struct dependency_set dependencies; /* the names that its path crosses beneath the root */
    enum entry_state state;
    bool is_unwatched; /* not all of them could be watched: it is looked at, at every poll */
    bool is_modified;  /* the content was written in place since it was looked at */
};

TAILQ_HEAD(entry_list, catalog_entry);

struct entry_table {
    struct hash_map by_key;
    uint64_t hash_seed;
    struct entry_list clean;
    struct entry_list dirty;
    struct entry_list retry;
    struct entry_list unwatched; /* longest not polled first */
    uint32_t dirty_count;
    uint64_t unwatched_count;
    uint64_t last_serial;
};

/** returns   0 or -ENOMEM */
[[gnu::warn_unused_result]] int entry_table_init(struct entry_table *table, uint64_t hash_seed);

/** Frees the entries; their dependencies must have been forgotten. A zeroed table is fine. */
void entry_table_deinit(struct entry_table *table);

/** The entry of a key, or NULL. O(1). */
struct catalog_entry *entry_table_find(const struct entry_table *table, struct span key);

/** Some entry, or NULL when there is none. */
struct catalog_entry *entry_table_any(const struct entry_table *table);

/** Adds an entry for version->key, which has none; NULL when there is no memory. */
[[gnu::warn_unused_result]] struct catalog_entry *entry_table_add(struct entry_table *table,
                                                                  struct version *version);

/** Removes and frees; its dependencies must have been forgotten. */
void entry_table_remove(struct entry_table *table, struct catalog_entry *entry);

/** The path leads to `version` now. */
void entry_set_version(struct catalog_entry *entry, struct version *version);

void entry_table_set_state(struct entry_table *table,
                           struct catalog_entry *entry,
                           enum entry_state state);

/** Every entry becomes dirty. */
void entry_table_dirty_all(struct entry_table *table);

void entry_table_set_unwatched(struct entry_table *table,
                               struct catalog_entry *entry,
                               bool is_unwatched);

/** For a poll: what waits for another try, and the next unwatched ones, become dirty. */
void entry_table_dirty_polled(struct entry_table *table, uint32_t unwatched_max);
