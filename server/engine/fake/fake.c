#include "server/engine/fake/fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/check.h"
#include "server/engine/fake/fake_internal.h"
#include "server/engine/fake/script.h"

void *growing_add(struct growing *growing, size_t count, size_t bytes)
{
    if (growing->count + count > growing->capacity) {
        growing->capacity = 2 * (growing->count + count);
        growing->items = realloc(growing->items, growing->capacity * bytes);
        ASSERT(growing->items != NULL);
    }
    void *place = (char *)growing->items + growing->count * bytes;
    growing->count += count;
    return place;
}

static struct fake_operation *operation_at(const struct fake *fake, size_t index)
{
    ASSERT(index < fake->operations.count);
    return (struct fake_operation *)fake->operations.items + index;
}

static void record(struct fake *fake, struct fake_operation operation)
{
    struct fake_operation *place = growing_add(&fake->operations, 1, sizeof(*place));
    *place = operation;
}

struct fake_operation *
fake_find_in_flight(const struct fake *fake, enum engine_op op, struct engine_token token)
{
    for (size_t i = 0; i < fake->operations.count; i++) {
        struct fake_operation *operation = operation_at(fake, i);
        if (operation->is_in_flight && operation->op == op &&
            operation->token.index == token.index &&
            operation->token.generation == token.generation) {
            return operation;
        }
    }
    return NULL;
}

static void start(struct fake *fake, struct fake_operation operation)
{
    /* Reads may overlap; of all else, two of one token could not be told apart. */
    ASSERT(operation.op == ENGINE_READ ||
           fake_find_in_flight(fake, operation.op, operation.token) == NULL);
    operation.is_in_flight = true;
    record(fake, operation);
}

static void start_accept(struct engine *engine, struct engine_token token, int listen_fd)
{
    start(fake_of(engine),
          (struct fake_operation){
              .verb = FAKE_START_ACCEPT, .op = ENGINE_ACCEPT, .token = token, .fd = listen_fd});
}

static void start_receive(struct engine *engine, struct engine_token token, int fd)
{
    start(fake_of(engine),
          (struct fake_operation){
              .verb = FAKE_START_RECEIVE, .op = ENGINE_RECEIVE, .token = token, .fd = fd});
}

static void start_send(struct engine *engine,
                       struct engine_token token,
                       int fd,
                       const void *memory,
                       uint32_t bytes,
                       bool has_more)
{
    ASSERT(bytes > 0);
    start(fake_of(engine), (struct fake_operation){.verb = FAKE_START_SEND,
                                                   .op = ENGINE_SEND,
                                                   .token = token,
                                                   .fd = fd,
                                                   .memory = (uint8_t *)(uintptr_t)memory,
                                                   .bytes = bytes,
                                                   .has_more = has_more});
}

static uint32_t message_bytes(const struct msghdr *message)
{
    size_t bytes = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        bytes += message->msg_iov[i].iov_len;
    }
    return (uint32_t)bytes;
}

static void start_send_message(struct engine *engine,
                               struct engine_token token,
                               int fd,
                               const struct msghdr *message,
                               bool has_more)
{
    ASSERT(message_bytes(message) > 0);
    start(fake_of(engine), (struct fake_operation){.verb = FAKE_START_SEND_MESSAGE,
                                                   .op = ENGINE_SEND,
                                                   .token = token,
                                                   .fd = fd,
                                                   .message = message,
                                                   .bytes = message_bytes(message),
                                                   .has_more = has_more});
}

static void start_read(struct engine *engine,
                       struct engine_token token,
                       struct engine_file file,
                       void *memory,
                       uint32_t bytes,
                       uint64_t offset)
{
    struct fake *fake = fake_of(engine);
    ASSERT(!file.is_slot || file.number < fake->slot_count);
    start(fake, (struct fake_operation){
                    .verb = FAKE_START_READ,
                    .op = ENGINE_READ,
                    .token = token,
                    .file = file,
                    .file_serial = file.is_slot ? fake->slots[file.number].serial : 0,
                    .memory = memory,
                    .bytes = bytes,
                    .offset = offset,
                });
}

static void start_poll(struct engine *engine, struct engine_token token, int fd, uint32_t events)
{
    start(fake_of(engine), (struct fake_operation){.verb = FAKE_START_POLL,
                                                   .op = ENGINE_POLL,
                                                   .token = token,
                                                   .fd = fd,
                                                   .poll_events = events});
}

static void start_watch(struct engine *engine, struct engine_token token, int fd)
{
    start(fake_of(engine),
          (struct fake_operation){
              .verb = FAKE_START_WATCH, .op = ENGINE_WATCH, .token = token, .fd = fd});
}

