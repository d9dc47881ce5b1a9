/*
 * A client: a thread with an event loop and its share of the connections. Created and joined by the
 * main thread; in between nothing is shared but the progress counters and the wish to stop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loadgen/rotation_log.h"
#include "loadgen/tally.h"
#include "loadgen/target.h"

struct client;

struct client_settings {
    const struct target_list *targets; /* borrowed until client_destroy() */
    struct rotation_log *log;          /* borrowed likewise; NULL without --rotate */
    uint32_t first_connection;         /* number of its first connection in the whole run */
    uint32_t connection_count;         /* > 0 */
    uint64_t request_count;            /* UINT64_MAX: until it is told to stop */
    uint64_t timeout_ns;
    uint64_t seed; /* with its number decides at which target a connection begins */
    bool verifies_all;
    void (*on_done)(void *context); /* on the client's thread, as the last thing it does */
    void *context;
};

/* What a client has done so far. */
struct client_progress {
    uint64_t requests;
    uint64_t bad;
    uint64_t received_bytes;
};

struct client_result {
    const struct tally *tally; /* as long as the client */
    uint64_t last_end_ns;      /* when its last request ended; 0: none did */
    uint64_t cpu_ns;           /* CPU time of its thread */
    uint64_t wall_ns;          /* from its thread's start to its end */
};

/** Allocates all that the client will need. returns 0 or -ENOMEM */
[[gnu::warn_unused_result]] int client_create(const struct client_settings *settings,
                                              struct client **ret_client);

/** Starts the thread, and so the load. returns 0 or -errno */
[[gnu::warn_unused_result]] int client_start(struct client *client);

/**
 * Asks it to start no more requests, and to wait for those under way for at most `drain_ns`. Again
 * with a shorter time: the shorter one counts. Any thread.
 */
void client_stop(struct client *client, uint64_t drain_ns);

/** What it has done so far, some milliseconds late. Any thread. */
struct client_progress client_progress(const struct client *client);

/** Waits for the end of the thread. */
struct client_result client_join(struct client *client);

/** Not while the thread runs; NULL is fine. */
void client_destroy(struct client *client);
