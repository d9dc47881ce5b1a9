#include "server/catalog/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/catalog/catalog_private.h"
#include "server/catalog/refresh.h"
#include "server/catalog/system.h"

static_assert(CATALOG_ROOT_PATH_MAX > 512, "a root path may be as long as people's are");

static void on_change(void *context, void *owner, bool is_modified)
{
    struct catalog *catalog = context;
    struct catalog_entry *entry = owner;
    entry->is_modified = entry->is_modified || is_modified;
    entry_table_set_state(&catalog->entries, entry, ENTRY_DIRTY);
}

static void on_change_all(void *context)
{
    struct catalog *catalog = context;
    entry_table_dirty_all(&catalog->entries);
}

/* Makes the configured root absolute; what symlinks are in it stays in it. */
static int copy_names(struct catalog *catalog, const char **ret_what)
{
    const char *root_path = catalog->config.root_path;
    const char *index_name = catalog->config.index_name;
    char working[PATH_MAX] = "";
    if (root_path[0] == '\0') {
        *ret_what = "the root is empty: --root names the directory that holds the files";
        return -EINVAL;
    }
    if (root_path[0] != '/' && getcwd(working, sizeof(working)) == NULL) {
        *ret_what = "the working directory is gone: give the root as an absolute path";
        return -errno;
    }
    const char *separator = root_path[0] == '/' ? "" : "/";
    char *out = catalog->root_path;
    const size_t room = sizeof(catalog->root_path);
    if ((size_t)snprintf(out, room, "%s%s%s", working, separator, root_path) >= room) {
        *ret_what = "the root's path is too long: give a shorter one, a symbolic link will do";
        return -ENAMETOOLONG;
    }
    const size_t bytes = strlen(index_name);
    if (bytes == 0 || bytes > NAME_MAX || strchr(index_name, '/') != NULL) {
        *ret_what = "the index name is not a file name";
        return -EINVAL;
    }
    memcpy(catalog->index_name, index_name, bytes + 1);
    catalog->config.root_path = catalog->root_path;
    catalog->config.index_name = catalog->index_name;
    return 0;
}

static void wire(struct catalog *catalog)
{
    const struct catalog_config *config = &catalog->config;
    catalog->loader = (struct loader){
        .root_path = config->root_path,
        .index_name = config->index_name,
        .memory_body_bytes = config->memory_body_bytes,
        .memory_total_bytes = config->memory_total_bytes,
        .clock = config->clock,
        .counters = &catalog->counters,
    };
    loader_init(&catalog->loader);
    catalog->publisher = (struct publisher){
        .loader = &catalog->loader,
        .clock = config->clock,
        .counters = &catalog->counters,
    };
}

static int open_walk(struct catalog *catalog, const char **ret_what)
{
    const struct walk_config config = {
        .root_path = catalog->config.root_path,
        .index_name = catalog->config.index_name,
        .clock = catalog->config.clock,
        .counters = &catalog->counters,
        .context = catalog,
        .on_change = on_change,
        .on_change_all = on_change_all,
    };
    return walk_create(&config, &catalog->walk, ret_what);
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    /* Without it the buckets can be foretold, which costs time at worst. */
    ssize_t seed_bytes = getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
    return seed_bytes == sizeof(seed) ? seed : 0;
}

int catalog_create(const struct catalog_config *config,
                   struct catalog **ret_catalog,
                   const char **ret_what)
{
    struct catalog *catalog = system_alloc(sizeof(*catalog));
    if (catalog == NULL) {
        *ret_what = "no memory";
        return -ENOMEM;
    }
    catalog->config = *config;
    int rc = copy_names(catalog, ret_what);
    if (rc != 0) {
        goto destroy;
    }
    wire(catalog);
    rc = entry_table_init(&catalog->entries, random_seed());
    if (rc != 0) {
        *ret_what = "no memory";
        goto destroy;
    }
    rc = open_walk(catalog, ret_what);
    if (rc != 0) {
        goto destroy;
    }
    *ret_catalog = catalog;
    return 0;

destroy:
    catalog_destroy(catalog);
    return rc;
}

void catalog_destroy(struct catalog *catalog)
{
    if (catalog == NULL) {
        return;
    }
    while (entry_table_any(&catalog->entries) != NULL) {
        struct catalog_entry *entry = entry_table_any(&catalog->entries);
        walk_forget(catalog->walk, &entry->dependencies);
        entry_table_remove(&catalog->entries, entry);
    }
    entry_table_deinit(&catalog->entries);
    walk_destroy(catalog->walk);
    publisher_deinit(&catalog->publisher);
    loader_deinit(&catalog->loader);
    alloc_free(catalog);
}

int catalog_watch_fd(const struct catalog *catalog)
{
    return walk_fd(catalog->walk);
}

bool catalog_wants_poll(const struct catalog *catalog)
{
    return !TAILQ_EMPTY(&catalog->entries.dirty) || !TAILQ_EMPTY(&catalog->entries.retry) ||
           !TAILQ_EMPTY(&catalog->entries.unwatched) ||
           (walk_is_root_unwatched(catalog->walk) && entry_table_any(&catalog->entries) != NULL);
}

const struct catalog_counters *catalog_counters(const struct catalog *catalog)
{
    return &catalog->counters;
}

