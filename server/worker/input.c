#include "server/worker/input.h"

#include "server/base/check.h"

struct overflow {
    struct overflow *next;
    uint32_t offset;
    uint32_t end; /* exclusive */
    uint8_t bytes[];
};

static uint32_t room_behind(const struct input *input, const struct input_store *store)
{
    return (uint32_t)store->buffers->buffer_bytes - input->end;
}

/* Moves what is held to the front of its buffer. */
static void compact(struct input *input)
{
    struct span held = input_front(input);
    memmove(input->buffer, held.ptr, held.bytes);
    input->offset = 0;
    input->end = (uint32_t)held.bytes;
}

static bool add_overflow(struct input *input, struct input_store *store)
{
    if (store->overflow_count == INPUT_OVERFLOW_MAX) {
        return false;
    }
    store->overflow_count++;
    struct overflow *overflow = (void *)buffer_pool_take(store->buffers);
    *overflow = (struct overflow){0};
    if (input->first == NULL) {
        input->first = overflow;
    } else {
        input->last->next = overflow;
    }
    input->last = overflow;
    return true;
}

static void drop_first_overflow(struct input *input, struct input_store *store)
{
    struct overflow *overflow = input->first;
    input->first = overflow->next;
    buffer_pool_give(store->buffers, (uint8_t *)overflow);
    store->overflow_count--;
}

static bool hold_in_overflow(struct input *input, struct input_store *store, struct span data)
{
    const size_t overflow_bytes = store->buffers->buffer_bytes - sizeof(struct overflow);
    if (input->first == NULL || data.bytes > overflow_bytes - input->last->end) {
        ASSERT(data.bytes <= overflow_bytes);
        if (!add_overflow(input, store)) {
            return false;
        }
    }
    memcpy(input->last->bytes + input->last->end, data.ptr, data.bytes);
    input->last->end += (uint32_t)data.bytes;
    return true;
}

bool input_hold(struct input *input, struct input_store *store, struct span data)
{
    if (data.bytes == 0) {
        return true;
    }
    if (input->buffer == NULL) {
        input->buffer = buffer_pool_take(store->buffers);
    }
    if (data.bytes > room_behind(input, store) && input->offset > 0) {
        compact(input);
    }
    if (input->first != NULL || data.bytes > room_behind(input, store)) {
        return hold_in_overflow(input, store, data);
    }
    memcpy(input->buffer + input->end, data.ptr, data.bytes);
    input->end += (uint32_t)data.bytes;
    return true;
}

/* Brings the overflow forward as far as there is room. */
static void refill(struct input *input, struct input_store *store)
{
    compact(input);
    while (input->first != NULL) {
        struct overflow *overflow = input->first;
        uint32_t bytes = overflow->end - overflow->offset;
        if (bytes > room_behind(input, store)) {
            bytes = room_behind(input, store);
        }
        memcpy(input->buffer + input->end, overflow->bytes + overflow->offset, bytes);
        input->end += bytes;
        overflow->offset += bytes;
        if (overflow->offset < overflow->end) {
            return;
        }
        drop_first_overflow(input, store);
    }
}

void input_consume(struct input *input, struct input_store *store, size_t bytes)
{
    input->offset += (uint32_t)bytes;
    if (input->first != NULL && input_front(input).bytes < store->buffers->buffer_bytes / 2) {
        refill(input, store);
    }
    if (input_is_empty(input)) {
        input_reset(input, store);
    }
}

void input_reset(struct input *input, struct input_store *store)
{
    while (input->first != NULL) {
        drop_first_overflow(input, store);
    }
    if (input->buffer != NULL) {
        buffer_pool_give(store->buffers, input->buffer);
    }
    *input = (struct input){0};
}
