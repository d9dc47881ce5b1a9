/*
 * What the kernel hands back with each completion: whose operation it was.
 *
 *     63       56 55                              32 31                                        0
 *    +-----------+----------------------------------+-------------------------------------------+
 *    | kind (8)  |         generation (24)          |                index (32)                 |
 *    +-----------+----------------------------------+-------------------------------------------+
 *
 * kind        enum engine_op + 1, or one of the kinds below; never 0, so that 0 is no operation's
 * generation  which use of the index: a connection's, or (tags of slots) a version's serial
 * index       a connection, or (tags of slots) the slot
 */
#pragma once

#include <stdint.h>

#include "server/engine/engine.h"

enum user_data_kind {
    USER_DATA_FIRST_OP = 1,
    USER_DATA_LAST_OP = ENGINE_FILE_RELEASED + 1,
    USER_DATA_QUIET = 0x80, /* a cancel or a close: nobody waits for it, only its failure is told */
};

static inline uint64_t user_data_of(enum engine_op op, struct engine_token token)
{
    return (uint64_t)((unsigned)op + 1) << 56 |
           (uint64_t)(token.generation & ENGINE_GENERATION_MASK) << 32 | token.index;
}

static inline uint64_t user_data_quiet(void)
{
    return (uint64_t)USER_DATA_QUIET << 56;
}

static inline uint8_t user_data_kind(uint64_t user_data)
{
    return (uint8_t)(user_data >> 56);
}

static inline struct engine_token user_data_token(uint64_t user_data)
{
    return (struct engine_token){
        .index = (uint32_t)user_data,
        .generation = (uint32_t)(user_data >> 32) & ENGINE_GENERATION_MASK,
    };
}
