/*
 * A report: everything that /status and /metrics show, gathered at one moment. The numbers of all
 * workers are summed; what does not change is pointed to.
 *
 * Plain data, made by the control thread for one answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "server/base/counters.h"
#include "server/catalog/catalog.h"
#include "server/control/facts.h"
#include "server/control/histogram.h"
#include "server/control/pump.h"

/* The control thread's own counters. */
struct control_counters {
    uint64_t admin_requests;
    uint64_t admin_connections_full; /* refused: ADMIN_CONNECTIONS_MAX were open */
    uint64_t admin_accept_failures;  /* accept(2) failed for want of descriptors or memory */
    uint64_t admin_timeouts;         /* closed at the deadline */
    uint64_t log_lines_unwritten;    /* access-log lines that the file would not take */
};

/* The fields of struct worker_counters, summed. */
struct worker_totals {
#define COUNTER(field, metric, label, help) uint64_t field;
#define GAUGE(field, metric, label, help)   uint64_t field;
#include "server/base/counters.def" /* nogncheck: data for whoever lists all counters */
#undef COUNTER
#undef GAUGE
};

struct report {
    const struct control_facts *facts;
    const struct settings *settings;
    const struct catalog_counters *catalog;
    const struct pump_counters *pump;
    const struct histogram *freshness; /* notification read -> applied everywhere */
    const struct histogram *drain;     /* generation published -> drained */
    struct worker_totals totals;
    struct control_counters control;
    uint32_t worker_count;
    bool is_draining;
    uint64_t uptime_ns;
    int64_t start_wall_seconds; /* since 1970, UTC */
};

/** Adds one worker's counters, as they are now. */
void worker_totals_add(struct worker_totals *totals, const struct worker_counters *counters);

/** How files are read, as it is written on the command line: "fixed" or "plain". */
const char *report_files_word(const struct settings *settings);
