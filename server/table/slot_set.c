#include "server/table/slot_set.h"

#include <errno.h>
#include <stddef.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/table/slot_table.h"

#define WORD_BITS 64

static uint64_t bit_of(uint32_t number)
{
    return UINT64_C(1) << (number % WORD_BITS);
}

static size_t set_bytes(const struct slot_set *set)
{
    return ((size_t)set->word_count + set->summary_count) * sizeof(uint64_t);
}

int slot_set_init(struct slot_set *set, uint32_t slot_count)
{
    ASSERT(slot_count >= 1);
    ASSERT(slot_count <= SLOT_TABLE_SLOTS_MAX);
    *set = (struct slot_set){.word_count = (slot_count - 1) / WORD_BITS + 1};
    set->summary_count = (set->word_count - 1) / WORD_BITS + 1;
    set->words = FAULT("slot_set_map") != 0 ? NULL : alloc_map(set_bytes(set));
    if (set->words == NULL) {
        return -ENOMEM;
    }
    set->summary = set->words + set->word_count;
    return 0;
}

bool slot_set_has(const struct slot_set *set, uint32_t slot_index)
{
    DEBUG_ASSERT(slot_index / WORD_BITS < set->word_count);
    return (set->words[slot_index / WORD_BITS] & bit_of(slot_index)) != 0;
}

void slot_set_add(struct slot_set *set, uint32_t slot_index)
{
    ASSERT(!slot_set_has(set, slot_index));
    uint32_t word_index = slot_index / WORD_BITS;
    set->words[word_index] |= bit_of(slot_index);
    set->summary[word_index / WORD_BITS] |= bit_of(word_index);
    set->member_count++;
}

void slot_set_remove(struct slot_set *set, uint32_t slot_index)
{
    ASSERT(slot_set_has(set, slot_index));
    uint32_t word_index = slot_index / WORD_BITS;
    set->words[word_index] &= ~bit_of(slot_index);
    if (set->words[word_index] == 0) {
        set->summary[word_index / WORD_BITS] &= ~bit_of(word_index);
    }
    set->member_count--;
}

/* The first set bit >= `number` among `word_count` words, or UINT32_MAX. */
static uint32_t next_bit(const uint64_t *words, uint32_t word_count, uint32_t number)
{
    uint64_t mask = ~UINT64_C(0) << (number % WORD_BITS);
    for (uint32_t i = number / WORD_BITS; i < word_count; i++) {
        uint64_t found = words[i] & mask;
        if (found != 0) {
            return i * WORD_BITS + (uint32_t)__builtin_ctzll(found);
        }
        mask = ~UINT64_C(0);
    }
    return UINT32_MAX;
}

uint32_t slot_set_next(const struct slot_set *set, uint32_t slot_index)
{
    uint32_t word_index = slot_index / WORD_BITS;
    if (set->member_count == 0 || word_index >= set->word_count) {
        return SLOT_NONE;
    }
    uint64_t found = set->words[word_index] & (~UINT64_C(0) << (slot_index % WORD_BITS));
    if (found == 0) {
        word_index = next_bit(set->summary, set->summary_count, word_index + 1);
        if (word_index == UINT32_MAX) {
            return SLOT_NONE;
        }
        found = set->words[word_index];
    }
    return word_index * WORD_BITS + (uint32_t)__builtin_ctzll(found);
}

void slot_set_verify(const struct slot_set *set)
{
    uint32_t member_count = 0;
    for (uint32_t i = 0; i < set->word_count; i++) {
        bool is_in_summary = (set->summary[i / WORD_BITS] & bit_of(i)) != 0;
        ASSERT(is_in_summary == (set->words[i] != 0));
        member_count += (uint32_t)__builtin_popcountll(set->words[i]);
    }
    ASSERT(member_count == set->member_count);
}

void slot_set_deinit(struct slot_set *set)
{
    alloc_unmap(set->words, set_bytes(set));
    *set = (struct slot_set){0};
}
