#include "server/catalog/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/log.h"
#include "server/catalog/system.h"

/*
 * How often a walk that found nothing is begun anew because something changed under it. A tree that
 * is flipped without a pause disturbs every third walk or so.
 */
#define WALKS_MAX 16

#define LOG_INTERVAL_NS (60 * NS_PER_SEC)

struct walk {
    struct walk_config config;
    struct resolver *resolver;
    struct watcher *watcher;
    struct dependency_set root;       /* the names on the way to the root; the owner is the walk */
    struct resolver_step *root_steps; /* what `root` was made of, as many */
    bool is_root_unwatched;
    bool is_in_batch;
    uint32_t queued_bytes;            /* what was unread when the batch began, or began anew */
    bool is_out_of_watches;           /* in this batch: the idle ones are to go */
    struct file_identity root_polled; /* of the root, at the last poll; device and inode only */
    struct log_limit limit_log;
    struct log_limit refusal_log;
};

static void on_watcher_change(void *context, void *owner, bool is_modified)
{
    struct walk *walk = context;
    if (owner == walk) {
        resolver_reset(walk->resolver);
        walk->config.on_change_all(walk->config.context);
        return;
    }
    walk->config.on_change(walk->config.context, owner, is_modified);
}

static void on_watcher_lost(void *context)
{
    struct walk *walk = context;
    walk->config.counters->watch_overflows++;
    log_warn("notifications were lost, looking at every cached file "
             "(raise fs.inotify.max_queued_events if this repeats)");
    resolver_reset(walk->resolver);
    walk->config.on_change_all(walk->config.context);
}

/* The path behind a descriptor, for a log line; "?" when it cannot be told. */
static const char *path_of(int fd, char buffer[static PATH_MAX])
{
    char link[sizeof("/proc/self/fd/") + 11];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd); /* it fits an int */
    const ssize_t bytes = readlink(link, buffer, PATH_MAX - 1);
    if (bytes < 0) {
        return "?";
    }
    buffer[bytes] = '\0';
    return buffer;
}

static const char *remedy_of(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case ENOMEM:
        return "raise fs.inotify.max_user_watches";
    case ENOENT:
        return "mount /proc";
    default:
        return "let the server's user read that directory";
    }
}

static void on_unwatched(struct walk *walk, int directory_fd, int error_number)
{
    struct log_limit *limit = &walk->refusal_log;
    if (error_number == ENOSPC || error_number == ENOMEM) {
        limit = &walk->limit_log;
        walk->config.counters->watch_limit_hits++;
        walk->is_out_of_watches = true;
    } else {
        walk->config.counters->watch_refusals++;
    }
    uint64_t held_back = 0;
    if (!log_limit_admit(limit, clock_monotonic_ns(walk->config.clock), LOG_INTERVAL_NS,
                         &held_back)) {
        return;
    }
    char path[PATH_MAX];
    log_warn("inotify_add_watch() failed for '%s': %s; changes there are found by looking every "
             "%d ms (%s) held_back=%" PRIu64,
             path_of(directory_fd, path), strerror(error_number), CATALOG_POLL_MS,
             remedy_of(error_number), held_back);
}

static void on_step(void *context,
                    int directory_fd,
                    void *place,
                    enum resolver_stage stage,
                    struct span name,
                    struct resolver_step *ret_step)
{
    struct walk *walk = context;
    struct watch *watch = place;
    const enum watch_scope scope = stage == RESOLVER_FILE ? WATCH_FILE : WATCH_WAY;
    if (watch == NULL || !watcher_covers(watch, scope)) {
        const int rc = watcher_arm(walk->watcher, directory_fd, scope, &watch);
        if (rc != 0) {
            watch = NULL;
            on_unwatched(walk, directory_fd, -rc);
        }
    }
    *ret_step = (struct resolver_step){.place = watch, .name_hash = watcher_name_hash(name)};
}

static const char *sentence_of_root(int error_number)
{
    switch (error_number) {
    case ENOENT:
        return "the root directory does not exist: create it, or correct --root";
    case ENOTDIR:
        return "the root is not a directory: --root names the directory that holds the files";
    case EACCES:
    case EPERM:
        return "the root directory cannot be read: let the server's user read and search it, and "
               "search every directory above it";
    case ELOOP:
        return "the root's path has too many symbolic links: look for a loop";
    case ENAMETOOLONG:
        return "the root's path is too long: give a shorter one, a symbolic link will do";
    default:
        return "the root directory cannot be opened";
    }
}

static const char *sentence_of_watcher(int error_number)
{
    return error_number == EMFILE
               ? "no inotify instance is left: raise fs.inotify.max_user_instances, or LimitNOFILE"
               : "inotify_init1() failed";
}

