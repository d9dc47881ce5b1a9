#include "server/engine/fake/script.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "server/base/check.h"
#include "server/engine/fake/fake_internal.h"

/* The bytes as they are in memory when the send ends: the caller had to keep them till then. */
static void collect_sent(struct fake *fake, const struct fake_operation *operation, size_t bytes)
{
    ASSERT(bytes <= operation->bytes);
    struct sent_run *run = growing_add(&fake->sent_runs, 1, sizeof(*run));
    *run = (struct sent_run){
        .token = operation->token, .offset = fake->sent_bytes.count, .bytes = bytes};
    uint8_t *place = growing_add(&fake->sent_bytes, bytes, 1);
    if (operation->message == NULL) {
        memcpy(place, operation->memory, bytes);
        return;
    }
    for (size_t i = 0; bytes > 0; i++) {
        const struct iovec *part = &operation->message->msg_iov[i];
        const size_t part_bytes = part->iov_len < bytes ? part->iov_len : bytes;
        memcpy(place, part->iov_base, part_bytes);
        place += part_bytes;
        bytes -= part_bytes;
    }
}

static struct fake_operation *
must_find(const struct fake *fake, enum engine_op op, struct engine_token token)
{
    struct fake_operation *operation = fake_find_in_flight(fake, op, token);
    ASSERT(operation != NULL); /* the script completes what was never started */
    return operation;
}

void fake_push(struct engine *engine, struct engine_event event)
{
    struct engine_event *place = growing_add(&fake_of(engine)->events, 1, sizeof(*place));
    *place = event;
}

void fake_accept(struct engine *engine, struct engine_token token, int fd)
{
    (void)must_find(fake_of(engine), ENGINE_ACCEPT, token); /* asserts */
    fake_push(engine, (struct engine_event){.op = ENGINE_ACCEPT,
                                            .token = token,
                                            .result = fd,
                                            .has_more = true,
                                            .buffer_id = ENGINE_BUFFER_NONE});
}

void fake_receive(struct engine *engine, struct engine_token token, struct span bytes)
{
    struct fake *fake = fake_of(engine);
    (void)must_find(fake, ENGINE_RECEIVE, token); /* asserts */
    ASSERT(bytes.bytes > 0 && bytes.bytes <= fake->buffer_bytes);
    uint32_t id = 0;
    while (id < fake->buffer_count && fake->is_buffer_out[id]) {
        id++;
    }
    if (id == fake->buffer_count) {
        fake->counters.buffer_shortages++;
        fake_end(engine, ENGINE_RECEIVE, token, -ENOBUFS);
        return;
    }
    uint8_t *buffer = fake->buffers + (size_t)id * fake->buffer_bytes;
    memcpy(buffer, bytes.ptr, bytes.bytes);
    fake->is_buffer_out[id] = true;
    fake_push(engine, (struct engine_event){.op = ENGINE_RECEIVE,
                                            .token = token,
                                            .result = (int32_t)bytes.bytes,
                                            .has_more = true,
                                            .buffer_id = (uint16_t)id,
                                            .data = buffer});
}

void fake_send_all(struct engine *engine, struct engine_token token)
{
    const struct fake_operation *operation = must_find(fake_of(engine), ENGINE_SEND, token);
    fake_end(engine, ENGINE_SEND, token, (int32_t)operation->bytes);
}

void fake_read(struct engine *engine, struct engine_token token, struct span bytes)
{
    const struct fake_operation *operation = must_find(fake_of(engine), ENGINE_READ, token);
    ASSERT(bytes.bytes <= operation->bytes);
    if (bytes.bytes > 0) {
        memcpy(operation->memory, bytes.ptr, bytes.bytes);
    }
    fake_end(engine, ENGINE_READ, token, (int32_t)bytes.bytes);
}

void fake_watch(struct engine *engine, struct engine_token token)
{
    (void)must_find(fake_of(engine), ENGINE_WATCH, token); /* asserts */
    fake_push(engine, (struct engine_event){.op = ENGINE_WATCH,
                                            .token = token,
                                            .result = POLLIN,
                                            .has_more = true,
                                            .buffer_id = ENGINE_BUFFER_NONE});
}

void fake_end(struct engine *engine, enum engine_op op, struct engine_token token, int32_t result)
{
    struct fake *fake = fake_of(engine);
    struct fake_operation *operation = must_find(fake, op, token);
    operation->is_in_flight = false;
    if (op == ENGINE_SEND && result > 0) {
        collect_sent(fake, operation, (size_t)result);
    }
    fake_push(engine,
              (struct engine_event){
                  .op = op, .token = token, .result = result, .buffer_id = ENGINE_BUFFER_NONE});
    const struct engine_file file = operation->file;
    if (op == ENGINE_READ && file.is_slot && operation->file_serial != 0 &&
        fake->slots[file.number].serial != operation->file_serial &&
        !fake_is_read(fake, file.number, operation->file_serial)) {
        fake_release(fake, file.number, operation->file_serial);
    }
}

void fake_fail_update(struct engine *engine, uint32_t slot, int error)
{
    struct fake *fake = fake_of(engine);
    ASSERT(slot < fake->slot_count && error > 0);
    fake->failing_slot = slot;
    fake->failing_error = error;
}

void fake_hold_releases(struct engine *engine, bool is_held)
{
    struct fake *fake = fake_of(engine);
    fake->are_releases_held = is_held;
    if (is_held) {
        return;
    }
    const struct engine_event *events = fake->held_releases.items;
    for (size_t i = 0; i < fake->held_releases.count; i++) {
        fake_push(engine, events[i]);
    }
    fake->held_releases.count = 0;
}

void fake_hold_cancels(struct engine *engine, bool is_held)
{
    fake_of(engine)->are_cancels_held = is_held;
}

void fake_on_idle(struct engine *engine, void (*on_idle)(void *context), void *context)
{
    struct fake *fake = fake_of(engine);
    fake->on_idle = on_idle;
    fake->on_idle_context = context;
}
