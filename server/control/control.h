/*
 * The control thread: owns the catalog and the workers, passes messages and changes between them
 * (pump.h), answers the admin listener, writes the access log, obeys signals.
 *
 *     STARTING -- all workers accept --> SERVING -- TERM or INT --> DRAINING --+--> STOPPED
 *                                                                              |
 *                              all workers drained, the time is up, or a second signal
 *
 * Called by main, on its thread. It knows no engine but by the function that makes one.
 */
#pragma once

#include <stdint.h>

#include "config/settings.h"
#include "server/base/clock.h"
#include "server/control/facts.h"
#include "server/worker/worker.h"

/* What main exits with. */
#define CONTROL_EXIT_CLEAN  0 /* also when the drain timeout cut answers off */
#define CONTROL_EXIT_FAILED 1
#define CONTROL_EXIT_CONFIG 2 /* the settings name something that cannot be used */

struct control_config {
    const struct settings *settings;
    const struct clock *clock;
    struct control_facts facts; /* listen_addresses: one for each of listen_fds */
    const int *listen_fds;      /* facts.listen_count of them, listening; borrowed */
    uint32_t worker_count;      /* 1..WORKERS_MAX */
    worker_engine_fn create_engine;
    void *context;
    void (*on_ready)(void *context);    /* every worker accepts; NULL: nobody is told */
    void (*on_draining)(void *context); /* workers were told to accept no more; NULL as well */
};

/**
 * Runs the server: returns when it has stopped. What goes wrong is logged here.
 *
 * returns   CONTROL_EXIT_...
 */
[[gnu::warn_unused_result]] int control_run(const struct control_config *config);
