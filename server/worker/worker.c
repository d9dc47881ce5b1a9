#include "server/worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/log.h"
#include "server/http/date.h"
#include "server/table/generation.h"
#include "server/worker/acceptor.h"
#include "server/worker/rotation.h"
#include "server/worker/worker_state.h"
#include "server/worker/worker_turn.h"

/* Events taken per turn: a batch that stays in L2 with its buffers. */
#define EVENTS_MAX 256

/* Submission entries: a turn's sends and reads; more are submitted in between. */
#define RING_ENTRIES 1024

#define RECEIVE_BUFFERS 512

/* How finely deadlines are kept. */
#define TICK_MAX_MS 500
#define TICK_MIN_MS 10

/* DRAINED and FAILED. */
#define LAST_WORDS_MAX 2

/* Tokens of what belongs to the worker, not to a connection. */
#define TOKEN_INDEX_WORKER UINT32_MAX
#define WORKER_TOKEN       ((struct engine_token){.index = TOKEN_INDEX_WORKER, .generation = 1})

static uint64_t tick_ns(const struct settings *settings)
{
    uint64_t shortest_ms = LINGER_TIMEOUT_MS;
    const uint64_t timeouts_ms[] = {settings->header_timeout_ms, settings->idle_timeout_ms,
                                    settings->send_timeout_ms};
    for (size_t i = 0; i < ARRAY_COUNT(timeouts_ms); i++) {
        shortest_ms = timeouts_ms[i] < shortest_ms ? timeouts_ms[i] : shortest_ms;
    }
    uint64_t tick_ms = shortest_ms / 4;
    tick_ms = tick_ms > TICK_MAX_MS ? TICK_MAX_MS : tick_ms;
    return (tick_ms < TICK_MIN_MS ? TICK_MIN_MS : tick_ms) * NS_PER_MS;
}

/* A version that the worker holds, or was given, ends with one EVICTED and one RELEASED. */
static uint32_t held_messages_max(const struct worker *worker)
{
    return 2 * (worker->config.settings->table_slots + worker->place_count);
}

/* What generations under way may bring: one that changes all that the worker holds always fits. */
static uint32_t promised_max(const struct worker *worker)
{
    return held_messages_max(worker) + 1 + MAILBOX_GENERATIONS_MAX;
}

/* Every message that can be outstanding has its place, so that sending cannot fail. */
static int create_mailboxes(struct worker *worker)
{
    int rc = mailbox_init(&worker->to_worker, worker->place_count + MAILBOX_GENERATIONS_MAX);
    if (rc == 0) {
        rc = mailbox_init(&worker->to_control, worker->place_count + held_messages_max(worker) +
                                                   promised_max(worker) + LAST_WORDS_MAX);
    }
    return rc;
}

int worker_create(const struct worker_config *config, struct worker **ret_worker)
{
    struct worker *worker = alloc_zeroed(1, sizeof(*worker));
    if (worker == NULL) {
        return -ENOMEM;
    }
    worker->config = *config;
    worker->conn_max = config->connection_max;
    worker->place_count = worker_miss_max(config->connection_max);
    worker->first_free_conn = CONN_NONE;
    worker->first_waiting_conn = CONN_NONE;
    worker->last_waiting_conn = CONN_NONE;
    worker->tick_ns = tick_ns(config->settings);
    worker->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = worker->event_fd < 0 ? -errno : 0;
    if (rc == 0) {
        worker->conns = alloc_map(worker->place_count * sizeof(*worker->conns));
        rc = worker->conns == NULL ? -ENOMEM : 0;
    }
    if (rc == 0) { /* one for input and one for output of each connection */
        rc = buffer_pool_init(&worker->buffers, 2 * worker->place_count + INPUT_OVERFLOW_MAX,
                              CONN_BUFFER_BYTES);
        worker->input_store.buffers = &worker->buffers;
    }
    if (rc == 0) {
        worker->residencies =
            alloc_map(config->settings->table_slots * sizeof(*worker->residencies));
        rc = worker->residencies == NULL ? -ENOMEM : 0;
    }
    if (rc == 0) {
        rc = miss_list_init(&worker->misses, worker->place_count);
    }
    if (rc == 0) {
        rc = create_mailboxes(worker);
    }
    if (rc == 0 && strcmp(config->settings->access_log, "none") != 0) {
        rc = log_ring_init(&worker->log_ring, LOG_RING_BYTES);
    }
    if (rc == 0) {
        rc = rotation_init(worker);
    }
    if (rc < 0) {
        worker_destroy(worker);
        return rc;
    }
    *ret_worker = worker;
    return 0;
}

