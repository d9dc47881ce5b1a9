/*
 * The texts that options take, as values: counts, sizes, durations and words, each way. A refusal
 * is a sentence that says what was found and what is allowed.
 *
 * Pure: no state, no I/O, no allocation; any thread. It knows no option by name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/sentence.h"
#include "server/base/span.h"

/* What `auto` is stored as: the program chooses. */
#define VALUE_AUTO 0

/* Both ends are allowed. */
struct value_bounds {
    uint64_t low;
    uint64_t high;
};

/* A number as people write it. */
struct value_text {
    char text[32]; /* NUL-terminated */
};

/**
 * Parses a whole number in decimal digits, or the word `auto`.
 *
 * takes_auto  whether `auto` is allowed; it gives VALUE_AUTO, whatever the bounds
 * ret_error   set on failure
 * returns     0 or -EINVAL
 * O(bytes), allocates nothing, any thread.
 */
[[gnu::warn_unused_result]] int value_parse_count(struct span text,
                                                  struct value_bounds bounds,
                                                  bool takes_auto,
                                                  uint64_t *ret_count,
                                                  struct sentence *ret_error);

/** Parses bytes: digits, then nothing or one of K M G (powers of 1024, either case). */
[[gnu::warn_unused_result]] int value_parse_size(struct span text,
                                                 struct value_bounds bounds,
                                                 uint64_t *ret_bytes,
                                                 struct sentence *ret_error);

/** Parses a time: digits, then one of ms s m h, or nothing for seconds. The bounds are in ms. */
[[gnu::warn_unused_result]] int value_parse_duration(struct span text,
                                                     struct value_bounds bounds,
                                                     uint64_t *ret_duration_ms,
                                                     struct sentence *ret_error);

/** Finds the word that `text` is, in the case it is written in. */
[[gnu::warn_unused_result]] int value_parse_choice(struct span text,
                                                   const char *const *words,
                                                   uint32_t word_count,
                                                   uint32_t *ret_index,
                                                   struct sentence *ret_error);

/** Writes bytes in the largest unit that leaves no fraction: "64M", "1000", "0". */
struct value_text value_format_size(uint64_t bytes);

/** Writes a duration in the largest unit that leaves no fraction: "1m", "1500ms", "0". */
struct value_text value_format_duration(uint64_t duration_ms);
