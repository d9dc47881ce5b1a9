/*
 * What a table is made of, for the table itself and for slot_table_verify(), which is apart because
 * only tests call it. Private to server/table/.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/table/path_map.h"
#include "server/table/slot.h"
#include "server/table/slot_set.h"
#include "server/table/slot_table.h"

struct slot_table {
    struct slot *slots;
    struct path_map map;     /* keys of the LIVE slots */
    struct slot_set updates; /* slots in TO_INSTALL or TO_CLEAR */
    struct slot_counts counts;
    uint32_t touched_count; /* slots from here on were never used: free, and not on the list */
    uint32_t first_free;    /* list, last freed first: its memory is still in the cache */
    uint32_t take_index;    /* where the round of taking updates goes on; 0: a new round */
    uint32_t hand_index;    /* CLOCK: the next slot to look at */
    uint32_t spare_count;   /* FREE, or RETIRING without users: free now or soon */
    uint32_t reserve_count; /* spare slots that a publish tries to leave */
    bool is_calling;        /* in a callback, which must not change the table */
    struct slot_table_config config;
};
