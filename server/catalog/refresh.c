#include "server/catalog/refresh.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/log.h"
#include "server/catalog/system.h"

/* Unwatched paths that one poll looks at: so a poll takes some 10 ms at most. */
#define POLL_UNWATCHED_MAX 1024

#define LOG_INTERVAL_NS (60 * NS_PER_SEC)

/* A poll that is due already keeps its time. */
static void schedule_poll(struct catalog *catalog)
{
    const uint64_t now_ns = catalog_now_ns(catalog);
    if (catalog->next_poll_ns <= now_ns) {
        catalog->next_poll_ns = now_ns + CATALOG_POLL_MS * NS_PER_MS;
    }
}

void refresh_log_failure(struct catalog *catalog, struct span key, int error_number)
{
    uint64_t held_back = 0;
    if (!log_limit_admit(&catalog->failure_log, catalog_now_ns(catalog), LOG_INTERVAL_NS,
                         &held_back)) {
        return;
    }
    const char *remedy = error_number == EMFILE   ? " (raise LimitNOFILE)"
                         : error_number == ENFILE ? " (raise fs.file-max)"
                                                  : "";
    log_error("loading '%.*s' failed: %s%s held_back=%" PRIu64, (int)key.bytes,
              (const char *)key.ptr, strerror(error_number), remedy, held_back);
}

/* Law L8: what could not be looked at stays as it is, until the next poll. */
static void postpone(struct catalog *catalog, struct catalog_entry *entry, int error_number)
{
    catalog->counters.refresh_failures++;
    refresh_log_failure(catalog, entry->version->key, error_number);
    entry_table_set_state(&catalog->entries, entry, ENTRY_RETRY);
    schedule_poll(catalog);
}

void refresh_remove(struct catalog *catalog, struct catalog_entry *entry)
{
    entry->version->entry = NULL;
    walk_forget(catalog->walk, &entry->dependencies);
    entry_table_remove(&catalog->entries, entry);
}

void refresh_settle(struct catalog *catalog, struct catalog_entry *entry, bool is_watched)
{
    entry->is_modified = false;
    entry_table_set_state(&catalog->entries, entry, ENTRY_CLEAN);
    entry_table_set_unwatched(&catalog->entries, entry, !is_watched);
    if (!is_watched) {
        schedule_poll(catalog);
    }
}

/* Builds a version if the file is another; takes over found->fd in any case. 0 or -errno. */
static int build_if_changed(struct catalog *catalog,
                            const struct catalog_entry *entry,
                            const struct resolved *found,
                            struct version **ret_version)
{
    struct loader *loader = &catalog->loader;
    const struct version *current = entry->version;
    int rc = loader_is_current(loader, current, found, entry->is_modified);
    if (rc == 0) {
        rc = loader_build(loader, current->key, found, current, ret_version);
        if (rc == 0) {
            return 0;
        }
    }
    (void)close(found->fd); /* read only: nothing to lose */
    return rc < 0 ? rc : 0;
}

uint32_t
refresh_entry(struct catalog *catalog, struct catalog_entry *entry, struct generation *generation)
{
    struct publisher *publisher = &catalog->publisher;
    catalog->counters.refreshes++;
    const struct resolved found = walk_open(catalog->walk, entry->version->key);
    if (found.status == 503) {
        postpone(catalog, entry, found.error_number);
        return 503;
    }
    if (found.status != 200) {
        struct version *retired = entry->version;
        const uint64_t holder_mask = entry->holder_mask;
        refresh_remove(catalog, entry);
        publisher_change(publisher, generation, retired, NULL, holder_mask);
        return found.status;
    }
    bool is_watched = false;
    struct version *version = NULL;
    int rc = build_if_changed(catalog, entry, &found, &version);
    if (rc == 0) {
        rc = walk_depend(catalog->walk, entry, &entry->dependencies, &is_watched);
        if (rc != 0 && version != NULL) {
            publisher_release(publisher, version);
        }
    }
    if (rc != 0) {
        postpone(catalog, entry, -rc);
        return 503;
    }
    if (version != NULL) {
        publisher_change(publisher, generation, entry->version, version, entry->holder_mask);
        entry_set_version(entry, version);
    }
    refresh_settle(catalog, entry, is_watched);
    return 200;
}

void refresh_poll(struct catalog *catalog, uint64_t now_ns)
{
    if (!catalog_wants_poll(catalog) || now_ns < catalog->next_poll_ns) {
        return;
    }
    if (walk_is_root_unwatched(catalog->walk)) {
        walk_poll_root(catalog->walk);
    }
    entry_table_dirty_polled(&catalog->entries, POLL_UNWATCHED_MAX);
    catalog->next_poll_ns = now_ns + CATALOG_POLL_MS * NS_PER_MS;
}

/* Bytes of a key up to and with its last slash. */
static size_t directory_bytes(struct span key)
{
    const uint8_t *slash = key.bytes == 0 ? NULL : memrchr(key.ptr, '/', key.bytes);
    return slash == NULL ? 0 : (size_t)(slash - key.ptr) + 1;
}

/* By directory: neighbours share their walk. */
static int compare_entries(const void *a, const void *b)
{
    const struct span key_a = (*(struct catalog_entry *const *)a)->version->key;
    const struct span key_b = (*(struct catalog_entry *const *)b)->version->key;
    const size_t bytes_a = directory_bytes(key_a);
    const size_t bytes_b = directory_bytes(key_b);
    if (bytes_a != bytes_b) {
        return bytes_a < bytes_b ? -1 : 1;
    }
    return memcmp(key_a.ptr, key_b.ptr, bytes_a);
}

/* The dirty entries, sorted; NULL when there is no memory. */
static struct catalog_entry **list_dirty(const struct catalog *catalog, uint32_t count)
{
    struct catalog_entry **list = system_alloc(count * sizeof(struct catalog_entry *));
    if (list == NULL) {
        return NULL;
    }
    uint32_t index = 0;
    struct catalog_entry *entry = TAILQ_FIRST(&catalog->entries.dirty);
    for (; entry != NULL; entry = TAILQ_NEXT(entry, link)) {
        list[index++] = entry;
    }
    ASSERT(index == count);
    qsort(list, count, sizeof(struct catalog_entry *), compare_entries);
    return list;
}

struct generation *refresh_dirty(struct catalog *catalog, uint64_t noticed_ns)
{
    const uint32_t count = catalog->entries.dirty_count;
    struct catalog_entry **list = list_dirty(catalog, count);
    if (list == NULL) {
        return NULL;
    }
    struct generation *generation = publisher_begin(count);
    if (generation != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            (void)refresh_entry(catalog, list[i], generation); /* nobody asked for the status */
        }
        walk_end(catalog->walk);
        generation = publisher_publish(&catalog->publisher, generation, noticed_ns);
    }
    alloc_free(list);
    return generation;
}
