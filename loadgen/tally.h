/*
 * What a client thread counts: how each request ended, how long it took, what the bodies were. Each
 * thread has one of its own; they are merged when all have ended.
 *
 * Plain data of one thread, its size fixed; knows nothing of connections.
 */
#pragma once

#include <stdint.h>

#include "loadgen/histogram.h"

enum outcome {
#define OUTCOME(id, name, group, text) OUTCOME_##id,
#include "loadgen/outcome.def"
#undef OUTCOME
};

enum wrong_reason {
#define WRONG_REASON(id, name, text) WRONG_##id,
#include "loadgen/wrong_reason.def"
#undef WRONG_REASON
};

#define OUTCOME_COUNT      (OUTCOME_UNVERIFIABLE + 1)
#define WRONG_REASON_COUNT (WRONG_ETAG_SHARED + 1)

#define TALLY_STATUS_MAX 600 /* statuses are 200..599 */
#define TALLY_SAMPLE_MAX 240

struct tally {
    uint64_t requests; /* that ended, well or not: the sum of `outcomes` */
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t wrong_reasons[WRONG_REASON_COUNT];
    uint64_t statuses[TALLY_STATUS_MAX]; /* answers by status */
    uint64_t checked;                    /* bodies that were verified, whatever the verdict */
    uint64_t unfinished;                 /* requests that were given up when the run ended */
    uint64_t unfinished_max_ns;          /* the longest of them so far */
    uint64_t received_bytes;             /* heads and bodies */
    uint64_t connects;                   /* connections made */
    struct histogram service;            /* request sent to last byte, or to the failure */
    struct histogram first_byte;         /* request sent to first byte, of answers that came */
    struct histogram staleness;          /* of stale answers: for how long they had been replaced */
    /* What the first request of each outcome met, for the report. */
    char samples[OUTCOME_COUNT][TALLY_SAMPLE_MAX];
};

void tally_reset(struct tally *tally);

/** Counts a request that ended. O(1). */
void tally_count(struct tally *tally, enum outcome outcome, uint64_t elapsed_ns);

/** Says what the first request of `outcome` met; later ones are ignored, cheaply. */
[[gnu::format(printf, 3, 4)]] void
tally_sample(struct tally *tally, enum outcome outcome, const char *format, ...);

/** Adds all that `other` counted. */
void tally_merge(struct tally *tally, const struct tally *other);

/** Answers that came complete with status 200, right or not. */
uint64_t tally_complete_count(const struct tally *tally);

/** Requests that did not end well. */
uint64_t tally_bad_count(const struct tally *tally);

/** "errors", "verify", or "" for a good answer. */
const char *outcome_group(enum outcome outcome);
const char *outcome_name(enum outcome outcome);
const char *outcome_text(enum outcome outcome);
const char *wrong_reason_name(enum wrong_reason reason);
const char *wrong_reason_text(enum wrong_reason reason);
