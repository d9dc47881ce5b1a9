#include "server/worker/rotation.h"

#include <errno.h>
#include <sys/random.h>

#include "server/base/check.h"
#include "server/base/log.h"
#include "server/worker/worker_state.h"

/* Updates handed over in one go. */
#define UPDATES_MAX 256

/* Neighbours this close share a call: leaving a slot as it is costs less than another call. */
#define UPDATE_GAP_MAX 4

void rotation_tell_control(struct worker *worker, enum message_kind kind, void *pointer)
{
    struct message message = {.kind = kind, .pointer = pointer};
    /* Sized for every miss, every slot's eviction and release, and all generations. */
    ASSERT(mailbox_send(&worker->to_control, message));
    worker->is_control_owed = true;
}

static void on_evicted(void *context, struct version *version)
{
    struct worker *worker = context;
    counter_add(&worker->counters.evictions, 1);
    rotation_tell_control(worker, MESSAGE_EVICTED, version);
}

static void on_released(void *context, struct version *version)
{
    rotation_tell_control(context, MESSAGE_RELEASED, version);
}

int rotation_init(struct worker *worker)
{
    const struct settings *settings = worker->config.settings;
    struct slot_table_config config = {
        .slot_count = settings->table_slots,
        .is_registered = settings->files == FILES_FIXED,
        .context = worker,
        .on_evicted = on_evicted,
        .on_released = on_released,
    };
    if (getrandom(&config.hash_seed, sizeof(config.hash_seed), 0) != sizeof(config.hash_seed)) {
        return -EIO;
    }
    return slot_table_create(&config, &worker->table);
}

void rotation_deinit(struct worker *worker)
{
    slot_table_destroy(worker->table);
    worker->table = NULL;
}

/* One call for updates[0..count), which lie close together. Returns how many it settled, >= 1. */
static uint32_t update_run(struct worker *worker, const struct slot_update *updates, uint32_t count)
{
    int32_t fds[UPDATES_MAX * (UPDATE_GAP_MAX + 1)];
    uint32_t serials[UPDATES_MAX * (UPDATE_GAP_MAX + 1)];
    uint32_t first_slot = updates[0].slot_index;
    uint32_t slot_count = updates[count - 1].slot_index - first_slot + 1;
    ASSERT(slot_count <= ARRAY_COUNT(fds));
    for (uint32_t i = 0; i < slot_count; i++) {
        fds[i] = -2; /* IORING_REGISTER_FILES_SKIP: as it is */
        serials[i] = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        fds[updates[i].slot_index - first_slot] = updates[i].fd;
        serials[updates[i].slot_index - first_slot] = updates[i].serial;
    }
    int result = engine_update_files(worker->engine, first_slot, fds, serials, slot_count);
    uint32_t done_slots = result < 0 ? 0 : (uint32_t)result;

    uint32_t settled = 0;
    while (settled < count && updates[settled].slot_index - first_slot < done_slots) {
        slot_table_on_updated(worker->table, &updates[settled++], true);
    }
    if (settled < count) { /* this one failed; those behind it were not tried */
        counter_add(&worker->counters.update_failures, 1);
        slot_table_on_updated(worker->table, &updates[settled++], false);
    }
    return settled;
}

static uint32_t run_length(const struct slot_update *updates, uint32_t count)
{
    uint32_t length = 1;
    while (length < count &&
           updates[length].slot_index - updates[length - 1].slot_index <= UPDATE_GAP_MAX + 1) {
        length++;
    }
    return length;
}

void rotation_flush(struct worker *worker)
{
    if (!slot_table_has_updates(worker->table)) {
        return;
    }
    struct slot_update updates[UPDATES_MAX];
    uint32_t count;
    do {
        count = slot_table_take_updates(worker->table, updates, UPDATES_MAX);
        for (uint32_t i = 0; i < count;) {
            i += update_run(worker, &updates[i], run_length(&updates[i], count - i));
        }
    } while (count == UPDATES_MAX);
}

void rotation_on_file_released(struct worker *worker, struct engine_token token)
{
    slot_table_on_tag(worker->table, token.index, token.generation);
}

struct miss *rotation_ask(struct worker *worker, struct span key)
{
    struct miss *miss = miss_list_find(&worker->misses, key);
    if (miss != NULL) {
        counter_add(&worker->counters.misses_coalesced, 1);
        return miss;
    }
    if (miss_list_is_full(&worker->misses)) {
        return NULL;
    }
    miss = miss_list_add(&worker->misses, key);
    counter_add(&worker->counters.misses, 1);
    rotation_tell_control(worker, MESSAGE_MISS, miss);
    return miss;
}

/* The worker was given a version that its map cannot take in, or not any more. */
static void decline_version(struct worker *worker, struct version *version)
{
    rotation_tell_control(worker, MESSAGE_EVICTED, version);
    rotation_tell_control(worker, MESSAGE_RELEASED, version);
}

/*
 * An answer for this key waits for a free slot, and is out of date now. Its version is given back
 * and the loader is asked anew.
 */
static void ask_again_if_waiting(struct worker *worker, struct span key)
{
    struct miss *miss = miss_queue_take(&worker->waiting, key);
    if (miss != NULL) {
        decline_version(worker, miss->version);
        miss->version = NULL;
        rotation_tell_control(worker, MESSAGE_MISS, miss);
    }
}

