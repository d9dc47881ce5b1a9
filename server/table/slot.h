/*
 * The record of one slot, shared by the table, which owns and writes it, and its path map, which
 * reads keys through it. Private to server/table/.
 */
#pragma once

#include <assert.h>

#include "server/table/slot_table.h"

/*
 * The kernel's side of a slot. An arrow to NONE out of a RETIRING slot without users releases it.
 *
 *             publish                      take                 done
 *    NONE ----------------> TO_INSTALL ----------> INSTALLING --------> INSTALLED
 *     ^                         |                      |                    |
 *     |   retired before taken  |        failed        |     retiring, and  |
 *     +<------------------------+<---------------------+     no user left   |
 *     |                                                                     v
 *     |            tag                done                   take
 *     +<---------------- CLEARED <---------- CLEARING <--------------- TO_CLEAR
 *                                                |                          ^
 *                                                |         failed           |
 *                                                +--------------------------+
 *
 * The kernel posts the tag inside the call that clears, so it may also come before that is
 * reported; then the report leads to NONE at once.
 */
enum slot_file {
    SLOT_FILE_NONE,       /* not in the kernel's table: served by version->fd or from memory */
    SLOT_FILE_TO_INSTALL, /* queued */
    SLOT_FILE_INSTALLING, /* taken by the owner, not reported yet */
    SLOT_FILE_INSTALLED,
    SLOT_FILE_TO_CLEAR, /* queued */
    SLOT_FILE_CLEARING, /* taken by the owner, not reported yet */
    SLOT_FILE_CLEARED,  /* waits for the tag */
};

struct slot {
    struct version *version; /* NULL when free */
    uint32_t hash;           /* of the version's key */
    uint32_t user_count;
    uint32_t serial;     /* of the last install that was taken; 0: none yet */
    uint32_t next_index; /* free list; SLOT_NONE ends it */
    uint8_t state;       /* enum slot_state */
    uint8_t file;        /* enum slot_file */
    bool is_referenced;  /* CLOCK: asked for since the hand last passed */
    bool is_dropped;     /* the tag came before the clear was reported */
};

/* Two to a cache line. A cached entry, its share of the path map included, stays well below the
 * 512 bytes that each worker may spend on one. */
static_assert(sizeof(struct slot) == 32, "find() touches one cache line of the slot");
