#include "loadgen/histogram.h"

#include <stdbool.h>
#include <stddef.h>

#include "server/base/check.h"

#define MILLION UINT64_C(1000000)

static_assert(HISTOGRAM_MAX_BITS <= 64, "a bucket's edge must fit a uint64_t");
static_assert((UINT64_C(1) << HISTOGRAM_MAX_BITS) >= UINT64_C(1000) * 1000 * MILLION, "1000 s");

void histogram_reset(struct histogram *histogram)
{
    *histogram = (struct histogram){.min_ns = UINT64_MAX};
}

static size_t bucket_of(uint64_t value_ns)
{
    if (value_ns < HISTOGRAM_SUBS) {
        return (size_t)value_ns;
    }
    unsigned exponent = 63U - (unsigned)__builtin_clzll(value_ns);
    if (exponent >= HISTOGRAM_MAX_BITS) {
        return HISTOGRAM_BUCKETS - 1;
    }
    unsigned shift = exponent - HISTOGRAM_SUB_BITS;
    return (size_t)shift * HISTOGRAM_SUBS + (size_t)(value_ns >> shift);
}

/* The smallest value of a bucket; of bucket HISTOGRAM_BUCKETS: the end of the scale. */
static uint64_t bucket_begin(size_t bucket)
{
    if (bucket < HISTOGRAM_SUBS) {
        return bucket;
    }
    size_t shift = bucket / HISTOGRAM_SUBS - 1;
    return (uint64_t)(HISTOGRAM_SUBS + bucket % HISTOGRAM_SUBS) << shift;
}

void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
    histogram->buckets[bucket_of(value_ns)]++;
    histogram->count++;
    histogram->sum_ns += value_ns;
    if (value_ns < histogram->min_ns) {
        histogram->min_ns = value_ns;
    }
    if (value_ns > histogram->max_ns) {
        histogram->max_ns = value_ns;
    }
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        histogram->buckets[i] += other->buckets[i];
    }
    histogram->count += other->count;
    histogram->sum_ns += other->sum_ns;
    if (other->min_ns < histogram->min_ns) {
        histogram->min_ns = other->min_ns;
    }
    if (other->max_ns > histogram->max_ns) {
        histogram->max_ns = other->max_ns;
    }
}

void histogram_subtract(struct histogram *histogram, const struct histogram *earlier)
{
    ASSERT(histogram->count >= earlier->count);
    ASSERT(histogram->sum_ns >= earlier->sum_ns);
    uint64_t longest_ns = histogram->max_ns;
    histogram->count -= earlier->count;
    histogram->sum_ns -= earlier->sum_ns;
    histogram->min_ns = UINT64_MAX;
    histogram->max_ns = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        ASSERT(histogram->buckets[i] >= earlier->buckets[i]);
        histogram->buckets[i] -= earlier->buckets[i];
        if (histogram->buckets[i] == 0) {
            continue;
        }
        if (histogram->min_ns == UINT64_MAX) {
            histogram->min_ns = bucket_begin(i);
        }
        uint64_t last_ns = bucket_begin(i + 1) - 1;
        /* The last bucket has no upper edge, and no value is longer than the longest ever seen. */
        bool is_open = i == HISTOGRAM_BUCKETS - 1;
        histogram->max_ns = is_open || last_ns > longest_ns ? longest_ns : last_ns;
    }
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    if (value < low) {
        return low;
    }
    return value > high ? high : value;
}

uint64_t histogram_percentile(const struct histogram *histogram, uint32_t parts_per_million)
{
    ASSERT(parts_per_million <= MILLION);
    if (histogram->count == 0) {
        return 0;
    }
    /* The count is far below 2^44: the product fits. */
    uint64_t rank = (histogram->count * parts_per_million + MILLION - 1) / MILLION;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen < rank || seen == 0) {
            continue;
        }
        if (i == HISTOGRAM_BUCKETS - 1) {
            return histogram->max_ns;
        }
        uint64_t begin = bucket_begin(i);
        uint64_t middle = begin + (bucket_begin(i + 1) - begin) / 2;
        return clamp(middle, histogram->min_ns, histogram->max_ns);
    }
    return histogram->max_ns;
}

double histogram_mean(const struct histogram *histogram)
{
    if (histogram->count == 0) {
        return 0;
    }
    return (double)histogram->sum_ns / (double)histogram->count;
}
