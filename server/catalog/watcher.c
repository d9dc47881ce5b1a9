#include "server/catalog/watcher.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <xxhash.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/log.h"
#include "server/catalog/hash_map.h"
#include "server/catalog/system.h"
#include "server/catalog/watch_events.h"

#define READ_BUFFER_BYTES (UINT32_C(64) << 10)

struct watch {
    struct hash_node node; /* in watches_by_wd, by wd; until the kernel ends the watch */
    int wd;
    enum watch_scope scope;
    bool is_ended; /* the kernel ended it: directory deleted, file system unmounted */
    bool is_idle;  /* nothing depends on it; in `idle` */
    LIST_HEAD(, watch_name) names;
    TAILQ_ENTRY(watch) link; /* in `busy` or `idle` */
};

struct watch_name {
    struct hash_node node; /* in names, by watch and name */
    struct watch *watch;
    uint64_t name_hash;
    LIST_ENTRY(watch_name) link; /* of the same watch */
    LIST_HEAD(, dependency) dependencies;
};

TAILQ_HEAD(watch_list, watch);

struct watcher {
    struct watcher_config config;
    int fd;
    struct hash_map watches_by_wd;
    struct hash_map names;
    struct watch_list busy;
    struct watch_list idle; /* longest idle first */
    uint32_t idle_count;
    _Alignas(struct inotify_event) uint8_t buffer[READ_BUFFER_BYTES];
};

static uint32_t inotify_mask_of(enum watch_scope scope)
{
    const uint32_t way = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |
                         IN_DELETE_SELF | IN_MOVE_SELF;
    const uint32_t file = way | IN_MODIFY | IN_CLOSE_WRITE;
    return (scope == WATCH_FILE ? file : way) | IN_ONLYDIR | IN_MASK_ADD;
}

int watcher_create(const struct watcher_config *config, struct watcher **ret_watcher)
{
    int rc = -ENOMEM;
    struct watcher *watcher = system_alloc(sizeof(*watcher));
    if (watcher == NULL) {
        return rc;
    }
    watcher->config = *config;
    watcher->fd = -1;
    TAILQ_INIT(&watcher->busy);
    TAILQ_INIT(&watcher->idle);
    if (hash_map_init(&watcher->watches_by_wd) != 0 || hash_map_init(&watcher->names) != 0) {
        goto destroy;
    }
    watcher->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watcher->fd < 0) {
        rc = -errno;
        goto destroy;
    }
    *ret_watcher = watcher;
    return 0;

destroy:
    watcher_destroy(watcher);
    return rc;
}

int watcher_fd(const struct watcher *watcher)
{
    return watcher->fd;
}

static struct watch *find_watch(const struct watcher *watcher, int wd)
{
    struct hash_node *node = hash_map_first(&watcher->watches_by_wd, (uint64_t)wd);
    return node == NULL ? NULL : container_of(node, struct watch, node);
}

static void set_idle(struct watcher *watcher, struct watch *watch)
{
    TAILQ_REMOVE(&watcher->busy, watch, link);
    TAILQ_INSERT_TAIL(&watcher->idle, watch, link);
    watch->is_idle = true;
    watcher->idle_count++;
}

static void set_busy(struct watcher *watcher, struct watch *watch)
{
    TAILQ_REMOVE(&watcher->idle, watch, link);
    TAILQ_INSERT_TAIL(&watcher->busy, watch, link);
    watch->is_idle = false;
    watcher->idle_count--;
}

int watcher_arm(struct watcher *watcher,
                int directory_fd,
                enum watch_scope scope,
                struct watch **ret_watch)
{
    const int wd = system_add_watch(watcher->fd, directory_fd, inotify_mask_of(scope));
    if (wd < 0) {
        return wd;
    }
    struct watch *watch = find_watch(watcher, wd);
    if (watch == NULL) {
        watch = system_alloc(sizeof(*watch));
        if (watch == NULL) {
            (void)inotify_rm_watch(watcher->fd, wd); /* just added; nothing to do if it is gone */
            return -ENOMEM;
        }
        watch->wd = wd;
        watch->scope = scope;
        watch->is_idle = true; /* until something depends on it */
        hash_map_insert(&watcher->watches_by_wd, &watch->node, (uint64_t)wd);
        TAILQ_INSERT_TAIL(&watcher->idle, watch, link);
        watcher->idle_count++;
        (*watcher->config.watch_gauge)++;
    }
    if (scope == WATCH_FILE) {
        watch->scope = scope;
    }
    *ret_watch = watch;
    return 0;
}

bool watcher_covers(const struct watch *watch, enum watch_scope scope)
{
    return scope == WATCH_WAY || watch->scope == WATCH_FILE;
}

uint64_t watcher_name_hash(struct span name)
{
    return XXH3_64bits(name.ptr, name.bytes);
}

static uint64_t mix(const struct watch *watch, uint64_t name_hash)
{
    return name_hash + (uint64_t)watch->wd * UINT64_C(0x9E3779B97F4A7C15);
}

static struct watch_name *
find_name(const struct watcher *watcher, const struct watch *watch, uint64_t name_hash)
{
    struct hash_node *node = hash_map_first(&watcher->names, mix(watch, name_hash));
    for (; node != NULL; node = hash_map_next(node)) {
        struct watch_name *name = container_of(node, struct watch_name, node);
        if (name->watch == watch && name->name_hash == name_hash) {
            return name;
        }
    }
    return NULL;
}