/* Lines that depend on the wall clock's second only. */
static void update_date(struct worker *worker)
{
    int64_t now = clock_wall_seconds(worker->config.clock);
    if (now == worker->date_seconds) {
        return;
    }
    worker->date_seconds = now;
    http_date_line_write(now, worker->date_line);
    time_t seconds = now;
    struct tm parts;
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(worker->log_time, sizeof(worker->log_time), "%d/%b/%Y:%H:%M:%S +0000",
                       &parts);
    }
}

/* The connection that an event is for, or NULL when it belongs to an earlier use of the place. */
static struct conn *conn_of(struct worker *worker, struct engine_token token)
{
    if (token.index >= worker->conn_top) {
        return NULL;
    }
    struct conn *conn = &worker->conns[token.index];
    bool is_current = conn->generation == token.generation && conn->state != CONN_FREE;
    return is_current ? conn : NULL;
}

static void sweep_deadlines(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->conn_top; i++) {
        struct conn *conn = &worker->conns[i];
        if (conn->state != CONN_FREE && conn->deadline_ns <= worker->now_ns) {
            conn_on_deadline(worker, conn);
        }
    }
}

/* A clock is needed only while there is a connection, or something to try again. */
static void arm_tick(struct worker *worker)
{
    bool is_wanted = worker->conn_count > 0 || worker->acceptor.is_backing_off ||
                     worker->waiting.first != NULL || slot_table_has_updates(worker->table);
    if (is_wanted && !worker->is_ticking) {
        engine_start_timeout(worker->engine, WORKER_TOKEN, worker->tick_ns);
        worker->is_ticking = true;
    }
}

static void on_conn_event(struct worker *worker, const struct engine_event *event)
{
    struct conn *conn = conn_of(worker, event->token);
    if (conn == NULL) {
        counter_add(&worker->counters.engine_stale, 1);
        return;
    }
    switch (event->op) {
    case ENGINE_RECEIVE:
        conn_on_receive(worker, conn, event);
        return;
    case ENGINE_SEND:
        conn_on_send(worker, conn, event->result);
        return;
    case ENGINE_READ:
        conn_on_read(worker, conn, event->result);
        return;
    case ENGINE_POLL:
        conn_on_poll(worker, conn, event->result);
        return;
    case ENGINE_ACCEPT:
    case ENGINE_WATCH:
    case ENGINE_TIMEOUT:
    case ENGINE_FILE_RELEASED:
        break;
    }
    ASSERT(false); /* on_event() sends none of these here */
}

static void on_event(struct worker *worker, const struct engine_event *event)
{
    switch (event->op) {
    case ENGINE_RECEIVE:
    case ENGINE_SEND:
    case ENGINE_READ:
    case ENGINE_POLL:
        on_conn_event(worker, event);
        break;
    case ENGINE_ACCEPT:
        acceptor_on_accept(worker, event);
        break;
    case ENGINE_TIMEOUT:
        worker->is_ticking = false;
        acceptor_on_tick(worker);
        sweep_deadlines(worker);
        break;
    case ENGINE_FILE_RELEASED:
        rotation_on_file_released(worker, event->token);
        break;
    case ENGINE_WATCH: /* control has sent messages: they were taken before the events */
        break;
    }
    if (event->buffer_id != ENGINE_BUFFER_NONE) {
        engine_return_buffer(worker->engine, event->buffer_id);
    }
}

