/*
 * Accepts while there is a place. When the limit is reached, a connection that only waits between
 * requests gives way to a newcomer; when all are busy, accepting pauses and newcomers wait in the
 * listen queue. Those that the kernel handed out before it could be paused wait here, in spare
 * places: accepted, but not read from until it is their turn.
 *
 * Worker's thread only.
 */
#pragma once

#include <stdint.h>

#include "server/engine/engine.h"

struct worker;

/* Places beyond the limit: connections that came while accepting was being paused. */
#define CONN_SPARE_COUNT 64

void acceptor_on_accept(struct worker *worker, const struct engine_event *event);

/** At each tick: what failed for want of descriptors is tried again. */
void acceptor_on_tick(struct worker *worker);

/** At the end of each turn: accepts or pauses, as there are places. */
void acceptor_update(struct worker *worker);
