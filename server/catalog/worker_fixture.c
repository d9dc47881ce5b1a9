#include "server/catalog/worker_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "server/base/check.h"

struct sim *sim_create(void)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    ASSERT(sim != NULL);
    tree_create(&sim->tree);
    test_clock_init(&sim->clock);
    return sim;
}

static void on_drained(void *context, uint64_t generation_id, uint64_t drain_ns)
{
    struct sim *sim = context;
    (void)drain_ns;
    ASSERT(generation_id >= 1 && generation_id <= catalog_counters(sim->catalog)->generation);
    sim->drained_count++;
}

int sim_try_start(struct sim *sim, const struct sim_options *options)
{
    char root[TREE_PATH_MAX];
    const char *what = NULL;
    const struct catalog_config config = {
        .root_path = tree_path(&sim->tree, options->root != NULL ? options->root : "root", root),
        .index_name = "index.html",
        .memory_body_bytes = options->memory_body_bytes,
        .memory_total_bytes = options->memory_total_bytes,
        .clock = &sim->clock.clock,
    };
    sim->fds_before = tree_open_fds();
    const int rc = catalog_create(&config, &sim->catalog, &what);
    if (rc != 0) {
        ASSERT(what != NULL);
        ASSERT(sim->catalog == NULL);
        return rc;
    }
    catalog_set_drained(sim->catalog, on_drained, sim);
    return 0;
}

void sim_start(struct sim *sim, const struct sim_options *options)
{
    ASSERT(sim_try_start(sim, options) == 0);
}

void sim_let_poll(struct sim *sim)
{
    sim->clock.now_ns += CATALOG_POLL_MS * NS_PER_MS;
}

static void send(struct sim_mailbox *mailbox, struct sim_message message)
{
    ASSERT(mailbox->tail - mailbox->head < SIM_MAILBOX_MAX);
    mailbox->messages[mailbox->tail++ % SIM_MAILBOX_MAX] = message;
}

static bool receive(struct sim_mailbox *mailbox, struct sim_message *ret_message)
{
    if (mailbox->head == mailbox->tail) {
        return false;
    }
    *ret_message = mailbox->messages[mailbox->head++ % SIM_MAILBOX_MAX];
    return true;
}

static void hold(struct sim_worker *worker, struct version *version, bool is_mapped)
{
    ASSERT(worker->held_count < SIM_HELD_MAX);
    struct sim_held *held = &worker->held[worker->held_count++];
    *held = (struct sim_held){
        .version = version, .size_bytes = version->identity.size_bytes, .is_mapped = is_mapped};
    ASSERT(version->key.bytes < sizeof(held->key));
    memcpy(held->key, version->key.ptr, version->key.bytes);
    memcpy(held->etag, version->etag.ptr, version->etag.bytes);
    if (version->body != NULL) {
        held->body_hash = XXH3_64bits(version->body, version->identity.size_bytes);
    }
}

static uint32_t find_mapped(const struct sim_worker *worker, struct span key)
{
    for (uint32_t i = 0; i < worker->held_count; i++) {
        if (worker->held[i].is_mapped && span_equal(span_of_string(worker->held[i].key), key)) {
            return i;
        }
    }
    return UINT32_MAX;
}

void sim_release(struct sim *sim, uint32_t worker_index, uint32_t held_index)
{
    struct sim_worker *worker = &sim->workers[worker_index];
    ASSERT(!worker->held[held_index].is_mapped);
    send(&worker->to_control,
         (struct sim_message){.kind = SIM_RELEASED, .version = worker->held[held_index].version});
    worker->held[held_index] = worker->held[--worker->held_count];
}

void sim_evict(struct sim *sim, uint32_t worker_index, uint32_t held_index)
{
    struct sim_worker *worker = &sim->workers[worker_index];
    struct sim_held *held = &worker->held[held_index];
    ASSERT(held->is_mapped);
    held->is_mapped = false;
    send(&worker->to_control, (struct sim_message){.kind = SIM_EVICTED, .version = held->version});
}

/* The map takes a version it was given, or, full, gives it up at once. */
static void publish(struct sim_worker *worker, struct version *version)
{
    ASSERT(find_mapped(worker, version->key) == UINT32_MAX);
    hold(worker, version, !worker->cannot_publish);
    if (worker->cannot_publish) {
        send(&worker->to_control, (struct sim_message){.kind = SIM_EVICTED, .version = version});
    }
}

