/*
 * What a connection has received and not yet consumed: one buffer that keeps it contiguous, and,
 * for a client that sends much more than is being answered, a chain of overflow buffers behind it.
 *
 * A repeating receive cannot be told how much to bring: one entry into the kernel may fill every
 * receive buffer there is for one connection before its cancellation is seen. The overflow holds
 * what comes until then; its buffers are few, shared by a worker's connections, and the limit is
 * counted where it is hit.
 *
 * Owned by one worker.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/worker/buffer_pool.h"

/* Overflow buffers of a worker: several times what one entry into the kernel can bring. */
#define INPUT_OVERFLOW_MAX 64

struct overflow;

struct input {
    uint8_t *buffer; /* from the pool, or NULL while empty */
    uint32_t offset;
    uint32_t end; /* exclusive */
    struct overflow *first;
    struct overflow *last;
};

/* Where inputs take their buffers: the pool has INPUT_OVERFLOW_MAX more than others need. */
struct input_store {
    struct buffer_pool *buffers;
    uint32_t overflow_count; /* in use */
};

/** The bytes at the front, contiguous: all of them but for what is in the overflow. */
static inline struct span input_front(const struct input *input)
{
    if (input->buffer == NULL) {
        return (struct span){0}; /* not even 0 may be added to NULL */
    }
    return span_of(input->buffer + input->offset, input->end - input->offset);
}

static inline bool input_is_empty(const struct input *input)
{
    return input->offset == input->end;
}

/** Copies `data` behind what is held. False: no room anywhere; nothing was taken. O(data.bytes). */
[[gnu::warn_unused_result]] bool
input_hold(struct input *input, struct input_store *store, struct span data);

/** The first `bytes` (0..input_front().bytes) are done with; an empty input keeps no buffer. */
void input_consume(struct input *input, struct input_store *store, size_t bytes);

/** Forgets everything. */
void input_reset(struct input *input, struct input_store *store);