void catalog_set_drained(struct catalog *catalog, catalog_drained_fn on_drained, void *context)
{
    catalog->publisher.on_drained = on_drained;
    catalog->publisher.drained_context = context;
}

static void update_gauges(struct catalog *catalog)
{
    catalog->counters.versions_live = catalog->entries.by_key.node_count;
    catalog->counters.unwatched = catalog->entries.unwatched_count;
}

/* What a worker is told of an entry: its version, unless its map leads to it already. */
static struct catalog_answer give(struct catalog_entry *entry, uint32_t worker_index)
{
    const uint64_t worker_mask = UINT64_C(1) << worker_index;
    if ((entry->holder_mask & worker_mask) != 0) {
        return (struct catalog_answer){.status = 200};
    }
    entry->holder_mask |= worker_mask;
    publisher_acquire(entry->version);
    return (struct catalog_answer){.status = 200, .version = entry->version};
}

static struct catalog_answer load_again(struct catalog *catalog,
                                        uint32_t worker_index,
                                        struct catalog_entry *entry,
                                        struct generation **ret_generation)
{
    struct generation *generation = publisher_begin(1);
    if (generation == NULL) {
        return (struct catalog_answer){.status = 503};
    }
    const uint32_t status = refresh_entry(catalog, entry, generation);
    *ret_generation = publisher_publish(&catalog->publisher, generation, catalog_now_ns(catalog));
    return status == 200 ? give(entry, worker_index) : (struct catalog_answer){.status = status};
}

/* An entry for a version just built; it is freed on failure. Returns 0 or -ENOMEM. */
static int
add_entry(struct catalog *catalog, struct version *version, struct catalog_entry **ret_entry)
{
    bool is_watched = false;
    struct catalog_entry *entry = entry_table_add(&catalog->entries, version);
    if (entry == NULL) {
        goto release_version;
    }
    if (walk_depend(catalog->walk, entry, &entry->dependencies, &is_watched) != 0) {
        goto remove_entry;
    }
    entry_set_version(entry, version);
    refresh_settle(catalog, entry, is_watched);
    *ret_entry = entry;
    return 0;

remove_entry:
    entry_table_remove(&catalog->entries, entry);
release_version:
    publisher_release(&catalog->publisher, version);
    return -ENOMEM;
}

static struct catalog_answer
load_new(struct catalog *catalog, uint32_t worker_index, struct span key)
{
    const struct resolved found = walk_open(catalog->walk, key);
    if (found.status != 200) {
        if (found.status == 503) {
            refresh_log_failure(catalog, key, found.error_number);
        }
        return (struct catalog_answer){.status = found.status};
    }
    struct version *version = NULL;
    struct catalog_entry *entry = NULL;
    int rc = loader_build(&catalog->loader, key, &found, NULL, &version);
    if (rc != 0) {
        (void)close(found.fd); /* read only: nothing to lose */
    } else {
        rc = add_entry(catalog, version, &entry);
    }
    if (rc != 0) {
        refresh_log_failure(catalog, key, -rc);
        return (struct catalog_answer){.status = 503};
    }
    return give(entry, worker_index);
}

struct catalog_answer catalog_load(struct catalog *catalog,
                                   uint32_t worker_index,
                                   struct span key,
                                   struct generation **ret_generation)
{
    ASSERT(worker_index < WORKERS_MAX);
    *ret_generation = NULL;
    catalog->counters.loads++;
    struct catalog_entry *entry = entry_table_find(&catalog->entries, key);
    const struct catalog_answer answer =
        entry == NULL ? load_new(catalog, worker_index, key)
                      : load_again(catalog, worker_index, entry, ret_generation);
    catalog->counters.load_failures += answer.status == 503 ? 1 : 0;
    walk_end(catalog->walk);
    update_gauges(catalog);
    return answer;
}

struct generation *catalog_take_changes(struct catalog *catalog)
{
    const uint64_t noticed_ns = catalog_now_ns(catalog);
    refresh_poll(catalog, noticed_ns);
    walk_read(catalog->walk);
    if (catalog->entries.dirty_count == 0) {
        return NULL;
    }
    struct generation *generation = refresh_dirty(catalog, noticed_ns);
    update_gauges(catalog);
    return generation;
}

void catalog_on_applied(struct catalog *catalog, struct generation *generation)
{
    publisher_on_applied(&catalog->publisher, generation);
}

void catalog_on_evicted(struct catalog *catalog, uint32_t worker_index, struct version *version)
{
    ASSERT(worker_index < WORKERS_MAX);
    /*
     * Whatever is current now: the worker passes over the changes that are on their way to it. But
     * not if the path was gone in between: what it got since then came by an answer.
     */
    struct catalog_entry *entry = entry_table_find(&catalog->entries, version->key);
    if (entry == NULL || entry->serial != version->entry_serial) {
        return;
    }
    entry->holder_mask &= ~(UINT64_C(1) << worker_index);
    if (entry->holder_mask != 0) {
        return;
    }
    struct version *current = entry->version;
    refresh_remove(catalog, entry);
    catalog->counters.versions_evicted++;
    publisher_release(&catalog->publisher, current);
    walk_end(catalog->walk);
    update_gauges(catalog);
}

void catalog_on_released(struct catalog *catalog, struct version *version)
{
    publisher_release(&catalog->publisher, version);
}
