/*
 * The admin listener: a small HTTP server on the control thread's event loop. One request a
 * connection, answered from a table of pages, then closed. Nothing here waits for a peer: whatever
 * is not done at the deadline is dropped.
 *
 *     RECEIVING -- head complete or refused --> SENDING -- all sent --> LINGERING -- peer closed
 *         |                                        |                       |              |
 *         +------------- deadline, or the connection breaks ---------------+              v
 *                                                  +---------------------------------> closed
 *
 * LINGERING reads on and forgets, so that bytes that came too late do not reset the connection
 * before the peer has read its answer.
 *
 * Owns its connections; borrows listener and loop. It knows nothing of what its pages say.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "server/base/clock.h"

struct ev_loop;
struct admin;

/* A monitoring system, a balancer and a few people do not need more. */
#define ADMIN_CONNECTIONS_MAX 32

/* A request's head: curl's has 80 bytes, a browser's 600. */
#define ADMIN_HEAD_MAX 4096

/* A connection's whole life. */
#define ADMIN_DEADLINE_MS 5000

struct admin_page {
    const char *path;         /* "/status" */
    const char *content_type; /* "application/json" */
    /* Writes the body. Returns the status: 200, or 503 with a body that says why. */
    uint32_t (*render)(void *context, FILE *out);
};

struct admin_config {
    struct ev_loop *loop;
    int listen_fd;                  /* listening and non-blocking; borrowed */
    const struct admin_page *pages; /* borrowed */
    uint32_t page_count;
    void *context; /* for the pages */
    const struct clock *clock;
    uint64_t deadline_ms; /* ADMIN_DEADLINE_MS but in tests */
};

struct admin_counters {
    uint64_t requests;         /* heads read, whatever the answer */
    uint64_t connections_full; /* refused: ADMIN_CONNECTIONS_MAX were open */
    uint64_t accept_failures; /* no descriptor or no memory to accept; tried again a little later */
    uint64_t timeouts;        /* dropped at the deadline */
};

/** returns   0 or -ENOMEM; from then on the loop serves */
[[gnu::warn_unused_result]] int admin_create(const struct admin_config *config,
                                             struct admin **ret_admin);

/** Drops every connection; NULL is fine. */
void admin_destroy(struct admin *admin);

const struct admin_counters *admin_counters(const struct admin *admin);

/** Connections that are open now. */
uint32_t admin_connection_count(const struct admin *admin);
