/*
 * The publisher: counts who still needs a version, gathers changes into generations, and says when
 * a generation is drained. A version lives as long as it is counted:
 *
 *     +1  while its path leads to it (from the start)      -1  it is retired, or evicted everywhere
 *     +1  each time it is given to a worker                -1  RELEASED
 *     +1  while a generation that names it is unapplied    -1  the last worker APPLIED it
 *
 * So a generation's retired versions outlive its way through the workers, and the count of one is
 * zero only when every worker has proven that it let go.
 *
 * Owns the generations. Control thread. It knows no paths and no files.
 */
#pragma once

#include <stdint.h>

#include "server/base/clock.h"
#include "server/catalog/catalog.h"
#include "server/catalog/loader.h"
#include "server/table/generation.h"

struct publisher {
    struct loader *loader; /* frees versions; borrowed */
    const struct clock *clock;
    struct catalog_counters *counters;
    struct generation *oldest; /* of the generations that are not drained; NULL: none */
    struct generation *newest;
    catalog_drained_fn on_drained;
    void *drained_context;
};

/** Frees every generation that is left; the versions are the loader's. */
void publisher_deinit(struct publisher *publisher);

/** One more worker is given the version. */
void publisher_acquire(struct version *version);

/** One reference less; the last one frees the version, which may drain a generation. */
void publisher_release(struct publisher *publisher, struct version *version);

/** An empty generation with room for `change_max` changes; NULL when there is no memory. */
[[gnu::warn_unused_result]] struct generation *publisher_begin(uint32_t change_max);

/**
 * Adds a change: where `retired` was current, `version` is now, and is given to all of
 * `holder_mask`.
 *
 * version   just built, or NULL: the path leads nowhere
 */
void publisher_change(struct publisher *publisher,
                      struct generation *generation,
                      struct version *retired,
                      struct version *version,
                      uint64_t holder_mask);

/**
 * Ends publisher_begin(): numbers the generation.
 *
 * returns   it, to be sent to all of its holder_mask; NULL when it is empty: it was freed
 */
struct generation *
publisher_publish(struct publisher *publisher, struct generation *generation, uint64_t noticed_ns);

/** One worker of the holder_mask applied it. The last one lets go of the versions it names. */
void publisher_on_applied(struct publisher *publisher, struct generation *generation);
