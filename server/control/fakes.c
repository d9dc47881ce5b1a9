#include "server/control/fakes.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/check.h"

struct fake_plan fake_plan;
char fake_trace[16384];

void fake_trace_clear(void)
{
    fake_trace[0] = '\0';
}

void fake_reset(void)
{
    fake_plan = (struct fake_plan){0};
    fake_trace_clear();
}

[[gnu::format(printf, 1, 2)]] static void trace(const char *format, ...)
{
    size_t used = strlen(fake_trace);
    va_list args;
    va_start(args, format);
    /* A trace that is full just ends: tests with many events count them instead. */
    (void)vsnprintf(fake_trace + used, sizeof(fake_trace) - used, format, args);
    va_end(args);
}

static void queue_put(struct fake_queue *queue, struct message message)
{
    ASSERT(queue->count < FAKE_MESSAGES_MAX);
    queue->messages[(queue->first + queue->count) % FAKE_MESSAGES_MAX] = message;
    queue->count++;
}

static bool queue_take(struct fake_queue *queue, struct message *ret_message)
{
    if (queue->count == 0) {
        return false;
    }
    *ret_message = queue->messages[queue->first];
    queue->first = (queue->first + 1) % FAKE_MESSAGES_MAX;
    queue->count--;
    return true;
}

void fake_worker_post(struct worker *worker, struct message message)
{
    queue_put(&worker->outbox, message);
}

void fake_worker_miss(struct worker *worker, struct miss *miss, const char *key)
{
    miss->key_bytes = (uint16_t)strlen(key);
    memcpy(miss->key, key, miss->key_bytes + UINT32_C(1));
    fake_worker_post(worker, (struct message){.kind = MESSAGE_MISS, .pointer = miss});
}

/* ---- worker.h ---- */

int worker_create(const struct worker_config *config, struct worker **ret_worker)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    ASSERT(worker != NULL);
    worker->config = *config;
    worker->room = 100;
    worker->answers_drain = fake_plan.answers_drain;
    fake_plan.live_workers++;
    fake_plan.workers[config->index] = worker;
    *ret_worker = worker;
    return 0;
}

int worker_start(struct worker *worker, const char **ret_what)
{
    if (fake_plan.start_error != 0 && worker->config.index == fake_plan.start_error_index) {
        *ret_what = "the engine would not start; try another one";
        return fake_plan.start_error;
    }
    trace("start(%u) ", worker->config.index);
    fake_plan.started_workers++;
    worker->is_started = true;
    return 0;
}

/* What a real worker would do in its own time. */
static void worker_react(struct worker *worker, struct message message)
{
    bool has_answer = false;
    if (message.kind == MESSAGE_DRAIN && worker->answers_drain) {
        fake_worker_post(worker, (struct message){.kind = MESSAGE_DRAINED});
        has_answer = true;
    }
    if (message.kind == MESSAGE_GENERATION && worker->answers_applied) {
        fake_worker_post(worker,
                         (struct message){.kind = MESSAGE_APPLIED, .pointer = message.pointer});
        has_answer = true;
    }
    if (has_answer && worker->config.control_event_fd > 0) {
        uint64_t one = 1;
        ssize_t written = write(worker->config.control_event_fd, &one, sizeof(one));
        ASSERT(written == sizeof(one));
    }
}

bool worker_send(struct worker *worker, struct message message)
{
    const struct freshness_gate *gate = worker->config.freshness;
    const char *open = gate != NULL && gate->begun != gate->finished ? "open," : "";
    if (message.kind == MESSAGE_GENERATION) {
        const struct generation *generation = message.pointer;
        trace("generation(%u,%s%d) ", worker->config.index, open, (int)generation->id);
    } else if (message.kind == MESSAGE_LOADED) {
        const struct miss *miss = message.pointer;
        trace("loaded(%u,%s,%u) ", worker->config.index, miss->key, message.number);
    } else {
        trace("%s(%u) ", message.kind == MESSAGE_DRAIN ? "drain" : "stop", worker->config.index);
    }
    queue_put(&worker->inbox, message);
    if (worker->room > 0 && message.kind != MESSAGE_LOADED) {
        worker->room--;
    }
    worker_react(worker, message);
    return true;
}

bool worker_has_room(const struct worker *worker, const struct generation *generation)
{
    (void)generation; /* places are counted, not what a generation brings back */
    return worker->room > FAKE_ROOM_RESERVED;
}

uint32_t worker_miss_max(uint32_t connection_max)
{
    return connection_max;
}

