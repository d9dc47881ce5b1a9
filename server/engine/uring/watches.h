/*
 * The few descriptors that an engine watches for good: it re-arms them itself.
 */
#pragma once

#include <stdint.h>

#include "server/engine/uring/uring_internal.h"

/** The watch started with `user_data` (0: a free one), or NULL. */
struct uring_watch *watches_find(struct uring *uring, uint64_t user_data);

/** Arms, or arms again, a multishot poll for the watch. */
void watches_arm(struct uring *uring, const struct uring_watch *watch);
