/*
 * What a test makes the fake engine say. Each function queues an event; the operation that it is
 * for must be in flight (an ASSERT), so that no script completes what was never started.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/engine/fake/fake.h"

/** A connection; the accept goes on. */
void fake_accept(struct engine *engine, struct engine_token token, int fd);

/** Bytes arrive; the receive goes on, or ends with -ENOBUFS when no buffer is free. */
void fake_receive(struct engine *engine, struct engine_token token, struct span bytes);

/** All of a send is done. */
void fake_send_all(struct engine *engine, struct engine_token token);

/** A read ends with these bytes, at most as many as it asked for. */
void fake_read(struct engine *engine, struct engine_token token, struct span bytes);

/** A watched descriptor became readable; the watch goes on. */
void fake_watch(struct engine *engine, struct engine_token token);

/** Any operation ends with `result`: an error, an end of stream, a short send, a timeout (0). */
void fake_end(struct engine *engine, enum engine_op op, struct engine_token token, int32_t result);

/** Any event at all, for nothing that was started: a stale one. */
void fake_push(struct engine *engine, struct engine_event event);

/** The update that next puts something into `slot` fails there with `error` (> 0). */
void fake_fail_update(struct engine *engine, uint32_t slot, int error);

/** While held, no release is reported; then all that are due at once. */
void fake_hold_releases(struct engine *engine, bool is_held);

/** While held, a cancel is recorded and ends nothing: the test says what won. */
void fake_hold_cancels(struct engine *engine, bool is_held);

/** Called by a wait that has no event to hand out; may script some. Without it, wait returns 0. */
void fake_on_idle(struct engine *engine, void (*on_idle)(void *context), void *context);