void worker_wake(struct worker *worker)
{
    const struct freshness_gate *gate = worker->config.freshness;
    bool is_open = gate != NULL && gate->begun != gate->finished;
    trace("wake(%u%s) ", worker->config.index, is_open ? ",open" : "");
    worker->wake_count++;
}

bool worker_receive(struct worker *worker, struct message *ret_message)
{
    return queue_take(&worker->outbox, ret_message);
}

const struct worker_counters *worker_counters(const struct worker *worker)
{
    if (fake_plan.on_counters != NULL) {
        fake_plan.on_counters(fake_plan.counters_context);
    }
    return &worker->counters;
}

size_t worker_take_log(struct worker *worker, char *buffer, size_t buffer_bytes)
{
    size_t bytes = 0;
    size_t line_end = 0;
    while (line_end < worker->log_bytes && line_end < buffer_bytes) {
        if (worker->log[line_end++] == '\n') {
            bytes = line_end;
        }
    }
    memcpy(buffer, worker->log, bytes);
    memmove(worker->log, worker->log + bytes, worker->log_bytes - bytes);
    worker->log_bytes -= bytes;
    return bytes;
}

void worker_join(struct worker *worker)
{
    trace("join(%u) ", worker->config.index);
    if (worker->is_started) {
        worker->is_started = false;
        fake_plan.started_workers--;
    }
}

void worker_destroy(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    fake_plan.live_workers--;
    fake_plan.workers[worker->config.index] = NULL;
    free(worker);
}

/* ---- catalog.h ---- */

int catalog_create(const struct catalog_config *config,
                   struct catalog **ret_catalog,
                   const char **ret_what)
{
    if (fake_plan.catalog_error != 0) {
        *ret_what = "the root is not a directory; name another one with --root";
        return fake_plan.catalog_error;
    }
    struct catalog *catalog = calloc(1, sizeof(*catalog));
    ASSERT(catalog != NULL);
    catalog->config = *config;
    catalog->answer = (struct catalog_answer){.status = 404};
    int error = pipe2(catalog->watch_fds, O_CLOEXEC | O_NONBLOCK);
    ASSERT(error == 0);
    fake_plan.catalog = catalog;
    *ret_catalog = catalog;
    return 0;
}

void catalog_destroy(struct catalog *catalog)
{
    if (catalog == NULL) {
        return;
    }
    (void)close(catalog->watch_fds[0]);
    (void)close(catalog->watch_fds[1]);
    fake_plan.catalog = NULL;
    free(catalog);
}

int catalog_watch_fd(const struct catalog *catalog)
{
    return catalog->watch_fds[0];
}

bool catalog_wants_poll(const struct catalog *catalog)
{
    return catalog->wants_poll;
}

struct catalog_answer catalog_load(struct catalog *catalog,
                                   uint32_t worker_index,
                                   struct span key,
                                   struct generation **ret_generation)
{
    trace("load(%u,%.*s) ", worker_index, (int)key.bytes, (const char *)key.ptr);
    catalog->load_count++;
    if (catalog->on_load != NULL) {
        catalog->on_load(catalog->load_context);
    }
    *ret_generation = catalog->load_generation;
    catalog->load_generation = NULL;
    return catalog->answer;
}

struct generation *catalog_take_changes(struct catalog *catalog)
{
    trace("take ");
    catalog->take_count++;
    if (catalog->on_take != NULL) {
        catalog->on_take(catalog->take_context);
    }
    char bytes[64];
    while (read(catalog->watch_fds[0], bytes, sizeof(bytes)) > 0) {
    }
    if (catalog->change_index == FAKE_CHANGES_MAX) {
        return NULL;
    }
    struct generation *generation = catalog->changes[catalog->change_index];
    if (generation != NULL) {
        catalog->change_index++;
    }
    return generation;
}

void catalog_on_applied(struct catalog *catalog, struct generation *generation)
{
    catalog->applied_count++;
    generation->unapplied_count--;
}

void catalog_on_evicted(struct catalog *catalog, uint32_t worker_index, struct version *version)
{
    (void)worker_index;
    (void)version;
    catalog->evicted_count++;
}

void catalog_on_released(struct catalog *catalog, struct version *version)
{
    (void)version;
    catalog->released_count++;
}

void catalog_set_drained(struct catalog *catalog, catalog_drained_fn on_drained, void *context)
{
    catalog->on_drained = on_drained;
    catalog->drained_context = context;
}

const struct catalog_counters *catalog_counters(const struct catalog *catalog)
{
    return &catalog->counters;
}
