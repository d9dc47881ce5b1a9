/*
 * A log-linear histogram of durations: 256 equal buckets to each power of two, so that a value read
 * back is off by at most 0.4 % of itself (0.2 % at the bucket's middle), from 1 ns to 1000 s, in a
 * fixed 66 KiB. Histograms add up (threads into a run) and subtract (a run up to now, less the run
 * up to a second ago).
 *
 *     value < 256        one bucket a value
 *     2^e <= value       bucket = (e - 8 + 1) * 256 + the 8 bits below the leading one
 *
 * Plain data of one thread; knows nothing of what is measured.
 */
#pragma once

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 8
#define HISTOGRAM_SUBS     (1U << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_MAX_BITS 40 /* 2^40 ns = 1099 s; what is longer counts in the last bucket */
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUBS)

struct histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t min_ns; /* exact, or a bucket's edge after a subtraction; UINT64_MAX when empty */
    uint64_t max_ns; /* exact, or a bucket's edge after a subtraction; 0 when empty */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/** Empties `histogram`. A zeroed one must pass here before its first record. */
void histogram_reset(struct histogram *histogram);

/** Counts one duration. O(1), a few ns. */
void histogram_record(struct histogram *histogram, uint64_t value_ns);

/** Adds all that `other` counted. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/**
 * Takes away what `earlier` counted: a former state of `histogram` itself.
 *
 * `min_ns` and `max_ns` become edges of the outermost buckets left.
 */
void histogram_subtract(struct histogram *histogram, const struct histogram *earlier);

/**
 * The value that `parts_per_million` of all recorded values do not exceed (nearest rank).
 *
 * parts_per_million   0..1000000: 990000 is the 99th percentile
 * returns             ns, within [min_ns, max_ns]; 0 when empty
 * O(buckets).
 */
uint64_t histogram_percentile(const struct histogram *histogram, uint32_t parts_per_million);

/** The mean in ns, exact; 0 when empty. */
double histogram_mean(const struct histogram *histogram);
