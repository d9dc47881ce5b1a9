/*
 * One keep-alive connection of the load: connect, send a request, read and judge the answer, again.
 * Whatever happens to a request, it ends in exactly one outcome, counted with the time it took.
 *
 *                  connected
 *     CONNECTING -------------> SENDING -------> RECEIVING
 *       ^    |                   ^  |               |  |
 *       |    |                   |  |   answered    |  | answered and closed: CONNECTING
 *       |    |                   +--|---------------+  |
 *       |    +---- failed ----------+---- failed ------+
 *       |                           v
 *       +-- back-off over ------ WAITING            STOPPED: nothing more to request
 *
 * Belongs to one client thread and its event loop; knows no other threads.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loadgen/response_reader.h"
#include "loadgen/rotation_log.h"
#include "loadgen/tally.h"
#include "loadgen/target.h"
#include "loadgen/version_file.h"
#include "server/base/clock.h"

/* One for all of a thread's connections: it stays in the L2 cache, one read takes most answers. */
#define CONN_BUFFER_BYTES (64 * 1024)

/* After a failure the next attempt waits: 10 ms, 20 ms, ... 640 ms; a good answer ends that. */
#define CONN_BACKOFF_MIN_NS    (10 * NS_PER_MS)
#define CONN_BACKOFF_SHIFT_MAX 6

/* What the connections of one thread share. */
struct conn_thread {
    struct ev_loop *loop;
    const struct clock *clock;
    struct rotation_log *log; /* NULL without --rotate */
    bool verifies_all;
    bool is_stopping;       /* no more requests are started */
    uint64_t requests_left; /* UINT64_MAX: no end */
    uint64_t timeout_ns;
    uint64_t last_end_ns; /* when a request ended last, 0: none yet */
    uint32_t running;     /* connections that are not STOPPED */
    uint8_t *buffer;      /* CONN_BUFFER_BYTES */
    struct tally tally;
};

enum conn_state {
    CONN_WAITING,
    CONN_CONNECTING,
    CONN_SENDING,
    CONN_RECEIVING,
    CONN_STOPPED,
};

/* Public to be laid out in an array; nobody else looks inside. */
struct conn {
    struct ev_io io;
    struct conn_thread *thread;
    const struct endpoint *endpoint;
    const struct target *target; /* of the request that is under way */
    size_t next_target;          /* index into the endpoint's targets */
    enum conn_state state;
    int fd; /* -1: none */
    bool is_verifying;
    uint8_t backoff_shift;
    size_t sent_bytes;      /* of the request */
    uint64_t begin_ns;      /* the request was sent, or before that: its connect began */
    uint64_t first_byte_ns; /* of the answer; 0: none yet */
    uint64_t activity_ns;   /* when something last moved: what timeouts are measured from */
    uint64_t retry_ns;      /* WAITING: when to go on */
    struct response_reader reader;
    struct version_check check;
};

/**
 * Makes a connection that is WAITING for nothing: the first conn_on_tick() starts it.
 *
 * line           RESPONSE_LINE_MAX bytes that live as long as the connection
 * target_index   the first target to request; then round robin
 */
void conn_init(struct conn *conn,
               struct conn_thread *thread,
               const struct endpoint *endpoint,
               size_t target_index,
               char *line);

/** Goes on where time decides: starts, retries, gives up after a timeout. */
void conn_on_tick(struct conn *conn, uint64_t now_ns);

/** Gives up what is under way, which counts as unfinished, and stops. */
void conn_abandon(struct conn *conn, uint64_t now_ns);
