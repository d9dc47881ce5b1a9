/*
 * The catalog's state, for catalog.c (its life, and what workers say) and refresh.c (looking at
 * cached paths again). Nobody else looks inside.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/catalog/catalog.h"
#include "server/catalog/entry_table.h"
#include "server/catalog/loader.h"
#include "server/catalog/publisher.h"
#include "server/catalog/walk.h"

struct catalog {
    struct catalog_config config;
    struct catalog_counters counters;
    struct walk *walk;
    struct loader loader;
    struct publisher publisher;
    struct entry_table entries;
    uint64_t next_poll_ns; /* monotonic */
    struct log_limit failure_log;
    char root_path[CATALOG_ROOT_PATH_MAX + 1]; /* absolute, symlinks unresolved */
    char index_name[NAME_MAX + 1];
};

static inline uint64_t catalog_now_ns(const struct catalog *catalog)
{
    return clock_monotonic_ns(catalog->config.clock);
}
