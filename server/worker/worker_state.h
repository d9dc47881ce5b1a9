/*
 * What a worker consists of; private to server/worker. One thread writes all of it, but for the
 * mailboxes' far ends, the counters' readers and the log ring's reader.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include "server/engine/engine.h"
#include "server/http/response.h"
#include "server/table/slot_table.h"
#include "server/worker/buffer_pool.h"
#include "server/worker/conn.h"
#include "server/worker/log_ring.h"
#include "server/worker/miss_list.h"
#include "server/worker/worker.h"

/* Generations and orders that may wait in a worker's mailbox beside the answers to its misses. */
#define MAILBOX_GENERATIONS_MAX 256

/* Of these, places that no generation takes: for DRAIN and STOP. */
#define MAILBOX_ORDERS_MAX 2

/* Access log: what may wait for the control thread, which looks every 50 ms. */
#define LOG_RING_BYTES (4 * 1024 * 1024)

/* What sendfile(2) found out about a slot's file. */
struct residency {
    const struct version *version; /* only compared: whether it is still the same one */
    uint64_t until_ns;
};

/* By listener. */
struct acceptor {
    bool is_accepting[SETTINGS_LIST_MAX];
    bool is_cancelling[SETTINGS_LIST_MAX];
    bool is_backing_off; /* no descriptor: until the next tick */
};

struct worker {
    struct worker_config config;
    struct engine *engine;
    struct slot_table *table;
    struct residency *residencies; /* by slot */
    struct worker_counters counters;

    struct conn *conns;
    uint32_t conn_max;    /* the limit */
    uint32_t place_count; /* in `conns`: the limit, and the acceptor's spare ones */
    uint32_t conn_count;  /* places taken */
    uint32_t open_count; /* of these, what the limit counts: not those waiting, not those closing */
    uint32_t conn_top;   /* places at and above were never used */
    uint32_t first_free_conn; /* chain by next_parked */
    uint32_t idle_hand;       /* where the search for an idle connection to give up goes on */
    uint32_t idle_count;
    uint32_t giving_count;       /* of these, those that may be given up */
    uint32_t first_waiting_conn; /* accepted beyond the limit: chain by next_parked */
    uint32_t last_waiting_conn;  /* CONN_NONE while there is none */
    struct buffer_pool buffers;
    struct input_store input_store; /* takes from `buffers` */

    struct miss_list misses;
    struct miss_queue answered; /* their connections may go on, once the table is flushed */
    struct miss_queue waiting;  /* loaded, but every slot is in use */
    struct mailbox to_worker;
    struct mailbox to_control;
    uint64_t promised_count; /* control's: messages that generations under way may still bring */
    int event_fd;            /* control writes it to wake the worker */
    bool is_control_owed;    /* messages were sent to control since it was last woken */

    uint64_t now_ns;  /* monotonic, read once a turn */
    uint64_t tick_ns; /* how often deadlines are looked at */
    bool is_ticking;  /* the timeout is armed */
    bool is_suspect;  /* a change was signalled and may not be here yet (law L6) */
    bool is_draining;
    bool is_drained_told;
    bool is_stopping;
    struct acceptor acceptor;
    int64_t date_seconds;
    char date_line[HTTP_DATE_LINE_BYTES]; /* "Date: ...\r\n" */
    char log_time[32];                    /* for the access log: 22/Nov/2026:12:00:00 +0000 */

    struct log_ring log_ring;
    pthread_t thread;
    bool is_started;
    sem_t start_done;
    int start_result;
    const char *start_what;
};