static const char *sentence_of_resolver(int error_number)
{
    return error_number == ENOSYS || error_number == EPERM
               ? "openat2(2) is not there: it needs Linux 5.6 and a seccomp profile that allows it"
               : "\"/\" cannot be opened";
}

static int open_tools(struct walk *walk, const char **ret_what)
{
    const struct resolver_config resolver = {
        .root_path = walk->config.root_path,
        .index_name = walk->config.index_name,
        .context = walk,
        .on_step = on_step,
    };
    const struct watcher_config watcher = {
        .context = walk,
        .on_change = on_watcher_change,
        .on_lost = on_watcher_lost,
        .watch_gauge = &walk->config.counters->watches,
    };
    int rc = resolver_create(&resolver, &walk->resolver);
    if (rc != 0) {
        *ret_what = sentence_of_resolver(-rc);
        return rc;
    }
    rc = watcher_create(&watcher, &walk->watcher);
    if (rc != 0) {
        *ret_what = sentence_of_watcher(-rc);
    }
    return rc;
}

static void remember_root(struct walk *walk, const struct stat *stat)
{
    walk->root_polled = (struct file_identity){.device = stat->st_dev, .inode = stat->st_ino};
}

/* Returns 0 or -errno. */
static int check_root(struct walk *walk)
{
    const int root_fd = resolver_open_root(walk->resolver);
    if (root_fd < 0) {
        return root_fd;
    }
    const int readable_fd = system_open(root_fd, ".", O_RDONLY | O_DIRECTORY);
    if (readable_fd < 0) {
        return readable_fd;
    }
    struct stat stat;
    const int rc = system_stat_fd(readable_fd, &stat);
    (void)close(readable_fd); /* it was only to see that it can be read */
    if (rc == 0) {
        remember_root(walk, &stat);
    }
    return rc;
}

int walk_create(const struct walk_config *config, struct walk **ret_walk, const char **ret_what)
{
    struct walk *walk = system_alloc(sizeof(*walk));
    if (walk == NULL) {
        *ret_what = "no memory";
        return -ENOMEM;
    }
    walk->config = *config;
    int rc = open_tools(walk, ret_what);
    if (rc != 0) {
        goto destroy;
    }
    rc = check_root(walk);
    if (rc != 0) {
        *ret_what = sentence_of_root(-rc);
        goto destroy;
    }
    walk_end(walk);
    *ret_walk = walk;
    return 0;

destroy:
    walk_destroy(walk);
    return rc;
}

int walk_fd(const struct walk *walk)
{
    return watcher_fd(walk->watcher);
}

/* Registers `steps`; all of them or none. */
static int add_dependencies(struct walk *walk,
                            void *owner,
                            const struct resolver_step *steps,
                            uint32_t count,
                            struct dependency_set *ret_set)
{
    struct dependency_set set = {.count = count};
    set.items = system_alloc((count + 1) * sizeof(struct dependency)); /* never 0 bytes */
    if (set.items == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        set.items[i].owner = owner;
        if (steps[i].place == NULL) {
            continue; /* it could not be watched */
        }
        const int rc =
            watcher_add(walk->watcher, steps[i].place, steps[i].name_hash, &set.items[i]);
        if (rc != 0) {
            walk_forget(walk, &set);
            return rc;
        }
    }
    *ret_set = set;
    return 0;
}

void walk_forget(struct walk *walk, struct dependency_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        watcher_remove(walk->watcher, &set->items[i]);
    }
    alloc_free(set->items);
    *set = (struct dependency_set){0};
}

static bool are_all_watched(const struct resolver_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].place == NULL) {
            return false;
        }
    }
    return true;
}

static bool is_same_way(const struct walk *walk, const struct resolver_step *steps, uint32_t count)
{
    if (walk->root_steps == NULL || walk->root.count != count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].place != walk->root_steps[i].place ||
            steps[i].name_hash != walk->root_steps[i].name_hash) {
            return false;
        }
    }
    return true;
}

/*
 * The names on the way to the root, where they are others than before: what depended on the old
 * ones was found through them, and must be looked at again, because from here on they are not
 * heard.
 */
