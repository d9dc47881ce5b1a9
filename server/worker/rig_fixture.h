/*
 * A rig for the worker's tests: a worker whose turns the test takes on its own thread, on the fake
 * engine, with a real slot table and real sockets, with a clock that stands still until the test
 * moves it, and with the test as control thread (control_fixture.h).
 *
 * Every turn is followed by a check of what must always hold (check_fixture.h); rig_stop() ends
 * everything that is under way, drains the worker, and checks that nothing is left over: no buffer,
 * no place, no descriptor, no version that was not released exactly as often as it was given. The
 * allocator is sealed from rig_start() to rig_stop().
 *
 * What goes wrong in here ends the program: ASSERT.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"
#include "server/base/clock.h"
#include "server/base/span.h"
#include "server/engine/fake/fake.h"
#include "server/engine/fake/script.h"
#include "server/worker/conn.h"
#include "server/worker/control_fixture.h"
#include "server/worker/worker.h"

#define RIG_LISTENERS_MAX 3
#define RIG_TEXT_BYTES    (64 * 1024)

/* The tokens of the worker's own operations. */
#define RIG_WORKER_TOKEN ((struct engine_token){.index = UINT32_MAX, .generation = 1})

/* One connection that was accepted: its token, and the peer's end of its socket. */
struct rig_peer {
    struct engine_token token;
    int fd; /* the peer's; -1: closed by the test */
};

struct rig {
    /* For the test to change between rig_init() and rig_start(). */
    struct settings settings;
    uint32_t connection_max; /* 4 */
    uint32_t listen_count;   /* 1, at most RIG_LISTENERS_MAX */

    struct freshness_gate gate;
    struct clock clock;
    uint64_t now_ns;
    int64_t wall_seconds;
    struct worker *worker;
    struct engine *engine;
    const struct engine_verbs *fake_verbs; /* the engine's own */
    struct engine_verbs verbs;             /* those, but that descriptors are really closed */
    uint32_t failing_updates_count;        /* next calls of update_files that do nothing and fail */
    int control_event_fd;
    int listen_fds[RIG_LISTENERS_MAX]; /* numbers that no file has */
    struct rig_peer *peers;
    uint32_t peer_count;
    struct control control;
    char text[RIG_TEXT_BYTES]; /* what rig_answers() and rig_raw() gave last */
};

/** For cmocka: `*state` is a struct rig after rig_init(); torn down by rig_stop(). */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/** Defaults: 8 slots, nothing by sendfile, no access log. */
void rig_init(struct rig *rig);
void rig_start(struct rig *rig);
void rig_stop(struct rig *rig);

/** One turn of the worker, with the events that are ready, if any. */
void rig_turn(struct rig *rig);

/** Turns until nothing happens any more. */
void rig_run(struct rig *rig);

/** Lets time pass, tick by tick. */
void rig_pass_ms(struct rig *rig, uint64_t ms);

/** Connections: accepted in a turn of their own; over a unix socket, or TCP over loopback. */
struct engine_token rig_open(struct rig *rig);
struct engine_token rig_open_tcp(struct rig *rig);

/** The same, but the turn is left to the test: the next connection gets the token. */
int rig_queue_accept(struct rig *rig, uint32_t listener_index);

/** The connection's place, or NULL when it is closed for good. */
struct conn *rig_conn(struct rig *rig, struct engine_token token);
enum conn_state rig_state(struct rig *rig, struct engine_token token);

/** Whether it is over and its peer sees that, having taken all that was sent. */
bool rig_is_closed(struct rig *rig, struct engine_token token);
int rig_peer_fd(struct rig *rig, struct engine_token token);

/** The peer closes its end. Says nothing to the worker: the test scripts the event. */
void rig_close_peer(struct rig *rig, struct engine_token token);

bool rig_is_in_flight(struct rig *rig, struct engine_token token, enum engine_op op);

/** Queues the event(s) that bring `text`. */
void rig_receive(struct rig *rig, struct engine_token token, const char *text);
void rig_receive_bytes(struct rig *rig, struct engine_token token, struct span bytes);

/** The same, with the turn that takes them. */
void rig_request(struct rig *rig, struct engine_token token, const char *text);

/** Ends an operation with `result`, and takes the turn. */
void rig_end(struct rig *rig, struct engine_token token, enum engine_op op, int32_t result);

/** Ends a file read with what the file has there, at most `byte_max`, and takes the turn. */
void rig_read(struct rig *rig, struct engine_token token, uint32_t byte_max);

/** Ends sends and reads of the connection as a healthy system would, until none is in flight. */
void rig_finish(struct rig *rig, struct engine_token token);

/**
 * What the connection's completed sends have answered: "200 body, 404, 503 close, ". Bodies only of
 * 200 and 206; a long one as its first bytes and its size: "200 0123456789abcdef..70000, ". An
 * answer that is not whole ends with " cut". Lives until the next call.
 */
const char *rig_answers(struct rig *rig, struct engine_token token);

/** The same for bytes that came another way. */
const char *rig_describe(struct rig *rig, struct span bytes);

/** All that the connection's completed sends have carried, NUL-terminated. */
const char *rig_raw(struct rig *rig, struct engine_token token);

/** A counter of the worker's, by its field. */
#define RIG_COUNTER(rig, field) counter_get(&worker_counters((rig)->worker)->field)