static void apply_change(struct sim_worker *worker, const struct change *change)
{
    const uint32_t index = find_mapped(worker, change->retired->key);
    if (index == UINT32_MAX || worker->held[index].version != change->retired) {
        if (change->version != NULL) {
            hold(worker, change->version, false); /* passed over: only to be released */
        }
        return;
    }
    worker->held[index].is_mapped = false;
    if (change->version != NULL) {
        publish(worker, change->version);
    }
}

static void apply(struct sim_worker *worker, uint32_t worker_index, struct generation *generation)
{
    for (uint32_t i = 0; i < generation->change_count; i++) {
        if ((generation->changes[i].holder_mask >> worker_index & 1) != 0) {
            apply_change(worker, &generation->changes[i]);
        }
    }
    send(&worker->to_control, (struct sim_message){.kind = SIM_APPLIED, .generation = generation});
}

bool sim_deliver_to_worker(struct sim *sim, uint32_t worker_index)
{
    struct sim_worker *worker = &sim->workers[worker_index];
    struct sim_message message;
    if (!receive(&worker->to_worker, &message)) {
        return false;
    }
    if (message.kind == SIM_GENERATION) {
        apply(worker, worker_index, message.generation);
        return true;
    }
    ASSERT(message.kind == SIM_LOADED);
    ASSERT(worker->missing > 0);
    worker->missing--;
    worker->last_status = message.status;
    ASSERT(message.version == NULL || message.status == 200);
    if (message.version != NULL) {
        publish(worker, message.version);
    } else if (message.status == 200 &&
               find_mapped(worker, span_of_string(message.key)) == UINT32_MAX) {
        sim_ask(sim, worker_index, span_of_string(message.key)); /* evicted meanwhile */
    }
    free(message.key);
    return true;
}

static void send_generation(struct sim *sim, struct generation *generation)
{
    sim->change_count += generation->change_count;
    for (uint32_t i = 0; i < SIM_WORKERS; i++) {
        if ((generation->holder_mask >> i & 1) != 0) {
            send(&sim->workers[i].to_worker,
                 (struct sim_message){.kind = SIM_GENERATION, .generation = generation});
        }
    }
}

uint32_t sim_take(struct sim *sim)
{
    struct generation *generation = catalog_take_changes(sim->catalog);
    if (generation == NULL) {
        return 0;
    }
    const uint32_t change_count = generation->change_count;
    ASSERT(change_count > 0);
    send_generation(sim, generation);
    return change_count;
}

static void load(struct sim *sim, uint32_t worker_index, char *key)
{
    struct generation *generation = NULL;
    const struct catalog_answer answer =
        catalog_load(sim->catalog, worker_index, span_of_string(key), &generation);
    if (generation != NULL) {
        ASSERT(generation->change_count == 1);
        send_generation(sim, generation);
    }
    send(&sim->workers[worker_index].to_worker,
         (struct sim_message){
             .kind = SIM_LOADED, .status = answer.status, .version = answer.version, .key = key});
}

bool sim_deliver_to_control(struct sim *sim, uint32_t worker_index)
{
    struct sim_message message;
    if (!receive(&sim->workers[worker_index].to_control, &message)) {
        return false;
    }
    switch (message.kind) {
    case SIM_MISS:
        load(sim, worker_index, message.key);
        break;
    case SIM_APPLIED:
        catalog_on_applied(sim->catalog, message.generation);
        break;
    case SIM_EVICTED:
        catalog_on_evicted(sim->catalog, worker_index, message.version);
        break;
    case SIM_RELEASED:
        catalog_on_released(sim->catalog, message.version);
        break;
    case SIM_LOADED:
    case SIM_GENERATION:
        ASSERT(false);
    }
    return true;
}

void sim_ask(struct sim *sim, uint32_t worker_index, struct span key)
{
    struct sim_worker *worker = &sim->workers[worker_index];
    char *copy = calloc(1, key.bytes + 1);
    ASSERT(copy != NULL);
    if (key.bytes > 0) {
        memcpy(copy, key.ptr, key.bytes);
    }
    send(&worker->to_control, (struct sim_message){.kind = SIM_MISS, .key = copy});
    worker->missing++;
}