static void apply_change(struct worker *worker, const struct change *change)
{
    struct span key = change->retired->key;
    ask_again_if_waiting(worker, key);
    uint32_t slot_index = slot_table_find(worker->table, key);
    if (slot_index == SLOT_NONE ||
        slot_table_version(worker->table, slot_index) != change->retired) {
        /* Passed over: EVICTED is on its way already. A second one might reach control after it
         * gave the path anew, and it would leave the worker out of all further changes. */
        if (change->version != NULL) {
            rotation_tell_control(worker, MESSAGE_RELEASED, change->version);
        }
        return;
    }
    if (change->version == NULL) {
        (void)slot_table_retire(worker->table, key); /* there is one */
        return;
    }
    if (slot_table_publish(worker->table, change->version) == SLOT_NONE) {
        /* Every slot is in use: the path is asked for again when it is wanted. */
        counter_add(&worker->counters.table_full, 1);
        decline_version(worker, change->version);
        (void)slot_table_retire(worker->table, key); /* there is one */
    }
}

static void apply_generation(struct worker *worker, struct generation *generation)
{
    uint64_t own_bit = UINT64_C(1) << worker->config.index;
    for (uint32_t i = 0; i < generation->change_count; i++) {
        if ((generation->changes[i].holder_mask & own_bit) != 0) {
            apply_change(worker, &generation->changes[i]);
        }
    }
    rotation_tell_control(worker, MESSAGE_APPLIED, generation);
}

static void resume_parked(struct worker *worker, struct miss *miss)
{
    uint32_t status = miss->status;
    uint32_t index = miss->first_parked;
    uint32_t slot_index = miss->slot_index;
    miss_list_remove(&worker->misses, miss);
    while (index != CONN_NONE) {
        struct conn *conn = &worker->conns[index];
        index = conn->next_parked;
        conn_resume(worker, conn, status);
    }
    if (slot_index != SLOT_NONE) {
        slot_table_release(worker->table, slot_index);
    }
}

/* Until those who wait have it, what was loaded is not evicted for what was loaded next. */
static void keep_slot(struct worker *worker, struct miss *miss, uint32_t slot_index)
{
    if (slot_index != SLOT_NONE) {
        slot_table_acquire(worker->table, slot_index);
        miss->slot_index = slot_index;
    }
}

/*
 * Publishes what was loaded. False: every slot is in use; the answer waits for a free one, behind
 * those that wait already.
 */
static bool publish_loaded(struct worker *worker, struct miss *miss)
{
    uint32_t slot_index = slot_table_publish(worker->table, miss->version);
    if (slot_index == SLOT_NONE) {
        return false;
    }
    miss->version = NULL;
    keep_slot(worker, miss, slot_index);
    return true;
}

/* Messages are taken in their order: what a generation changes may have been loaded just before. */
static void take_loaded(struct worker *worker, const struct message *message)
{
    struct miss *miss = message->pointer;
    miss->version = message->second;
    miss->status = message->number;
    if (miss->status == 200 && miss->version == NULL) { /* the map leads to it already */
        struct span key = span_of(miss->key, miss->key_bytes);
        keep_slot(worker, miss, slot_table_find(worker->table, key));
    }
    bool is_ready =
        miss->version == NULL || (worker->waiting.first == NULL && publish_loaded(worker, miss));
    counter_add(&worker->counters.table_full, !is_ready);
    miss_queue_push(is_ready ? &worker->answered : &worker->waiting, miss);
}

static void take_message(struct worker *worker, const struct message *message)
{
    switch ((enum message_kind)message->kind) {
    case MESSAGE_LOADED:
        take_loaded(worker, message);
        return;
    case MESSAGE_GENERATION:
        apply_generation(worker, message->pointer);
        return;
    case MESSAGE_DRAIN:
        worker->is_draining = true;
        return;
    case MESSAGE_STOP:
        worker->is_stopping = true;
        return;
    case MESSAGE_MISS:
    case MESSAGE_APPLIED:
    case MESSAGE_EVICTED:
    case MESSAGE_RELEASED:
    case MESSAGE_DRAINED:
    case MESSAGE_FAILED:
        break;
    }
    ASSERT(false); /* these go the other way */
}

static void resume_answered(struct worker *worker)
{
    rotation_flush(worker);
    struct miss *miss;
    while ((miss = miss_queue_pop(&worker->answered)) != NULL) {
        resume_parked(worker, miss);
    }
}

/* The first of those that wait for a slot. False: none waits, or no slot has become free. */
static bool publish_first_waiting(struct worker *worker)
{
    struct miss *miss = worker->waiting.first;
    if (miss == NULL) {
        return false;
    }
    if (miss->first_parked == CONN_NONE) { /* whoever waited has left: not worth a slot */
        decline_version(worker, miss->version);
        miss->version = NULL;
    } else if (!publish_loaded(worker, miss)) {
        return false;
    }
    miss_queue_push(&worker->answered, miss_queue_pop(&worker->waiting));
    return true;
}

void rotation_settle(struct worker *worker)
{
    do {
        resume_answered(worker);
    } while (publish_first_waiting(worker));
}

void rotation_take_messages(struct worker *worker)
{
    struct message message;
    while (mailbox_receive(&worker->to_worker, &message)) {
        take_message(worker, &message);
    }
    rotation_settle(worker);
}
