/*
 * A walk: the resolver and the watcher together. Every directory on the way is watched before a
 * name is looked up in it, and what a path depends on are the names that its last walk looked up.
 *
 * The names on the way to the root are the same for every path. They are kept once, here; when
 * they change, everything has. As long as all of them are watched, none was told of and nothing is
 * queued, the root is where it was, and a walk begins there: a rename queues its notification
 * before it returns.
 *
 *     walk_open(key) -> walk_depend() ... the next key of the batch ... -> walk_end()
 *
 * Control thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/clock.h"
#include "server/base/span.h"
#include "server/catalog/catalog.h"
#include "server/catalog/resolver.h"
#include "server/catalog/watcher.h"

/* Watches kept that nothing depends on. */
#define WALK_IDLE_WATCHES_MAX 256

struct walk;

/* The names that one path depends on. Zeroed: none. */
struct dependency_set {
    struct dependency *items;
    uint32_t count;
};

struct walk_config {
    const char *root_path; /* absolute; borrowed, as is index_name */
    const char *index_name;
    const struct clock *clock;
    struct catalog_counters *counters; /* watches, watch_limit_hits, watch_refusals */
    void *context;                     /* passed to the callbacks */
    /* Something happened to a name that `owner` depends on. */
    void (*on_change)(void *context, void *owner, bool is_modified);
    /* Something happened that any path may depend on. */
    void (*on_change_all)(void *context);
};

/**
 * Opens the watcher and walks to the root, which must be a readable directory.
 *
 * returns   0, or -errno with a sentence in `ret_what` (valid for ever)
 */
[[gnu::warn_unused_result]] int
walk_create(const struct walk_config *config, struct walk **ret_walk, const char **ret_what);

/** Dependencies that are left are forgotten, but their arrays are not freed. NULL is fine. */
void walk_destroy(struct walk *walk);

/** The inotify descriptor, borrowed. */
int walk_fd(const struct walk *walk);

/**
 * Finds and opens what `key` leads to, as resolver_open(). An answer that there is nothing is given
 * only if nothing on the way changed while it was sought: a release directory that is removed right
 * after the flip to the next one is no reason for a 404. Where that never ends it is 503.
 */
struct resolved walk_open(struct walk *walk, struct span key);

/**
 * Makes `owner` depend on the names of the last walk_open(), in place of those in `set`.
 *
 * ret_is_watched  false: not every name could be watched
 * returns         0, or -ENOMEM: `set` is as before
 */
[[gnu::warn_unused_result]] int
walk_depend(struct walk *walk, void *owner, struct dependency_set *set, bool *ret_is_watched);

/** Empties and frees a set. */
void walk_forget(struct walk *walk, struct dependency_set *set);

/** Ends a batch. The next one sees the tree as it is then. */
void walk_end(struct walk *walk);

/** Reads notifications and calls the callbacks. */
void walk_read(struct walk *walk);

/** Whether walk_poll_root() is needed: a directory on the way to the root cannot be watched. */
bool walk_is_root_unwatched(const struct walk *walk);

/** Looks whether the root's path leads elsewhere now; if so, everything changed. Ends the batch. */
void walk_poll_root(struct walk *walk);
