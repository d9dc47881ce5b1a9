#include "server/control/pump.h"

#include <errno.h>
#include <inttypes.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/log.h"

/* A miss that was taken while a generation waited, or behind such a one. */
struct held_miss {
    uint32_t worker_index;
    struct miss *miss;
};

/* What is on its way out and may have to wait for room, in the order in which it leaves. */
struct departure {
    struct generation *generation; /* first; NULL: none */
    struct miss *miss;             /* then its answer; NULL: none */
    uint32_t worker_index;         /* whose miss */
    struct catalog_answer answer;
    bool is_round_open; /* and then freshness_finish() */
    uint64_t begun_ns;  /* when it was ready to leave */
};

/* How long a generation may wait for room before that is worth a line, and how often it is. */
#define STUCK_NS     NS_PER_SEC
#define STUCK_LOG_NS (10 * NS_PER_SEC)

struct pump {
    struct pump_config config;
    struct departure departure;
    struct held_miss *held; /* ring of config.miss_max */
    uint32_t held_first;
    uint32_t held_count;
    uint64_t wake_mask;    /* workers that were sent something since they were last woken */
    uint64_t drained_mask; /* workers that answered DRAINED */
    bool has_failed_worker;
    struct log_limit stuck_limit;
    struct pump_counters counters;
};

int pump_create(const struct pump_config *config, struct pump **ret_pump)
{
    ASSERT(config->worker_count >= 1);
    ASSERT(config->worker_count <= WORKERS_MAX);
    ASSERT(config->miss_max >= 1);
    struct pump *pump = alloc_zeroed(1, sizeof(*pump));
    if (pump == NULL) {
        return -ENOMEM;
    }
    pump->config = *config;
    pump->held = alloc_map(config->miss_max * sizeof(struct held_miss));
    if (pump->held == NULL) {
        alloc_free(pump);
        return -ENOMEM;
    }
    *ret_pump = pump;
    return 0;
}

static void send_to_worker(struct pump *pump, uint32_t worker_index, struct message message)
{
    /* LOADED has its place reserved by the worker, DRAIN and STOP too, and a
     * generation is only sent where there is room. */
    bool is_sent = worker_send(pump->config.workers[worker_index], message);
    ASSERT(is_sent);
    pump->wake_mask |= UINT64_C(1) << worker_index;
}

static void wake_workers(struct pump *pump)
{
    for (uint64_t mask = pump->wake_mask; mask != 0; mask &= mask - 1) {
        worker_wake(pump->config.workers[__builtin_ctzll(mask)]);
    }
    pump->wake_mask = 0;
}

/* The first holder without room, or WORKERS_MAX: every one has some. */
static uint32_t holder_without_room(const struct pump *pump, const struct generation *generation)
{
    for (uint64_t mask = generation->holder_mask; mask != 0; mask &= mask - 1) {
        uint32_t worker_index = (uint32_t)__builtin_ctzll(mask);
        ASSERT(worker_index < pump->config.worker_count);
        if (!worker_has_room(pump->config.workers[worker_index], generation)) {
            return worker_index;
        }
    }
    return WORKERS_MAX;
}

/* A worker that takes no messages makes all of them careful: somebody should know. */
static void complain_if_stuck(struct pump *pump, uint32_t worker_index)
{
    uint64_t now_ns = clock_monotonic_ns(pump->config.clock);
    uint64_t waited_ns = now_ns - pump->departure.begun_ns;
    uint64_t held_back; /* lines; nobody wants to know */
    if (waited_ns >= STUCK_NS &&
        log_limit_admit(&pump->stuck_limit, now_ns, STUCK_LOG_NS, &held_back)) {
        log_warn("generation waits: a worker takes no messages generation=%" PRIu64
                 " worker=%" PRIu32 " milliseconds=%" PRIu64,
                 pump->departure.generation->id, worker_index, waited_ns / NS_PER_MS);
    }
}

