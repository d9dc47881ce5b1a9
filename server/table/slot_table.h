/*
 * The rolling registered-file table of one worker: which slot holds which version, who uses it, and
 * what the kernel has to be told. It finds a version by path key, publishes new versions into free
 * slots, retires old ones, clears a slot only when nobody uses it (law L3), believes a release only
 * from the kernel's tag (law L5), and evicts by CLOCK when it fills (it *rolls*).
 *
 *                    publish                     retire, or evicted
 *      SLOT_FREE ---------------> SLOT_LIVE ---------------------------> SLOT_RETIRING
 *          ^                                                                  |
 *          |          users == 0, kernel told to clear, tag came back         |
 *          +------------------------------------------------------------------+
 *
 * Pure policy: no system calls, no clock. Owned by one worker thread. All memory is taken in
 * slot_table_create(). A version without a descriptor (memory body), every version of a table that
 * does not register, and one whose install failed or was never taken has no file in the kernel and
 * is released as soon as its users are gone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/table/version.h"

#define SLOT_NONE UINT32_MAX

/* io_uring's limit: IORING_MAX_FIXED_FILES since Linux 5.19. */
#define SLOT_TABLE_SLOTS_MAX (UINT32_C(1) << 20)

/* Bits of a tag's serial: a stale tag of an earlier use of the slot is told apart. A slot's serial
 * advances with each install that is taken, from 1 to 2^24-1 and then to 1 again: never 0. */
#define SLOT_SERIAL_BITS 24
#define SLOT_SERIAL_MAX  ((UINT32_C(1) << SLOT_SERIAL_BITS) - 1)

/* Publishing keeps 1/32 of the slots, 1..64 of them (of a single slot: none), free or about to be
 * (RETIRING without users), so that the next publish finds one without waiting for a tag. */
#define SLOT_RESERVE_SHARE 32
#define SLOT_RESERVE_MAX   64

/* Slots that the CLOCK hand passes in one publish, so that none walks a million of them. */
#define SLOT_HAND_STEPS_MAX 64

enum slot_state {
    SLOT_FREE,
    SLOT_LIVE,
    SLOT_RETIRING,
};

struct slot_table;

/* The callbacks come from within publish, retire, retire_all, release, on_updated and on_tag. They
 * must not call back into the table but for its const functions. */
struct slot_table_config {
    uint32_t slot_count; /* 1..SLOT_TABLE_SLOTS_MAX */
    bool is_registered;  /* versions with descriptors go into the kernel's table */
    uint64_t hash_seed;  /* random, so that outsiders cannot aim for collisions */
    void *context;       /* passed to the callbacks */
    /* The path map no longer holds this version, evicted to make room. Then on_released comes. */
    void (*on_evicted)(void *context, struct version *version);
    /* Proven: no user, and the kernel has dropped the file. The table forgets the pointer. */
    void (*on_released)(void *context, struct version *version);
};

struct slot_counts {
    uint32_t free; /* free + live + retiring == slot_count */
    uint32_t live; /* as many as the path map has keys */
    uint32_t retiring;
    uint64_t evictions;
    uint64_t stale_tags; /* of no clear that was queued, taken or done: dropped */
};

/* One change to the kernel's table: install `fd` (>= 0) with a tag, or clear (fd == -1). */
struct slot_update {
    uint32_t slot_index;
    int32_t fd;
    uint32_t serial; /* for the tag, 1..SLOT_SERIAL_MAX; 0 when clearing */
};

/**
 * returns   0, -ENOMEM or -EINVAL (slot_count out of range)
 */
[[gnu::warn_unused_result]] int slot_table_create(const struct slot_table_config *config,
                                                  struct slot_table **ret_table);

/** Frees the table; versions still in it are forgotten without on_released. NULL is fine. */
void slot_table_destroy(struct slot_table *table);

/**
 * Finds the live slot for a path key and notes that it was asked for (CLOCK). O(1).
 *
 * returns   SLOT_NONE when the map does not lead to a version
 */
uint32_t slot_table_find(struct slot_table *table, struct span key);

/** The version in a LIVE or RETIRING slot. */
const struct version *slot_table_version(const struct slot_table *table, uint32_t slot_index);

/**
 * How to read the version's file: by slot when true, else by version->fd. True from the report of a
 * done install until the last user of a retired slot is gone; a user may ask anew for each read.
 */
bool slot_table_is_installed(const struct slot_table *table, uint32_t slot_index);

/**
 * Publishes `version`: takes a free slot, flips the key to it, and retires the slot that held the
 * key before, if any. find() leads to the new slot at once; the kernel update is queued. Keeps a
 * reserve of free slots by evicting cold ones, never one in use nor the one that held the key.
 *
 * returns   the slot, or SLOT_NONE when none is free: every slot is in use or waits for the kernel.
 *           Then the key leads where it led before, and the caller still holds `version`; a cold
 *           slot may have been evicted, so that a later try succeeds
 * O(1): at most SLOT_HAND_STEPS_MAX slots are looked at.
 */
[[gnu::warn_unused_result]] uint32_t slot_table_publish(struct slot_table *table,
                                                        struct version *version);

/** The key leads nowhere any more: its live slot, if any, retires. False when there was none. */
bool slot_table_retire(struct slot_table *table, struct span key);

/** Counts a user of a LIVE slot; every acquire is matched by one release. A RETIRING slot keeps its
 * users and gets no new ones. */
void slot_table_acquire(struct slot_table *table, uint32_t slot_index);
void slot_table_release(struct slot_table *table, uint32_t slot_index);

/** True when the kernel has something to be told. O(1): to be asked in every turn of a loop. */
bool slot_table_has_updates(const struct slot_table *table);

/**
 * Takes queued kernel updates, sorted by slot so that neighbours can go in one call. Each one taken
 * is reported by one slot_table_on_updated(). A round goes once over the slots:
 *
 *     do {
 *         count = slot_table_take_updates(table, updates, update_max);
 *         ...
 *     } while (count == update_max);
 *
 * What is queued behind it meanwhile, failed clears above all, is left to the next round. So a
 * round ends even when the kernel refuses for ever; slot_table_has_updates() may be true after it.
 *
 * ret_updates   up to `update_max` (> 0) of them
 * returns       how many; fewer than `update_max` end the round
 */
uint32_t slot_table_take_updates(struct slot_table *table,
                                 struct slot_update *ret_updates,
                                 uint32_t update_max);

/**
 * What became of one taken update. A failed install leaves the slot without a kernel file: the
 * version is served by its own descriptor (law L8), and is released when its users are gone, with
 * no tag to wait for. A failed clear is queued again, unless its tag has come.
 */
void slot_table_on_updated(struct slot_table *table,
                           const struct slot_update *update,
                           bool is_done);

/**
 * The kernel proved that it dropped the file of this slot's use `serial`. May come before or after
 * slot_table_on_updated() reports the clear. Any slot and serial are fine: what nothing waits for
 * is counted and dropped.
 */
void slot_table_on_tag(struct slot_table *table, uint32_t slot_index, uint32_t serial);

/** Retires everything; on_released follows as users leave and tags arrive. For draining. */
void slot_table_retire_all(struct slot_table *table);

struct slot_counts slot_table_counts(const struct slot_table *table);

/** Walks the whole table and ASSERTs its invariants. For tests. O(slots). */
void slot_table_verify(const struct slot_table *table);