static void release_unmapped(struct sim *sim, uint32_t worker_index)
{
    struct sim_worker *worker = &sim->workers[worker_index];
    for (uint32_t i = worker->held_count; i > 0; i--) {
        if (!worker->held[i - 1].is_mapped) {
            sim_release(sim, worker_index, i - 1);
        }
    }
}

void sim_settle(struct sim *sim)
{
    bool has_more = true;
    while (has_more) {
        has_more = false;
        for (uint32_t i = 0; i < SIM_WORKERS; i++) {
            has_more = sim_deliver_to_worker(sim, i) || has_more;
            release_unmapped(sim, i);
            has_more = sim_deliver_to_control(sim, i) || has_more;
        }
    }
    sim_check(sim);
}

const struct version *sim_mapped(const struct sim *sim, uint32_t worker_index, struct span key)
{
    const struct sim_worker *worker = &sim->workers[worker_index];
    const uint32_t index = find_mapped(worker, key);
    return index == UINT32_MAX ? NULL : worker->held[index].version;
}

uint32_t sim_status(struct sim *sim, uint32_t worker_index, const char *key)
{
    sim_ask(sim, worker_index, span_of_string(key));
    sim_settle(sim);
    return sim->workers[worker_index].last_status;
}

size_t sim_body(const struct version *version, char *buffer, size_t buffer_bytes)
{
    const uint64_t size = version->identity.size_bytes;
    const size_t want = size < buffer_bytes ? (size_t)size : buffer_bytes;
    if (version->body != NULL) {
        ASSERT(version->fd == -1);
        memcpy(buffer, version->body, want);
        return want;
    }
    ASSERT(version->fd >= 0);
    const ssize_t got = pread(version->fd, buffer, want, 0);
    ASSERT(got >= 0);
    return (size_t)got;
}

bool sim_serves(const struct sim *sim, uint32_t worker_index, const char *key, const char *body)
{
    char buffer[4096];
    const struct version *version = sim_mapped(sim, worker_index, span_of_string(key));
    if (version == NULL) {
        return false;
    }
    const size_t bytes = sim_body(version, buffer, sizeof(buffer));
    return span_equal(span_of(buffer, bytes), span_of_string(body));
}

static void check_held(const struct sim_held *held)
{
    const struct version *version = held->version;
    ASSERT(span_equal(version->key, span_of_string(held->key)));
    ASSERT(span_equal(version->etag, span_of_string(held->etag)));
    ASSERT(version->identity.size_bytes == held->size_bytes);
    ASSERT(version->body == NULL || version->fd == -1);
    ASSERT(version->body == NULL || held->size_bytes > 4096 ||
           held->body_hash == XXH3_64bits(version->body, held->size_bytes));
    ASSERT(version->reference_count > 0);
}

void sim_check(const struct sim *sim)
{
    for (uint32_t w = 0; w < SIM_WORKERS; w++) {
        const struct sim_worker *worker = &sim->workers[w];
        for (uint32_t i = 0; i < worker->held_count; i++) {
            check_held(&worker->held[i]);
        }
    }
}

void sim_stop(struct sim *sim)
{
    sim_settle(sim);
    for (uint32_t w = 0; w < SIM_WORKERS; w++) {
        for (uint32_t i = 0; i < sim->workers[w].held_count; i++) {
            if (sim->workers[w].held[i].is_mapped) {
                sim_evict(sim, w, i);
            }
        }
    }
    sim_settle(sim);
    const struct catalog_counters *counters = catalog_counters(sim->catalog);
    for (uint32_t w = 0; w < SIM_WORKERS; w++) {
        ASSERT(sim->workers[w].held_count == 0);
    }
    ASSERT(counters->versions_live == 0);
    ASSERT(counters->open_files == 0);
    ASSERT(counters->memory_bytes == 0);
    ASSERT(counters->unwatched == 0);
    ASSERT(counters->versions_released == counters->versions_retired);
    ASSERT(counters->generations_draining == 0);
    ASSERT(counters->generations_drained == counters->generation);
    ASSERT(sim->drained_count == counters->generation);
    ASSERT(!catalog_wants_poll(sim->catalog));
    catalog_destroy(sim->catalog);
    sim->catalog = NULL;
    ASSERT(tree_open_fds() == sim->fds_before);
}

void sim_destroy(struct sim *sim)
{
    tree_remove(&sim->tree);
    free(sim);
}