static void generation_send(struct pump *pump, struct generation *generation)
{
    log_debug("generation published generation=%" PRIu64 " changes=%" PRIu32 " workers=%d",
              generation->id, generation->change_count,
              __builtin_popcountll(generation->holder_mask));
    for (uint64_t mask = generation->holder_mask; mask != 0; mask &= mask - 1) {
        send_to_worker(pump, (uint32_t)__builtin_ctzll(mask),
                       (struct message){.kind = MESSAGE_GENERATION, .pointer = generation});
    }
    pump->counters.generations_sent++;
}

static void answer_send(struct pump *pump, const struct departure *departure)
{
    send_to_worker(pump, departure->worker_index,
                   (struct message){
                       .kind = MESSAGE_LOADED,
                       .number = departure->answer.status,
                       .pointer = departure->miss,
                       .second = departure->answer.version,
                   });
    pump->counters.misses_answered++;
}

/* Sends the departure as far as there is room. True when nothing waits any more. */
static bool departure_send(struct pump *pump)
{
    struct departure *departure = &pump->departure;
    if (departure->generation != NULL) {
        uint32_t full = holder_without_room(pump, departure->generation);
        if (full != WORKERS_MAX) {
            complain_if_stuck(pump, full);
            return false;
        }
        generation_send(pump, departure->generation);
        departure->generation = NULL;
    }
    if (departure->miss != NULL) {
        answer_send(pump, departure);
        departure->miss = NULL;
    }
    if (departure->is_round_open) {
        freshness_finish(pump->config.gate);
        departure->is_round_open = false;
    }
    return true;
}

static void departure_begin(struct pump *pump, struct departure departure)
{
    ASSERT(!pump_is_waiting(pump));
    pump->departure = departure;
    pump->departure.begun_ns = clock_monotonic_ns(pump->config.clock);
    if (!departure_send(pump)) {
        pump->counters.generations_delayed++;
    }
}

bool pump_is_waiting(const struct pump *pump)
{
    return pump->departure.generation != NULL;
}

static void miss_answer(struct pump *pump, uint32_t worker_index, struct miss *miss)
{
    struct generation *generation = NULL;
    struct catalog_answer answer = catalog_load(pump->config.catalog, worker_index,
                                                span_of(miss->key, miss->key_bytes), &generation);
    departure_begin(pump, (struct departure){
                              .generation = generation,
                              .miss = miss,
                              .worker_index = worker_index,
                              .answer = answer,
                          });
}

static void miss_hold(struct pump *pump, uint32_t worker_index, struct miss *miss)
{
    ASSERT(pump->held_count < pump->config.miss_max);
    uint32_t index =
        (uint32_t)(((uint64_t)pump->held_first + pump->held_count) % pump->config.miss_max);
    pump->held[index] = (struct held_miss){.worker_index = worker_index, .miss = miss};
    pump->held_count++;
    pump->counters.misses_delayed++;
}

static void answer_held(struct pump *pump)
{
    for (uint32_t i = 0; i < PUMP_BATCH_MAX; i++) {
        if (pump->held_count == 0 || pump_is_waiting(pump)) {
            return;
        }
        struct held_miss held = pump->held[pump->held_first];
        pump->held_first = (pump->held_first + 1) % pump->config.miss_max;
        pump->held_count--;
        miss_answer(pump, held.worker_index, held.miss);
    }
}

static void on_miss(struct pump *pump, uint32_t worker_index, struct miss *miss)
{
    if (pump->held_count > 0 || pump_is_waiting(pump)) {
        miss_hold(pump, worker_index, miss);
        return;
    }
    miss_answer(pump, worker_index, miss);
}

static void on_applied(struct pump *pump, struct generation *generation)
{
    ASSERT(generation->unapplied_count > 0);
    if (generation->unapplied_count == 1) {
        uint64_t now_ns = clock_monotonic_ns(pump->config.clock);
        ASSERT(now_ns >= generation->noticed_ns);
        histogram_observe(pump->config.freshness, now_ns - generation->noticed_ns);
    }
    catalog_on_applied(pump->config.catalog, generation); /* may free it */
}

