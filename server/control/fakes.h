/*
 * A catalog and workers made of scripts, linked in place of the real ones: what was called, in
 * order, is one line of words in `fake_trace`. For the tests of this folder; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/catalog/catalog.h"
#include "server/worker/worker.h"

#define FAKE_MESSAGES_MAX 4096
#define FAKE_CHANGES_MAX  8
#define FAKE_LOG_BYTES    65536

struct fake_queue {
    struct message messages[FAKE_MESSAGES_MAX];
    uint32_t first;
    uint32_t count;
};

/* Places that no generation takes. */
#define FAKE_ROOM_RESERVED 2

struct worker {
    struct worker_config config;
    struct worker_counters counters;
    struct fake_queue inbox;  /* what control sent */
    struct fake_queue outbox; /* what control will receive */
    uint32_t room;            /* places: worker_has_room() keeps FAKE_ROOM_RESERVED of them */
    uint32_t wake_count;
    bool is_started;
    char log[FAKE_LOG_BYTES]; /* whole lines for worker_take_log() */
    size_t log_bytes;
    bool answers_drain;   /* DRAIN is answered by DRAINED at once */
    bool answers_applied; /* GENERATION is answered by APPLIED at once */
};

struct catalog {
    struct catalog_config config;
    struct catalog_counters counters;
    int watch_fds[2]; /* a pipe: [0] is the watch descriptor; take_changes reads it empty */
    struct catalog_answer answer;                 /* of every load */
    struct generation *load_generation;           /* of the next load, once */
    struct generation *changes[FAKE_CHANGES_MAX]; /* of the next takes, in order; NULL-ended */
    uint32_t change_index;
    uint32_t load_count;
    uint32_t take_count;
    uint32_t applied_count;
    uint32_t evicted_count;
    uint32_t released_count;
    bool wants_poll;
    catalog_drained_fn on_drained;
    void *drained_context;
    void (*on_take)(void *context); /* called by each take; NULL: nothing */
    void *take_context;
    void (*on_load)(void *context); /* called by each load; NULL: nothing */
    void *load_context;
};

/* What fakes do instead of working; a test sets what it wants changed. */
struct fake_plan {
    int catalog_error; /* catalog_create() fails with it (-errno) */
    int start_error;   /* worker_start() of worker `start_error_index` fails with it */
    uint32_t start_error_index;
    bool answers_drain;                 /* for workers that worker_create() makes */
    uint32_t live_workers;              /* created and not destroyed */
    uint32_t started_workers;           /* started and not joined */
    void (*on_counters)(void *context); /* when a worker's counters are read; NULL: nothing */
    void *counters_context;
    struct catalog *catalog; /* the last one created */
    struct worker *workers[WORKERS_MAX];
};

extern struct fake_plan fake_plan;
extern char fake_trace[16384];

/** Forgets plan and trace. */
void fake_reset(void);

/** Empties the trace. */
void fake_trace_clear(void);

/** Puts a message where control will find it; does not write the event descriptor. */
void fake_worker_post(struct worker *worker, struct message message);

/** Posts a MISS for `key`; the miss is `miss`. */
void fake_worker_miss(struct worker *worker, struct miss *miss, const char *key);
