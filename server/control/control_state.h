/*
 * What the control thread consists of; private to server/control. control.c runs it,
 * control_state.c makes it and takes it apart.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/catalog/catalog.h"
#include "server/control/access_log.h"
#include "server/control/admin.h"
#include "server/control/admin_pages.h"
#include "server/control/admin_socket.h"
#include "server/control/control.h"
#include "server/control/histogram.h"
#include "server/control/pump.h"
#include "server/control/signals.h"

enum control_state {
    CONTROL_STARTING,
    CONTROL_SERVING,
    CONTROL_DRAINING,
    CONTROL_STOPPED,
};

struct control {
    const struct control_config *config;
    enum control_state state;
    struct ev_loop *loop;
    int event_fd; /* written by workers after messages; -1 */
    struct catalog *catalog;
    struct freshness_gate gate;
    struct worker *workers[WORKERS_MAX];
    struct pump *pump;
    struct access_log *access_log; /* NULL: off */
    struct admin_socket admin_socket;
    struct admin *admin; /* NULL: no listener */
    struct admin_source admin_source;
    struct signals signals;
    ev_io message_io;
    ev_io change_io;
    ev_timer retry_timer;
    ev_timer access_log_timer;
    ev_timer drain_timer;
    struct histogram freshness;
    struct histogram drain;
    uint64_t start_ns;
    int64_t start_wall_seconds;
};

/**
 * Opens and makes everything but threads and watchers: all that can fail for reasons of the
 * settings. What goes wrong is logged.
 *
 * ret_control   set in any case, unless there is no memory for it; for control_destroy()
 * returns       CONTROL_EXIT_CLEAN, or what to exit with
 */
[[gnu::warn_unused_result]] int control_create(const struct control_config *config,
                                               struct control **ret_control);

/** Closes and frees it; threads have ended, or never started. NULL is fine. */
void control_destroy(struct control *control);

/** Fills a report; `context` is a struct control. */
void control_gather(void *context, struct report *ret_report);