static void on_drained(struct pump *pump, uint32_t worker_index)
{
    uint64_t bit = UINT64_C(1) << worker_index;
    ASSERT((pump->drained_mask & bit) == 0);
    pump->drained_mask |= bit;
}

/* Every kind but MISS: nothing here waits or fails. */
static void message_handle(struct pump *pump, uint32_t worker_index, const struct message *message)
{
    switch ((enum message_kind)message->kind) {
    case MESSAGE_APPLIED:
        on_applied(pump, message->pointer);
        return;
    case MESSAGE_EVICTED:
        catalog_on_evicted(pump->config.catalog, worker_index, message->pointer);
        return;
    case MESSAGE_RELEASED:
        catalog_on_released(pump->config.catalog, message->pointer);
        return;
    case MESSAGE_DRAINED:
        on_drained(pump, worker_index);
        return;
    case MESSAGE_FAILED:
        pump->has_failed_worker = true;
        return;
    case MESSAGE_MISS: /* the caller's */
    case MESSAGE_LOADED:
    case MESSAGE_GENERATION:
    case MESSAGE_DRAIN:
    case MESSAGE_STOP:
        break;
    }
    bool is_sent_by_workers = false;
    ASSERT(is_sent_by_workers);
}

/* Takes up to `quota` messages of one worker. True when there may be more. */
static bool take_from_worker(struct pump *pump, uint32_t worker_index, uint32_t quota)
{
    struct message message;
    for (uint32_t i = 0; i < quota; i++) {
        if (!worker_receive(pump->config.workers[worker_index], &message)) {
            return false;
        }
        if (message.kind == MESSAGE_MISS) {
            on_miss(pump, worker_index, message.pointer);
        } else {
            message_handle(pump, worker_index, &message);
        }
    }
    return true;
}

bool pump_take_messages(struct pump *pump)
{
    (void)departure_send(pump); /* still waiting: the rest of the turn copes with that */
    answer_held(pump);
    bool has_more = false;
    uint32_t quota = PUMP_BATCH_MAX / pump->config.worker_count;
    for (uint32_t i = 0; i < pump->config.worker_count; i++) {
        has_more |= take_from_worker(pump, i, quota);
    }
    wake_workers(pump);
    return has_more || (pump->held_count > 0 && !pump_is_waiting(pump));
}

void pump_take_changes(struct pump *pump)
{
    if (departure_send(pump)) {
        freshness_begin(pump->config.gate);
        struct generation *generation = catalog_take_changes(pump->config.catalog);
        departure_begin(pump, (struct departure){.generation = generation, .is_round_open = true});
    }
    wake_workers(pump);
}

void pump_send_to_all(struct pump *pump, enum message_kind kind)
{
    ASSERT(kind == MESSAGE_DRAIN || kind == MESSAGE_STOP);
    for (uint32_t i = 0; i < pump->config.worker_count; i++) {
        send_to_worker(pump, i, (struct message){.kind = kind});
    }
    wake_workers(pump);
}

bool pump_has_failed_worker(const struct pump *pump)
{
    return pump->has_failed_worker;
}

uint32_t pump_drained_count(const struct pump *pump)
{
    return (uint32_t)__builtin_popcountll(pump->drained_mask);
}

void pump_take_last(struct pump *pump)
{
    struct message message;
    for (uint32_t i = 0; i < pump->config.worker_count; i++) {
        while (worker_receive(pump->config.workers[i], &message)) {
            if (message.kind != MESSAGE_MISS) {
                message_handle(pump, i, &message);
            }
        }
    }
}

const struct pump_counters *pump_counters(const struct pump *pump)
{
    return &pump->counters;
}

void pump_destroy(struct pump *pump)
{
    if (pump == NULL) {
        return;
    }
    alloc_unmap(pump->held, pump->config.miss_max * sizeof(struct held_miss));
    alloc_free(pump);
}
