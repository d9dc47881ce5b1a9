/*
 * Refreshing: looking at cached paths again, because a notification, a worker or a poll asks for
 * it, and putting what changed into a generation.
 *
 * Control thread; a part of the catalog.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/catalog/catalog_private.h"

/** Says that the system failed to load a path; rate-limited. */
void refresh_log_failure(struct catalog *catalog, struct span key, int error_number);

/** The entry was looked at: it is clean, and polled if not all of its way is watched. */
void refresh_settle(struct catalog *catalog, struct catalog_entry *entry, bool is_watched);

/**
 * Looks at a cached path again, and puts into `generation` what changed.
 *
 * generation    has room for one more change
 * returns       what the path answers with now; unless it is 200 or 503 the entry is gone
 */
uint32_t
refresh_entry(struct catalog *catalog, struct catalog_entry *entry, struct generation *generation);

/** The path is not cached any more; its version is still the caller's to retire or release. */
void refresh_remove(struct catalog *catalog, struct catalog_entry *entry);

/** If a poll is due, what can only be found by looking becomes dirty. */
void refresh_poll(struct catalog *catalog, uint64_t now_ns);

/**
 * Looks at everything that is dirty.
 *
 * returns   what changed, published; NULL: nothing did, or there was no memory and all stays dirty
 */
struct generation *refresh_dirty(struct catalog *catalog, uint64_t noticed_ns);
