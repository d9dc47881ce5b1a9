/*
 * A histogram of durations with the fixed buckets that /metrics shows: 50 us to 10 s.
 *
 * Plain data, zeroed is empty. One thread.
 */
#pragma once

#include <stdint.h>

/* Finite buckets; one more counts what is above the last bound. */
#define HISTOGRAM_BUCKET_COUNT 17

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKET_COUNT + 1]; /* each duration in one bucket: not cumulative */
    uint64_t count;                              /* all of them together */
    uint64_t sum_ns;
};

/** Counts one duration. */
void histogram_observe(struct histogram *histogram, uint64_t duration_ns);

/**
 * How many durations were no longer than a bucket's bound.
 *
 * bucket_index   0..HISTOGRAM_BUCKET_COUNT; the last one has no bound and gives all
 */
uint64_t histogram_cumulative(const struct histogram *histogram, uint32_t bucket_index);

/** A bucket's bound in seconds as Prometheus text, "0.0005"; "+Inf" for the last. */
const char *histogram_bound_text(uint32_t bucket_index);

/** The mean duration; 0 when there is none. */
uint64_t histogram_mean_ns(const struct histogram *histogram);