static void publish_gauges(struct worker *worker)
{
    struct worker_counters *counters = &worker->counters;
    const struct engine_counters *engine = engine_counters(worker->engine);
    struct slot_counts slots = slot_table_counts(worker->table);
    counter_set(&counters->connections_active, worker->open_count - worker->idle_count);
    counter_set(&counters->connections_idle, worker->idle_count);
    counter_set(&counters->slots_free, slots.free);
    counter_set(&counters->slots_live, slots.live);
    counter_set(&counters->slots_retiring, slots.retiring);
    counter_set(&counters->stale_tags, slots.stale_tags);
    counter_set(&counters->receive_buffer_shortages, engine->buffer_shortages);
    counter_set(&counters->engine_overflows, engine->overflows);
    counter_set(&counters->engine_waits, engine->waits);
}

/* Draining: no new connections, idle ones go, and when all are gone the table lets go as well. */
static void drain(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->conn_top; i++) {
        if (worker->conns[i].state != CONN_FREE) {
            conn_drain(worker, &worker->conns[i]);
        }
    }
    if (worker->conn_count > 0 || worker->is_drained_told) {
        return;
    }
    slot_table_retire_all(worker->table);
    rotation_flush(worker);
    struct slot_counts slots = slot_table_counts(worker->table);
    if (slots.live + slots.retiring == 0 && worker->misses.pending_count == 0) {
        rotation_tell_control(worker, MESSAGE_DRAINED, NULL);
        worker->is_drained_told = true;
    }
}

static void wake_control(struct worker *worker)
{
    if (worker->is_control_owed) {
        worker->is_control_owed = false;
        uint64_t one = 1;
        /* Fails only when 2^64-2 wakes are unread: then it is awake. */
        (void)!write(worker->config.control_event_fd, &one, sizeof(one));
    }
}

/*
 * One turn. The order of its first steps is law L6: requests were received, then the freshness gate
 * is asked, then what control sent is taken in, and only then is anything answered.
 */
void worker_turn(struct worker *worker, const struct engine_event *events, uint32_t event_count)
{
    worker->now_ns = clock_monotonic_ns(worker->config.clock);
    update_date(worker);
    worker->is_suspect = freshness_is_suspect(worker->config.freshness);
    rotation_take_messages(worker);
    for (uint32_t i = 0; i < event_count; i++) {
        on_event(worker, &events[i]);
    }
    rotation_settle(worker); /* the events may have freed slots */
    if (worker->is_draining) {
        drain(worker);
    }
    acceptor_update(worker);
    rotation_flush(worker);
    arm_tick(worker);
    publish_gauges(worker);
    wake_control(worker);
}

int worker_start_engine(struct worker *worker)
{
    const struct settings *settings = worker->config.settings;
    struct engine_config config = {
        .entry_count = RING_ENTRIES,
        .slot_count = settings->files == FILES_FIXED ? settings->table_slots : 0,
        .receive_buffer_count = RECEIVE_BUFFERS,
        .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
    };
    int rc = worker->config.create_engine(&config, &worker->engine, &worker->start_what);
    if (rc == 0) {
        engine_start_watch(worker->engine, WORKER_TOKEN, worker->event_fd);
        acceptor_update(worker);
        publish_gauges(worker);
    }
    return rc;
}

/* Those whose answers are cut off because the worker stops. */
static void count_cut_off(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->conn_top; i++) {
        enum conn_state state = worker->conns[i].state;
        if (state == CONN_SENDING || state == CONN_PARKED) {
            counter_add(&worker->counters.aborted_drain, 1);
        }
    }
}

static void close_conns(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->conn_top; i++) {
        if (worker->conns[i].state != CONN_FREE) {
            (void)close(worker->conns[i].fd); /* the engine is gone: nothing is in flight */
        }
    }
}

void worker_stop_engine(struct worker *worker)
{
    count_cut_off(worker);
    engine_destroy(worker->engine);
    worker->engine = NULL;
    close_conns(worker);
}

static void *run(void *context)
{
    struct worker *worker = context;
    worker->start_result = worker_start_engine(worker);
    bool is_running = worker->start_result == 0;
    (void)sem_post(&worker->start_done); /* cannot overflow: posted once */
    if (!is_running) {
        return NULL;
    }
    alloc_seal_thread();
    struct engine_event events[EVENTS_MAX];
    while (!worker->is_stopping) {
        int event_count = engine_wait(worker->engine, events, EVENTS_MAX);
        if (event_count < 0) {
            log_error("worker %u: the engine failed: %s; its connections are lost",
                      worker->config.index, strerror(-event_count));
            rotation_tell_control(worker, MESSAGE_FAILED, NULL);
            wake_control(worker);
            break;
        }
        worker_turn(worker, events, (uint32_t)event_count);
    }
    alloc_unseal_thread();
    worker_stop_engine(worker);
    return NULL;
}