static int depend_on_root(struct walk *walk)
{
    uint32_t count = 0;
    uint32_t step_count = 0;
    const struct resolver_step *steps = resolver_steps(walk->resolver, &count, &step_count);
    if (count == 0 || is_same_way(walk, steps, count)) {
        return 0; /* 0: the root was not reached, or is "/" */
    }
    struct resolver_step *copy = system_alloc((count + 1) * sizeof(*copy)); /* never 0 bytes */
    if (copy == NULL) {
        return -ENOMEM;
    }
    struct dependency_set set;
    const int rc = add_dependencies(walk, walk, steps, count, &set);
    if (rc != 0) {
        alloc_free(copy);
        return rc;
    }
    memcpy(copy, steps, count * sizeof(*copy));
    walk_forget(walk, &walk->root);
    alloc_free(walk->root_steps);
    walk->root = set;
    walk->root_steps = copy;
    walk->is_root_unwatched = !are_all_watched(steps, count);
    walk->config.on_change_all(walk->config.context);
    return 0;
}

/* From here on, what is found is as it was at the earliest when the queue was this long. */
static void look_at_queue(struct walk *walk)
{
    walk->queued_bytes = system_queued_bytes(walk_fd(walk));
}

static void begin_batch(struct walk *walk)
{
    if (walk->is_in_batch) {
        return;
    }
    walk->is_in_batch = true;
    look_at_queue(walk);
    if (walk->queued_bytes > 0) {
        resolver_reset(walk->resolver); /* it may be about the way to the root */
    }
}

static struct resolved open_settled(struct walk *walk, struct span key)
{
    for (unsigned walks = 0; walks < WALKS_MAX; walks++) {
        const struct resolved found = resolver_open(walk->resolver, key);
        if (found.status == 200 || system_queued_bytes(walk_fd(walk)) == walk->queued_bytes) {
            return found;
        }
        /* What was kept may be what changed. */
        look_at_queue(walk);
        resolver_reset(walk->resolver);
    }
    return (struct resolved){.status = 503, .error_number = EAGAIN, .fd = -1};
}

struct resolved walk_open(struct walk *walk, struct span key)
{
    begin_batch(walk);
    const struct resolved found = open_settled(walk, key);
    const int rc = depend_on_root(walk);
    if (rc == 0) {
        return found;
    }
    if (found.fd >= 0) {
        (void)close(found.fd); /* read only: nothing to lose */
    }
    resolver_reset(walk->resolver); /* nobody would hear that the root moved */
    return (struct resolved){.status = 503, .error_number = -rc, .fd = -1};
}

int walk_depend(struct walk *walk, void *owner, struct dependency_set *set, bool *ret_is_watched)
{
    uint32_t root_count = 0;
    uint32_t count = 0;
    const struct resolver_step *steps = resolver_steps(walk->resolver, &root_count, &count);
    steps += root_count;
    count -= root_count;
    struct dependency_set fresh;
    const int rc = add_dependencies(walk, owner, steps, count, &fresh);
    if (rc != 0) {
        return rc;
    }
    walk_forget(walk, set);
    *set = fresh;
    *ret_is_watched = are_all_watched(steps, count);
    return 0;
}

void walk_end(struct walk *walk)
{
    if (walk->is_root_unwatched || walk->root_steps == NULL) {
        resolver_reset(walk->resolver);
    } else {
        resolver_keep_root(walk->resolver);
    }
    walk->is_in_batch = false;
    watcher_trim(walk->watcher, walk->is_out_of_watches ? 0 : WALK_IDLE_WATCHES_MAX);
    walk->is_out_of_watches = false;
}

void walk_read(struct walk *walk)
{
    const int rc = watcher_read(walk->watcher);
    if (rc != 0) {
        log_error("read() of inotify failed: %s", strerror(-rc));
        on_watcher_lost(walk);
    }
}

bool walk_is_root_unwatched(const struct walk *walk)
{
    return walk->is_root_unwatched;
}

void walk_poll_root(struct walk *walk)
{
    struct stat stat = {0}; /* a root that is not there is one that changed */
    resolver_reset(walk->resolver);
    const int root_fd = resolver_open_root(walk->resolver);
    int rc = root_fd < 0 ? root_fd : system_stat_fd(root_fd, &stat);
    if (rc == 0) {
        rc = depend_on_root(walk); /* where it can be watched again, it is */
    }
    const bool is_same =
        stat.st_dev == walk->root_polled.device && stat.st_ino == walk->root_polled.inode;
    if (rc != 0 || !is_same) {
        remember_root(walk, &stat);
        walk->config.on_change_all(walk->config.context);
    }
    walk_end(walk);
}

void walk_destroy(struct walk *walk)
{
    if (walk == NULL) {
        return;
    }
    if (walk->watcher != NULL) {
        walk_forget(walk, &walk->root);
    }
    alloc_free(walk->root_steps);
    watcher_destroy(walk->watcher);
    resolver_destroy(walk->resolver);
    alloc_free(walk);
}
