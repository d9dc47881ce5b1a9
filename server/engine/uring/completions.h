/*
 * The way back: from completions to events, and the end of all that is in flight.
 */
#pragma once

#include <stdint.h>

#include "server/engine/uring/uring_internal.h"

/**
 * Takes completions off the queue in one pass.
 *
 * ret_taken   completions taken; more than events were written where some were nobody's
 * returns     events written, 0..event_max
 */
uint32_t completions_take(struct uring *uring,
                          struct engine_event *ret_events,
                          uint32_t event_max,
                          uint32_t *ret_taken);

/** The verb `wait`: submits, waits for a completion if none is there, takes what is. */
[[gnu::warn_unused_result]] int
completions_wait(struct engine *engine, struct engine_event *ret_events, uint32_t event_max);

/** Cancels what is in flight and waits until nothing is; closes connections accepted meanwhile. */
void completions_drain(struct uring *uring);
