/*
 * The catalog: the one part that touches the file system. It resolves path keys beneath the root,
 * opens files, makes versions, watches every directory on the way (inotify), and turns
 * notifications into generations. It owns all versions and generations.
 *
 * Control thread only. It knows nothing of connections, rings or messages: workers are numbers
 * 0..WORKERS_MAX-1. Its calls may block on the disk; no worker waits for them but by parking.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/clock.h"
#include "server/base/span.h"
#include "server/table/generation.h"

/* How soon catalog_take_changes() wants to be called again while catalog_wants_poll(). */
#define CATALOG_POLL_MS 100

/* Longest root path, made absolute: with the longest key and index name it is still a path. */
#define CATALOG_ROOT_PATH_MAX (PATH_MAX - 1 - (1 + PATH_KEY_MAX) - NAME_MAX)

struct catalog;

struct catalog_config {
    const char *root_path;       /* as configured; may be relative, may be or cross symlinks */
    const char *index_name;      /* "index.html"; 1..NAME_MAX bytes; both are copied */
    uint64_t memory_body_bytes;  /* bodies up to this size are read into memory; 0: none */
    uint64_t memory_total_bytes; /* all bodies in memory together */
    const struct clock *clock;
};

struct catalog_counters {
    uint64_t generation; /* id of the newest published; 0 at first */
    uint32_t generations_draining;
    uint64_t generations_drained;
    uint64_t versions_live;        /* current, held by at least one worker */
    uint64_t versions_retired;     /* replaced or removed, ever */
    uint64_t versions_released;    /* of the retired: proven released */
    uint64_t versions_evicted;     /* given up by all workers, to make room, ever */
    uint64_t open_files;           /* descriptors the catalog holds for versions */
    uint64_t memory_bytes;         /* bodies in memory */
    uint64_t watches;              /* inotify watches held */
    uint64_t watch_overflows;      /* IN_Q_OVERFLOW seen */
    uint64_t watch_limit_hits;     /* inotify_add_watch refused: ENOSPC or ENOMEM */
    uint64_t watch_refusals;       /* refused for another reason, as EACCES */
    uint64_t unwatched;            /* paths cached whose changes are found by polling */
    uint64_t loads;                /* paths resolved for workers */
    uint64_t load_failures;        /* of these, by the system: EMFILE, ENFILE, ENOMEM, EIO */
    uint64_t refreshes;            /* cached paths looked at again, for whatever reason */
    uint64_t refresh_failures;     /* of these, by the system: the old version went on serving */
    uint64_t drain_seconds_sum_ns; /* of the drained generations */
};

/* What the loader found for a path key. */
struct catalog_answer {
    uint32_t status;         /* 200; 301 (add a slash); 403; 404; 503 (a limit; try again) */
    struct version *version; /* status 200, and the worker does not hold it yet: now given to it */
};

/*
 * What a worker owes, so that both sides agree on what its map leads to:
 *   - RELEASED once for every version it was given, by an answer or by a change that names it;
 *   - EVICTED when its map gives up, or cannot take in, a version it was given;
 *   - nothing but RELEASED when it passes over a change because its map no longer holds
 *     `change.retired`: EVICTED for that, or an earlier version of the path, is on its way already,
 *     and a second one would hit what the worker asked for since.
 */

/**
 * Opens the root and the watcher. The root must be a readable directory.
 *
 * returns   0, or -errno; `ret_what` then says in a sentence what failed and the remedy (static or
 *           owned by nobody, valid for ever)
 */
[[gnu::warn_unused_result]] int catalog_create(const struct catalog_config *config,
                                               struct catalog **ret_catalog,
                                               const char **ret_what);

/** Closes and frees everything; workers must be gone. NULL is fine. */
void catalog_destroy(struct catalog *catalog);

/** The inotify descriptor: readable when catalog_take_changes() has work. Borrowed. */
int catalog_watch_fd(const struct catalog *catalog);

/**
 * Whether catalog_take_changes() has work that the descriptor does not show: paths that cannot be
 * watched, or whose last look failed. Call it then every CATALOG_POLL_MS; more often does no harm.
 */
bool catalog_wants_poll(const struct catalog *catalog);

/**
 * Resolves `key` afresh for worker `worker_index`, whatever is cached: every call walks the path.
 * (From the root's directory, if its way from "/" is watched and nothing is queued: then the root
 * is where it was.) What was true before the call is seen; so is, perhaps, what changes during it.
 *
 * When the path is cached and the file has changed, the change is put into `ret_generation` (one
 * change, for all its holders, the asker among them if it holds the path), to be sent *before* the
 * answer. Otherwise `*ret_generation` is NULL. When the worker already holds what the path leads
 * to, or is about to through the generation, answer.version is NULL and its map has it; if it has
 * evicted it meanwhile, it asks again.
 *
 * Status 503 with a cached path: what is there could not be seen; the old version stays where it
 * is, and the next poll looks again (law L8).
 */
struct catalog_answer catalog_load(struct catalog *catalog,
                                   uint32_t worker_index,
                                   struct span key,
                                   struct generation **ret_generation);

/**
 * Reads the pending notifications, re-resolves what is cached and affected, and makes one
 * generation of what really changed. After a very long queue some of it is left: the descriptor
 * is then still readable.
 *
 * returns   the generation to send to the workers of its holder_mask, or NULL: nothing changed
 */
struct generation *catalog_take_changes(struct catalog *catalog);

/** A worker applied a generation it was sent. */
void catalog_on_applied(struct catalog *catalog, struct generation *generation);

/** A worker's map no longer holds `version`, which it has not yet released. */
void catalog_on_evicted(struct catalog *catalog, uint32_t worker_index, struct version *version);

/** A worker proved the release of one given version; the last one closes the descriptor. */
void catalog_on_released(struct catalog *catalog, struct version *version);

/** Called for each generation at the moment it is drained. It may not call the catalog. */
typedef void (*catalog_drained_fn)(void *context, uint64_t generation_id, uint64_t drain_ns);
void catalog_set_drained(struct catalog *catalog, catalog_drained_fn on_drained, void *context);

const struct catalog_counters *catalog_counters(const struct catalog *catalog);
