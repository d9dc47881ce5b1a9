/*
 * The pump: what the control thread does with the workers' messages and the watcher's changes, in
 * the one order that keeps answers fresh (law L6):
 *
 *     change:  freshness_begin -> catalog_take_changes -> generation to its holders -> finish
 *     miss:    catalog_load -> generation to its holders, if one came out -> LOADED to the asker
 *
 * A generation goes to all of its holders or to none yet: while a holder's mailbox has no room, it
 * waits here, and it is the only one that does. Until it is sent no further change is taken, no
 * further path is loaded, and the freshness round stays open, so that workers stay careful:
 * bounded by construction. What workers give back is always taken, so nobody waits in a circle.
 *
 * Owned by the control thread. It knows no event loop: its owner calls it when there is something.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/clock.h"
#include "server/catalog/catalog.h"
#include "server/control/histogram.h"
#include "server/worker/freshness.h"
#include "server/worker/worker.h"

/* Messages taken, and misses answered, in one turn: changes must not wait behind a crowd of misses,
 * each of which may open a file. */
#define PUMP_BATCH_MAX 256

struct pump;

struct pump_config {
    struct catalog *catalog;
    struct worker *const *workers; /* borrowed */
    uint32_t worker_count;         /* 1..WORKERS_MAX */
    uint32_t miss_max;             /* misses that all workers together can have under way, > 0 */
    struct freshness_gate *gate;
    const struct clock *clock;
    struct histogram *freshness; /* notification read -> applied by the last worker */
};

struct pump_counters {
    uint64_t generations_sent;
    uint64_t generations_delayed; /* of these: waited for room in a worker's mailbox */
    uint64_t misses_answered;
    uint64_t misses_delayed; /* of these: waited behind a generation that had to wait */
};

/** returns   0 or -ENOMEM */
[[gnu::warn_unused_result]] int pump_create(const struct pump_config *config,
                                            struct pump **ret_pump);
void pump_destroy(struct pump *pump);

/**
 * One turn: sends what waits, then takes a bounded batch of messages and answers them; wakes each
 * concerned worker once.
 *
 * returns   true when there is more to do at once: call again after other events had their turn
 */
bool pump_take_messages(struct pump *pump);

/** One round of the watcher: what has changed goes to the workers. Nothing while one waits. */
void pump_take_changes(struct pump *pump);

/** A generation waits for room: pump_take_changes() would do nothing. */
bool pump_is_waiting(const struct pump *pump);

/** Sends MESSAGE_DRAIN or MESSAGE_STOP to every worker, each kind at most once, and wakes them. */
void pump_send_to_all(struct pump *pump, enum message_kind kind);

/** A worker's engine failed: it will answer nothing any more. */
bool pump_has_failed_worker(const struct pump *pump);

/** Workers that have answered MESSAGE_DRAINED. */
uint32_t pump_drained_count(const struct pump *pump);

/** After the workers' threads have ended: takes what they left, answering nothing. */
void pump_take_last(struct pump *pump);

const struct pump_counters *pump_counters(const struct pump *pump);
