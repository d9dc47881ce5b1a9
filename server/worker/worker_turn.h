/*
 * The steps of a worker's thread, so that a test can take them one at a time on its own thread.
 * Private to server/worker; worker.c puts them together.
 */
#pragma once

#include <stdint.h>

#include "server/engine/engine.h"

struct worker;

/**
 * Makes the worker's engine and starts to accept.
 *
 * returns   0, or -errno with worker->start_what
 */
[[gnu::warn_unused_result]] int worker_start_engine(struct worker *worker);

/** One turn: what engine_wait() brought, and what control has sent. Allocates nothing. */
void worker_turn(struct worker *worker, const struct engine_event *events, uint32_t event_count);

/** Cuts off what is under way: destroys the engine and closes the connections. */
void worker_stop_engine(struct worker *worker);