int watcher_add(struct watcher *watcher,
                struct watch *watch,
                uint64_t name_hash,
                struct dependency *dependency)
{
    struct watch_name *name = find_name(watcher, watch, name_hash);
    if (name == NULL) {
        name = system_alloc(sizeof(*name));
        if (name == NULL) {
            return -ENOMEM;
        }
        name->watch = watch;
        name->name_hash = name_hash;
        hash_map_insert(&watcher->names, &name->node, mix(watch, name_hash));
        LIST_INSERT_HEAD(&watch->names, name, link);
        if (watch->is_idle) {
            set_busy(watcher, watch);
        }
    }
    dependency->name = name;
    LIST_INSERT_HEAD(&name->dependencies, dependency, link);
    return 0;
}

void watcher_remove(struct watcher *watcher, struct dependency *dependency)
{
    struct watch_name *name = dependency->name;
    if (name == NULL) {
        return;
    }
    dependency->name = NULL;
    LIST_REMOVE(dependency, link);
    if (!LIST_EMPTY(&name->dependencies)) {
        return;
    }
    struct watch *watch = name->watch;
    hash_map_remove(&watcher->names, &name->node);
    LIST_REMOVE(name, link);
    alloc_free(name);
    if (LIST_EMPTY(&watch->names)) {
        set_idle(watcher, watch);
    }
}

/* The kernel's own last event of the watch, IN_IGNORED, will find it unknown. */
static void end_idle_watch(struct watcher *watcher, struct watch *watch)
{
    ASSERT(watch->is_idle);
    TAILQ_REMOVE(&watcher->idle, watch, link);
    watcher->idle_count--;
    if (!watch->is_ended) {
        hash_map_remove(&watcher->watches_by_wd, &watch->node);
        (*watcher->config.watch_gauge)--;
        (void)inotify_rm_watch(watcher->fd, watch->wd); /* EINVAL: the kernel was first */
    }
    alloc_free(watch);
}

void watcher_trim(struct watcher *watcher, uint32_t idle_max)
{
    while (watcher->idle_count > idle_max) {
        end_idle_watch(watcher, TAILQ_FIRST(&watcher->idle));
    }
}

static void
tell_name(const struct watcher *watcher, const struct watch_name *name, bool is_modified)
{
    const struct dependency *dependency = LIST_FIRST(&name->dependencies);
    for (; dependency != NULL; dependency = LIST_NEXT(dependency, link)) {
        watcher->config.on_change(watcher->config.context, dependency->owner, is_modified);
    }
}

/* What happens to the directory itself happens to all that was looked up in it. */
static void tell_watch(const struct watcher *watcher, const struct watch *watch)
{
    const struct watch_name *name = LIST_FIRST(&watch->names);
    for (; name != NULL; name = LIST_NEXT(name, link)) {
        tell_name(watcher, name, false);
    }
}

static void on_event(struct watcher *watcher, const struct watch_event *event)
{
    if (event->wd < 0 || (event->mask & IN_Q_OVERFLOW) != 0) {
        watcher->config.on_lost(watcher->config.context);
        return;
    }
    struct watch *watch = find_watch(watcher, event->wd);
    if (watch == NULL) {
        return; /* ended by us; this was still queued */
    }
    if ((event->mask & IN_IGNORED) != 0) {
        hash_map_remove(&watcher->watches_by_wd, &watch->node);
        (*watcher->config.watch_gauge)--;
        watch->is_ended = true;
    }
    if (watch->is_idle) {
        end_idle_watch(watcher, watch);
        return;
    }
    if (event->name.bytes == 0) {
        tell_watch(watcher, watch);
        return;
    }
    const struct watch_name *name = find_name(watcher, watch, watcher_name_hash(event->name));
    if (name != NULL) {
        /* IN_CLOSE_WRITE only says that it could have been written: a hint to look. */
        tell_name(watcher, name, (event->mask & IN_MODIFY) != 0);
    }
}

static void take_events(struct watcher *watcher, struct span events)
{
    for (;;) {
        struct watch_event event;
        const ssize_t taken = watch_events_next(events, &event);
        if (taken == 0) {
            return;
        }
        if (taken < 0) {
            /* The kernel gives whole events only; if ever it does not, something is missing. */
            watcher->config.on_lost(watcher->config.context);
            return;
        }
        on_event(watcher, &event);
        events = span_skip(events, (size_t)taken);
    }
}

int watcher_read(struct watcher *watcher)
{
    size_t read_bytes = 0;
    while (read_bytes < WATCHER_READ_MAX) {
        const ssize_t bytes =
            system_read_queue(watcher->fd, watcher->buffer, sizeof(watcher->buffer));
        if (bytes == -EAGAIN || bytes == 0) {
            return 0;
        }
        if (bytes < 0) {
            return (int)bytes;
        }
        take_events(watcher, span_of(watcher->buffer, (size_t)bytes));
        read_bytes += (size_t)bytes;
    }
    return 0;
}

static void forget_names(struct watcher *watcher, struct watch *watch)
{
    while (!LIST_EMPTY(&watch->names)) {
        struct watch_name *name = LIST_FIRST(&watch->names);
        struct dependency *dependency = LIST_FIRST(&name->dependencies);
        ASSERT(dependency != NULL);
        watcher_remove(watcher, dependency); /* the last one frees the name */
    }
}

void watcher_destroy(struct watcher *watcher)
{
    if (watcher == NULL) {
        return;
    }
    while (!TAILQ_EMPTY(&watcher->busy)) {
        forget_names(watcher, TAILQ_FIRST(&watcher->busy));
    }
    watcher_trim(watcher, 0);
    hash_map_deinit(&watcher->names);
    hash_map_deinit(&watcher->watches_by_wd);
    if (watcher->fd >= 0) {
        (void)close(watcher->fd); /* holds no data */
    }
    alloc_free(watcher);
}
