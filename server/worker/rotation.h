/*
 * The table turning: takes in what control sends (loaded versions, generations), hands the table's
 * changes to the kernel in batches, and tells control what was evicted and released.
 *
 * Worker's thread only.
 */
#pragma once

#include <stdint.h>

#include "server/engine/engine.h"
#include "server/table/generation.h"

struct worker;

/** returns   0 or -errno */
[[gnu::warn_unused_result]] int rotation_init(struct worker *worker);
void rotation_deinit(struct worker *worker);

/**
 * Takes every message that control has sent, publishes, hands the changes to the kernel, and then
 * lets the connections go on that waited. Once a turn, before any request is answered.
 */
void rotation_take_messages(struct worker *worker);

/** Lets go on those whose answers are here, and those that wait for slots that became free. */
void rotation_settle(struct worker *worker);

/** Hands the table's queued changes to the kernel. */
void rotation_flush(struct worker *worker);

/** The kernel dropped a file (law L5). */
void rotation_on_file_released(struct worker *worker, struct engine_token token);

/**
 * Asks the loader for `key`, or joins those who did; the caller parks a connection at the miss.
 *
 * returns   NULL when as many questions are under way as there are places for
 */
struct miss *rotation_ask(struct worker *worker, struct span key);

/** Sends one message to control; it is woken at the end of the turn. */
void rotation_tell_control(struct worker *worker, enum message_kind kind, void *pointer);