static void start_timeout(struct engine *engine, struct engine_token token, uint64_t timeout_ns)
{
    ASSERT(timeout_ns > 0);
    start(fake_of(engine), (struct fake_operation){.verb = FAKE_START_TIMEOUT,
                                                   .op = ENGINE_TIMEOUT,
                                                   .token = token,
                                                   .timeout_ns = timeout_ns});
}

static void cancel(struct engine *engine, enum engine_op op, struct engine_token token)
{
    struct fake *fake = fake_of(engine);
    record(fake, (struct fake_operation){.verb = FAKE_CANCEL, .op = op, .token = token});
    if (!fake->are_cancels_held && fake_find_in_flight(fake, op, token) != NULL) {
        fake_end(engine, op, token, -ECANCELED);
    }
}

static void close_fd(struct engine *engine, int fd)
{
    record(fake_of(engine), (struct fake_operation){.verb = FAKE_CLOSE_FD, .fd = fd});
}

void fake_release(struct fake *fake, uint32_t slot, uint32_t serial)
{
    struct growing *queue = fake->are_releases_held ? &fake->held_releases : &fake->events;
    struct engine_event *event = growing_add(queue, 1, sizeof(*event));
    *event = (struct engine_event){.op = ENGINE_FILE_RELEASED,
                                   .token = {.index = slot, .generation = serial},
                                   .buffer_id = ENGINE_BUFFER_NONE};
}

bool fake_is_read(const struct fake *fake, uint32_t slot, uint32_t serial)
{
    for (size_t i = 0; i < fake->operations.count; i++) {
        const struct fake_operation *operation = operation_at(fake, i);
        if (operation->is_in_flight && operation->op == ENGINE_READ && operation->file.is_slot &&
            operation->file.number == slot && operation->file_serial == serial) {
            return true;
        }
    }
    return false;
}

static void put(struct fake *fake, uint32_t slot, int fd, uint32_t serial)
{
    const struct fake_slot old = fake->slots[slot];
    fake->slots[slot] = (struct fake_slot){.fd = fd, .serial = serial};
    if (old.fd >= 0 && !fake_is_read(fake, slot, old.serial)) {
        fake_release(fake, slot, old.serial);
    }
}

static int update_files(struct engine *engine,
                        uint32_t first_slot,
                        const int32_t *fds,
                        const uint32_t *serials,
                        uint32_t count)
{
    struct fake *fake = fake_of(engine);
    ASSERT(first_slot <= fake->slot_count && count <= fake->slot_count - first_slot);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t slot = first_slot + i;
        if (fds[i] == -2) {
            continue;
        }
        ASSERT(fds[i] >= 0 ? serials[i] > 0 && serials[i] <= ENGINE_GENERATION_MASK
                           : serials[i] == 0);
        if (fds[i] >= 0 && slot == fake->failing_slot) {
            fake->failing_slot = UINT32_MAX;
            put(fake, slot, -1, 0);
            return i > 0 ? (int)i : -fake->failing_error;
        }
        put(fake, slot, fds[i], serials[i]);
        record(fake, (struct fake_operation){.verb = FAKE_UPDATE_SLOT,
                                             .token = {.index = slot, .generation = serials[i]},
                                             .fd = fds[i]});
    }
    return (int)count;
}

static void return_buffer(struct engine *engine, uint16_t buffer_id)
{
    struct fake *fake = fake_of(engine);
    ASSERT(buffer_id < fake->buffer_count);
    ASSERT(fake->is_buffer_out[buffer_id]);
    fake->is_buffer_out[buffer_id] = false;
    record(fake, (struct fake_operation){.verb = FAKE_RETURN_BUFFER, .bytes = buffer_id});
}

static int wait_for_events(struct engine *engine, struct engine_event *ret_events, uint32_t max)
{
    struct fake *fake = fake_of(engine);
    ASSERT(max > 0);
    fake->counters.waits++;
    if (fake->event_head == fake->events.count && fake->on_idle != NULL) {
        fake->on_idle(fake->on_idle_context);
    }
    const struct engine_event *events = fake->events.items;
    uint32_t count = 0;
    while (count < max && fake->event_head < fake->events.count) {
        ret_events[count++] = events[fake->event_head++];
    }
    fake->counters.events += count;
    return (int)count;
}

static const struct engine_counters *counters(const struct engine *engine)
{
    return &const_fake_of(engine)->counters;
}

