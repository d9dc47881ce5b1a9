/*
 * A set of slot indices that gives its members in ascending order: one bit a slot, and a summary of
 * one bit per 64 slots, so that an almost empty set of a million is walked in 256 steps.
 *
 * Private to server/table/; belongs to the thread of its table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct slot_set {
    uint64_t *words;
    uint64_t *summary; /* bit i: words[i] is not 0 */
    uint32_t word_count;
    uint32_t summary_count;
    uint32_t member_count;
};

/** returns   0 or -ENOMEM; an empty set for slots 0..slot_count-1 */
[[gnu::warn_unused_result]] int slot_set_init(struct slot_set *set, uint32_t slot_count);
void slot_set_deinit(struct slot_set *set);

/** Adds a slot that is not a member. O(1). */
void slot_set_add(struct slot_set *set, uint32_t slot_index);

/** Removes a member. O(1). */
void slot_set_remove(struct slot_set *set, uint32_t slot_index);

bool slot_set_has(const struct slot_set *set, uint32_t slot_index);

/** The first member >= `slot_index` (0..slot_count), or SLOT_NONE. O(slots / 4096). */
uint32_t slot_set_next(const struct slot_set *set, uint32_t slot_index);

/** ASSERTs that counts and summary agree with the members. For tests. O(slots). */
void slot_set_verify(const struct slot_set *set);