int worker_start(struct worker *worker, const char **ret_what)
{
    ASSERT(sem_init(&worker->start_done, 0, 0) == 0);
    /* Signals belong to the control thread. */
    sigset_t all_signals;
    sigset_t old_signals;
    (void)sigfillset(&all_signals);
    (void)pthread_sigmask(SIG_SETMASK, &all_signals, &old_signals);
    int rc = -pthread_create(&worker->thread, NULL, run, worker);
    (void)pthread_sigmask(SIG_SETMASK, &old_signals, NULL);
    if (rc < 0) {
        *ret_what = "cannot start a thread; raise the limit of processes (ulimit -u)";
        return rc;
    }
    worker->is_started = true;
    while (sem_wait(&worker->start_done) != 0) {
        ASSERT(errno == EINTR);
    }
    *ret_what = worker->start_what;
    return worker->start_result;
}

/* What the worker may have to say to a generation: EVICTED and RELEASED a change, and APPLIED. */
static uint64_t promised_by(const struct worker *worker, const struct generation *generation)
{
    const uint64_t own_bit = UINT64_C(1) << worker->config.index;
    uint64_t count = 1;
    for (uint32_t i = 0; i < generation->change_count; i++) {
        count += (generation->changes[i].holder_mask & own_bit) != 0 ? 2 : 0;
    }
    return count;
}

bool worker_has_room(const struct worker *worker, const struct generation *generation)
{
    return mailbox_room(&worker->to_worker) > worker->place_count + MAILBOX_ORDERS_MAX &&
           worker->promised_count + promised_by(worker, generation) <= promised_max(worker);
}

bool worker_send(struct worker *worker, struct message message)
{
    bool is_sent = mailbox_send(&worker->to_worker, message);
    if (is_sent && message.kind == MESSAGE_GENERATION) {
        worker->promised_count += promised_by(worker, message.pointer);
    }
    return is_sent;
}

void worker_wake(struct worker *worker)
{
    uint64_t one = 1;
    /* Fails only when 2^64-2 wakes are unread: then it is awake. */
    (void)!write(worker->event_fd, &one, sizeof(one));
}

bool worker_receive(struct worker *worker, struct message *ret_message)
{
    if (!mailbox_receive(&worker->to_control, ret_message)) {
        return false;
    }
    if (ret_message->kind == MESSAGE_APPLIED) {
        worker->promised_count -= promised_by(worker, ret_message->pointer);
    }
    return true;
}

const struct worker_counters *worker_counters(const struct worker *worker)
{
    return &worker->counters;
}

size_t worker_take_log(struct worker *worker, char *buffer, size_t buffer_bytes)
{
    return log_ring_read(&worker->log_ring, buffer, buffer_bytes);
}

uint32_t worker_miss_max(uint32_t connection_max)
{
    return connection_max + CONN_SPARE_COUNT;
}

void worker_join(struct worker *worker)
{
    if (worker->is_started) {
        ASSERT(pthread_join(worker->thread, NULL) == 0);
        worker->is_started = false;
    }
}

void worker_destroy(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    rotation_deinit(worker);
    log_ring_deinit(&worker->log_ring);
    mailbox_deinit(&worker->to_control);
    mailbox_deinit(&worker->to_worker);
    miss_list_deinit(&worker->misses);
    buffer_pool_deinit(&worker->buffers);
    alloc_unmap(worker->residencies,
                worker->config.settings->table_slots * sizeof(*worker->residencies));
    alloc_unmap(worker->conns, worker->place_count * sizeof(*worker->conns));
    if (worker->event_fd >= 0) {
        (void)close(worker->event_fd); /* an eventfd has nothing to lose */
    }
    alloc_free(worker);
}
