#include "server/control/histogram.h"

#include "server/base/check.h"

struct bucket {
    uint64_t bound_ns; /* inclusive */
    const char *text;
};

static const struct bucket buckets[HISTOGRAM_BUCKET_COUNT + 1] = {
    {UINT64_C(50000), "0.00005"}, {UINT64_C(100000), "0.0001"},  {UINT64_C(250000), "0.00025"},
    {UINT64_C(500000), "0.0005"}, {UINT64_C(1000000), "0.001"},  {UINT64_C(2500000), "0.0025"},
    {UINT64_C(5000000), "0.005"}, {UINT64_C(10000000), "0.01"},  {UINT64_C(25000000), "0.025"},
    {UINT64_C(50000000), "0.05"}, {UINT64_C(100000000), "0.1"},  {UINT64_C(250000000), "0.25"},
    {UINT64_C(500000000), "0.5"}, {UINT64_C(1000000000), "1"},   {UINT64_C(2500000000), "2.5"},
    {UINT64_C(5000000000), "5"},  {UINT64_C(10000000000), "10"}, {UINT64_MAX, "+Inf"},
};

void histogram_observe(struct histogram *histogram, uint64_t duration_ns)
{
    uint32_t index = 0;
    while (duration_ns > buckets[index].bound_ns) {
        index++;
    }
    histogram->counts[index]++;
    histogram->count++;
    histogram->sum_ns += duration_ns;
}

uint64_t histogram_cumulative(const struct histogram *histogram, uint32_t bucket_index)
{
    ASSERT(bucket_index <= HISTOGRAM_BUCKET_COUNT);
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= bucket_index; i++) {
        sum += histogram->counts[i];
    }
    return sum;
}

const char *histogram_bound_text(uint32_t bucket_index)
{
    ASSERT(bucket_index <= HISTOGRAM_BUCKET_COUNT);
    return buckets[bucket_index].text;
}

uint64_t histogram_mean_ns(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum_ns / histogram->count;
}
