/*
 * The slot table against an obvious model of it, for tests: arrays instead of lists and hashes, and
 * a fake kernel that applies updates late, fails some, and delays tags at will. Every step does one
 * thing to both and compares. What must hold, and is ASSERTed:
 *
 *   - every version published is released exactly once: as soon as it has no path, no user and no
 *     file in the kernel, and never before
 *   - a slot that says it is installed holds its version's file in the kernel
 *   - the kernel is never told to clear a slot with users, or to install into one that is not empty
 *
 * Driven by a random test and a fuzz target; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct model;

struct model_config {
    uint32_t slot_count;
    uint32_t key_count; /* 1..65536 */
    bool is_registered;
    uint8_t memory_share;  /* of 256 versions: without a descriptor */
    uint8_t failure_share; /* of 256 updates: refused by the kernel */
    uint64_t hash_seed;
};

/* How often the corners were reached: a test that reaches none proves little. */
struct model_counts {
    uint64_t publishes; /* that took a slot */
    uint64_t refusals;  /* that found none */
    uint64_t replacements;
    uint64_t evictions;
    uint64_t releases;
    uint64_t releases_with_tag;
    uint64_t failed_installs;
    uint64_t failed_clears;
    uint64_t early_tags; /* before the report of their clear */
    uint64_t stale_tags;
    uint64_t unwanted_installs; /* retired between taken and reported */
};

struct model *model_create(const struct model_config *config);

/** Does one thing: which one, `verb` says by its range; to what, `argument`. */
void model_step(struct model *model, uint8_t verb, uint16_t argument);

/** Compares everything. O(slots). */
void model_check(const struct model *model);

/** Ends all use, lets the kernel catch up, checks that nothing is left, and frees the model. */
struct model_counts model_finish(struct model *model);
