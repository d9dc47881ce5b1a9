/*
 * "Did you mean ...?": the nearest of some words to what somebody typed.
 *
 * Pure: no state, no allocation; any thread.
 */
#pragma once

#include <stdint.h>

#include "server/base/span.h"

/* Longer words are not compared: no option is. */
#define SPELLING_WORD_MAX 64

/* Slips of the finger are one or two; three are another word. */
#define SPELLING_DISTANCE_MAX 2

/**
 * Counts the slips between two words: a letter too many, too few, wrong, or two swapped
 * (Damerau-Levenshtein, optimal string alignment), upper and lower case being the same.
 *
 * returns   the distance, or UINT32_MAX when a word is longer than SPELLING_WORD_MAX
 * O(a.bytes * b.bytes), allocates nothing, any thread.
 */
uint32_t spelling_distance(struct span a, struct span b);

/**
 * Finds the nearest of `words`, the first where several are as near.
 *
 * returns   NULL when none is within SPELLING_DISTANCE_MAX, or within 1 for words up to 3 letters
 */
const char *spelling_nearest(struct span word, const char *const *words, uint32_t word_count);
