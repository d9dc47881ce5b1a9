/*
 * The inside of the fake engine, for its own files.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/check.h"
#include "server/engine/engine.h"
#include "server/engine/fake/fake.h"

/* An array that grows; the fake may allocate even where the worker may not. */
struct growing {
    void *items;
    size_t count;
    size_t capacity;
};

struct fake_slot {
    int fd; /* -1: empty */
    uint32_t serial;
};

/* Bytes that a completed send carried. */
struct sent_run {
    struct engine_token token;
    size_t offset; /* in sent_bytes */
    size_t bytes;
};

struct fake {
    struct engine engine;      /* first: the verbs */
    struct growing operations; /* struct fake_operation */
    struct growing events;     /* struct engine_event; those before event_head are handed out */
    size_t event_head;
    struct growing held_releases; /* struct engine_event */
    struct growing sent_runs;     /* struct sent_run */
    struct growing sent_bytes;    /* uint8_t */
    struct growing sent_answer;   /* uint8_t: what fake_sent() gave last */
    struct fake_slot *slots;
    uint32_t slot_count;
    uint8_t *buffers;
    bool *is_buffer_out;
    uint32_t buffer_count;
    uint32_t buffer_bytes;
    uint32_t failing_slot; /* UINT32_MAX: none */
    int failing_error;
    bool are_releases_held;
    bool are_cancels_held;
    void (*on_idle)(void *context);
    void *on_idle_context;
    struct engine_counters counters;
};

static inline struct fake *fake_of(struct engine *engine)
{
    return container_of(engine, struct fake, engine);
}

static inline const struct fake *const_fake_of(const struct engine *engine)
{
    return (const struct fake *)engine;
}

/** Room for `count` more items of `bytes` each; returns where. */
void *growing_add(struct growing *growing, size_t count, size_t bytes);

/** The oldest operation in flight of this kind and token, or NULL. */
struct fake_operation *
fake_find_in_flight(const struct fake *fake, enum engine_op op, struct engine_token token);

/** Whether a read of what was put into `slot` with `serial` is in flight. */
bool fake_is_read(const struct fake *fake, uint32_t slot, uint32_t serial);

/** Reports a release, or keeps it while they are held. */
void fake_release(struct fake *fake, uint32_t slot, uint32_t serial);
