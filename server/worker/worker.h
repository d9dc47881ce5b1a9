/*
 * A worker: one thread, one engine, one table, its own connections, buffers and counters. It shares
 * nothing with other workers, and speaks with the control thread through two mailboxes.
 *
 * worker_create/start/send/wake/receive/join/destroy are called by the control thread. The kinds of
 * messages are in server/table/generation.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"
#include "server/base/clock.h"
#include "server/base/counters.h"
#include "server/base/mailbox.h"
#include "server/worker/freshness.h"

struct worker;
struct engine;
struct engine_config;
struct generation;

/** Makes the worker's engine, in the worker's thread. `ret_what`: a sentence, on failure. */
typedef int (*worker_engine_fn)(const struct engine_config *config,
                                struct engine **ret_engine,
                                const char **ret_what);

struct worker_config {
    uint32_t index; /* 0..WORKERS_MAX-1 */
    const struct settings *settings;
    const int *listen_fds; /* borrowed; all workers accept on the same sockets */
    uint32_t listen_count;
    uint32_t connection_max; /* this worker's share of max_connections */
    struct freshness_gate *freshness;
    const struct clock *clock;
    worker_engine_fn create_engine;
    int control_event_fd; /* eventfd: written after messages to control were sent */
};

/** returns   0 or -errno; allocates all that the worker will ever use */
[[gnu::warn_unused_result]] int worker_create(const struct worker_config *config,
                                              struct worker **ret_worker);

/**
 * Starts the thread and waits until its engine runs and it accepts.
 *
 * returns   0, or -errno with `ret_what` saying what failed and the remedy
 */
[[gnu::warn_unused_result]] int worker_start(struct worker *worker, const char **ret_what);

/** Puts a message into the worker's mailbox; call worker_wake() after the last one of a batch. */
[[gnu::warn_unused_result]] bool worker_send(struct worker *worker, struct message message);

/**
 * Whether a generation can be sent now: it fits the worker's mailbox beside the answers to its
 * misses, and what the worker may have to say to it fits the way back.
 */
bool worker_has_room(const struct worker *worker, const struct generation *generation);
void worker_wake(struct worker *worker);

/** Takes the worker's next message to control. */
bool worker_receive(struct worker *worker, struct message *ret_message);

/** Any thread. */
const struct worker_counters *worker_counters(const struct worker *worker);

/**
 * Takes whole access-log lines out of the worker's log ring.
 *
 * returns   bytes copied into `buffer`; 0 when there are none
 */
size_t worker_take_log(struct worker *worker, char *buffer, size_t buffer_bytes);

/** Questions that a worker with this many connections may have under way (MESSAGE_MISS). */
uint32_t worker_miss_max(uint32_t connection_max);

/** Waits for the thread to end, after MESSAGE_STOP. */
void worker_join(struct worker *worker);
void worker_destroy(struct worker *worker);