static void destroy(struct engine *engine)
{
    struct fake *fake = fake_of(engine);
    free(fake->operations.items);
    free(fake->events.items);
    free(fake->held_releases.items);
    free(fake->sent_runs.items);
    free(fake->sent_bytes.items);
    free(fake->sent_answer.items);
    free(fake->slots);
    free(fake->buffers);
    free(fake->is_buffer_out);
    free(fake);
}

static const struct engine_verbs fake_verbs = {
    .name = "fake",
    .start_accept = start_accept,
    .start_receive = start_receive,
    .start_send = start_send,
    .start_send_message = start_send_message,
    .start_read = start_read,
    .start_poll = start_poll,
    .start_watch = start_watch,
    .start_timeout = start_timeout,
    .cancel = cancel,
    .close_fd = close_fd,
    .update_files = update_files,
    .return_buffer = return_buffer,
    .wait = wait_for_events,
    .counters = counters,
    .destroy = destroy,
};

static void *allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count + 1, bytes); /* count may be 0 */
    ASSERT(memory != NULL);
    return memory;
}

struct engine *fake_create(const struct engine_config *config)
{
    struct fake *fake = allocate(1, sizeof(*fake));
    fake->engine.verbs = &fake_verbs;
    fake->slot_count = config->slot_count;
    fake->slots = allocate(config->slot_count, sizeof(*fake->slots));
    for (uint32_t i = 0; i < config->slot_count; i++) {
        fake->slots[i].fd = -1;
    }
    fake->buffer_count = config->receive_buffer_count;
    fake->buffer_bytes = config->receive_buffer_bytes;
    fake->buffers = allocate(config->receive_buffer_count, config->receive_buffer_bytes);
    fake->is_buffer_out = allocate(config->receive_buffer_count, sizeof(*fake->is_buffer_out));
    fake->failing_slot = UINT32_MAX;
    return &fake->engine;
}

uint32_t fake_operation_count(const struct engine *engine)
{
    return (uint32_t)const_fake_of(engine)->operations.count;
}

const struct fake_operation *fake_operation(const struct engine *engine, uint32_t operation_index)
{
    return operation_at(const_fake_of(engine), operation_index);
}

uint32_t fake_verb_count(const struct engine *engine, enum fake_verb verb)
{
    const struct fake *fake = const_fake_of(engine);
    uint32_t count = 0;
    for (size_t i = 0; i < fake->operations.count; i++) {
        count += operation_at(fake, i)->verb == verb;
    }
    return count;
}

const struct fake_operation *
fake_find(const struct engine *engine, enum engine_op op, struct engine_token token)
{
    return fake_find_in_flight(const_fake_of(engine), op, token);
}

uint32_t fake_in_flight_count(const struct engine *engine)
{
    const struct fake *fake = const_fake_of(engine);
    uint32_t count = 0;
    for (size_t i = 0; i < fake->operations.count; i++) {
        count += operation_at(fake, i)->is_in_flight;
    }
    return count;
}

uint32_t fake_close_count(const struct engine *engine, int fd)
{
    const struct fake *fake = const_fake_of(engine);
    uint32_t count = 0;
    for (size_t i = 0; i < fake->operations.count; i++) {
        const struct fake_operation *operation = operation_at(fake, i);
        count += operation->verb == FAKE_CLOSE_FD && operation->fd == fd;
    }
    return count;
}

int fake_slot_fd(const struct engine *engine, uint32_t slot)
{
    const struct fake *fake = const_fake_of(engine);
    ASSERT(slot < fake->slot_count);
    return fake->slots[slot].fd;
}

uint32_t fake_buffers_out(const struct engine *engine)
{
    const struct fake *fake = const_fake_of(engine);
    uint32_t count = 0;
    for (uint32_t i = 0; i < fake->buffer_count; i++) {
        count += fake->is_buffer_out[i];
    }
    return count;
}

static bool is_same(struct engine_token a, struct engine_token b)
{
    return a.index == b.index && a.generation == b.generation;
}

struct span fake_sent(struct engine *engine, struct engine_token token)
{
    struct fake *fake = fake_of(engine);
    fake->sent_answer.count = 0;
    const struct sent_run *runs = fake->sent_runs.items;
    for (size_t i = 0; i < fake->sent_runs.count; i++) {
        if (is_same(runs[i].token, token)) {
            memcpy(growing_add(&fake->sent_answer, runs[i].bytes, 1),
                   (const uint8_t *)fake->sent_bytes.items + runs[i].offset, runs[i].bytes);
        }
    }
    return span_of(fake->sent_answer.items, fake->sent_answer.count);
}
