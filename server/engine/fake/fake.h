/*
 * An engine without a kernel, for tests of the worker: it records what was started, and hands out
 * the events that the test scripts (script.h). It behaves as io_uring does where a worker could
 * tell: a slot that is cleared is reported released only after the reads on it, a failed update
 * empties the slot, a receive without a free buffer ends with -ENOBUFS, a cancelled operation ends
 * with -ECANCELED. Misuse that the kernel would punish later (a buffer returned twice, two sends of
 * one token in flight) fails an ASSERT at once.
 *
 * Tests only; one thread. Descriptors are only numbers to it: none is used or closed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/engine/engine.h"

/* What was asked of the engine. */
enum fake_verb {
    FAKE_START_ACCEPT,
    FAKE_START_RECEIVE,
    FAKE_START_SEND,
    FAKE_START_SEND_MESSAGE,
    FAKE_START_READ,
    FAKE_START_POLL,
    FAKE_START_WATCH,
    FAKE_START_TIMEOUT,
    FAKE_CANCEL,
    FAKE_CLOSE_FD,
    FAKE_UPDATE_SLOT, /* one for each slot of an update that was not skipped */
    FAKE_RETURN_BUFFER,
};

struct fake_operation {
    enum fake_verb verb;
    enum engine_op op;            /* of what was started, or is to be cancelled */
    struct engine_token token;    /* the same; FAKE_UPDATE_SLOT: slot and serial */
    bool is_in_flight;            /* its last event has not been scripted */
    int fd;                       /* the descriptor; FAKE_UPDATE_SLOT: what was put, or -1 */
    struct engine_file file;      /* FAKE_START_READ */
    uint32_t file_serial;         /* FAKE_START_READ on a slot: what was in it when started */
    uint8_t *memory;              /* FAKE_START_READ: where to; FAKE_START_SEND: what */
    const struct msghdr *message; /* FAKE_START_SEND_MESSAGE */
    uint32_t bytes;               /* of a send or read; FAKE_RETURN_BUFFER: the buffer's id */
    uint64_t offset;              /* FAKE_START_READ */
    uint64_t timeout_ns;          /* FAKE_START_TIMEOUT */
    uint32_t poll_events;         /* FAKE_START_POLL */
    bool has_more;                /* of a send: MSG_MORE */
};

/**
 * Creates a fake with the slots and buffers of `config`.
 *
 * returns   destroy with engine_destroy(); never NULL
 */
struct engine *fake_create(const struct engine_config *config);

/* What was done. */

uint32_t fake_operation_count(const struct engine *engine);

/** The n-th thing asked of the engine, 0 the first. The pointer lives until the next one. */
const struct fake_operation *fake_operation(const struct engine *engine, uint32_t operation_index);

/** How often a verb was used. */
uint32_t fake_verb_count(const struct engine *engine, enum fake_verb verb);

/** The oldest operation in flight of this kind and token, or NULL. */
const struct fake_operation *
fake_find(const struct engine *engine, enum engine_op op, struct engine_token token);

/** Operations in flight, of all kinds. */
uint32_t fake_in_flight_count(const struct engine *engine);

/** How often `fd` was closed. */
uint32_t fake_close_count(const struct engine *engine, int fd);

/** The descriptor in a slot, or -1. */
int fake_slot_fd(const struct engine *engine, uint32_t slot);

/** Receive buffers handed out and not yet returned. */
uint32_t fake_buffers_out(const struct engine *engine);

/** All that completed sends of this token have carried. Lives until the next call of the fake. */
struct span fake_sent(struct engine *engine, struct engine_token token);
