/*
 * The sentences that reading a configuration leads to, in order: all errors at once rather than the
 * first. Bounded: past the end they are only counted.
 *
 * Plain data (about 33 KB) of one caller; start from zeros. It prints nothing.
 */
#pragma once

#include <stdint.h>

#include "config/sentence.h"

/* A screenful. */
#define FINDINGS_LINES_MAX 32

struct findings {
    struct sentence lines[FINDINGS_LINES_MAX];
    uint32_t line_count;    /* 0..FINDINGS_LINES_MAX */
    uint32_t dropped_count; /* sentences that found no room */
};

/** Adds one sentence. */
[[gnu::format(printf, 2, 3)]] void findings_add(struct findings *findings, const char *format, ...);

/** How many sentences were added, shown or not. */
uint32_t findings_count(const struct findings *findings);
