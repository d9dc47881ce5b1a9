/*
 * The watcher: one inotify instance. It knows which directory each watch descriptor stands for, and
 * who looked which name up in it; an event about a name goes to those who depend on the name, every
 * other event is dropped.
 *
 *     arm a directory -> look names up in it -> add what depended on them -> ... -> remove
 *
 * Armed first and looked up afterwards, no change falls between the two. A directory is its watch
 * descriptor: the kernel gives the same one for the same directory, so none is kept twice. Watches
 * that nothing depends on any more are kept for a while, because the next look-up often wants them
 * again; the first event of such a one ends it.
 *
 * Control thread. It opens nothing and knows no versions: owners are pointers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "server/base/span.h"

/* What is read in one go, at most: then others have their turn. The queue stays readable. */
#define WATCHER_READ_MAX (UINT32_C(1) << 20)

/* What a watch on a directory tells. A directory that is armed again only ever hears more. */
enum watch_scope {
    WATCH_WAY,  /* on the way: names that come, go and move, and permissions */
    WATCH_FILE, /* where a file is looked up: content too */
};

struct watcher;
struct watch;
struct watch_name;

/* One name that an owner depends on. The owner keeps it at one place while it is registered. */
struct dependency {
    struct watch_name *name; /* NULL: not registered */
    void *owner;
    LIST_ENTRY(dependency) link; /* of the same name */
};

struct watcher_config {
    void *context; /* passed to the callbacks, which may not call the watcher */
    /* Something happened to a name; `is_modified`: the file's content was written, in place. */
    void (*on_change)(void *context, void *owner, bool is_modified);
    /* Events were lost: anything may have happened. */
    void (*on_lost)(void *context);
    uint64_t *watch_gauge; /* kept at the number of watches held */
};

/** returns   0, or -errno of inotify_init1(2), or -ENOMEM */
[[gnu::warn_unused_result]] int watcher_create(const struct watcher_config *config,
                                               struct watcher **ret_watcher);

/** Dependencies still registered are forgotten. NULL is fine. */
void watcher_destroy(struct watcher *watcher);

/** The inotify descriptor, borrowed. */
int watcher_fd(const struct watcher *watcher);

/**
 * Watches a directory, before anything is looked up in it.
 *
 * ret_watch     valid until the next watcher_trim() or watcher_read(), and as long as something
 *               depends on a name in it
 * returns       0, or -errno: -ENOSPC at the limit of watches, -EACCES where the directory may not
 *               be read
 */
[[gnu::warn_unused_result]] int watcher_arm(struct watcher *watcher,
                                            int directory_fd,
                                            enum watch_scope scope,
                                            struct watch **ret_watch);

/** Whether the watch tells all that `scope` asks for: then arming it again changes nothing. */
bool watcher_covers(const struct watch *watch, enum watch_scope scope);

/** The 64-bit hash that stands for a name. Two names of one hash only cause a needless look. */
uint64_t watcher_name_hash(struct span name);

/** Registers `dependency` (its owner is set by the caller). returns   0 or -ENOMEM */
[[gnu::warn_unused_result]] int watcher_add(struct watcher *watcher,
                                            struct watch *watch,
                                            uint64_t name_hash,
                                            struct dependency *dependency);

/** Takes back watcher_add(); one that is not registered is fine. */
void watcher_remove(struct watcher *watcher, struct dependency *dependency);

/** Ends the longest idle watches until at most `idle_max` remain. */
void watcher_trim(struct watcher *watcher, uint32_t idle_max);

/**
 * Reads the queue until it is empty, or WATCHER_READ_MAX bytes were read, and tells the owners.
 *
 * returns   0, or -errno of read(2): events may be lost
 */
[[gnu::warn_unused_result]] int watcher_read(struct watcher *watcher);
