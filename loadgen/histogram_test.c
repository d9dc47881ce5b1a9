#include "loadgen/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define SAMPLE_COUNT 20000

/* 66 KiB each: too big for a test's stack under the sanitizers. */
struct fixture {
    struct histogram first;
    struct histogram second;
    uint64_t samples[SAMPLE_COUNT];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL) {
        return -1;
    }
    histogram_reset(&fixture->first);
    histogram_reset(&fixture->second);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static uint64_t next_random(uint64_t *random)
{
    *random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = (*random ^ (*random >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return mixed ^ (mixed >> 27);
}

static int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* At most 0.4 % of the exact value, and exact below 512 ns. */
static void assert_close(uint64_t got, uint64_t want)
{
    uint64_t difference = got > want ? got - want : want - got;
    assert_true(difference * 1000 <= want * 4);
}

static void assert_percentiles_match(struct fixture *fixture)
{
    static const uint32_t parts[] = {0,      1,      10000,  250000, 500000,
                                     900000, 990000, 999000, 999900, 1000000};
    qsort(fixture->samples, SAMPLE_COUNT, sizeof(fixture->samples[0]), compare_u64);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t rank = ((uint64_t)SAMPLE_COUNT * parts[i] + 999999) / 1000000;
        uint64_t exact = fixture->samples[rank == 0 ? 0 : rank - 1];
        assert_close(histogram_percentile(&fixture->first, parts[i]), exact);
    }
}

static void histogram_percentiles_match_exact_ones(void **state)
{
    struct fixture *fixture = *state;
    /* Each distribution: random values of up to so many bits, the number of bits random too. */
    for (unsigned bits = 1; bits <= HISTOGRAM_MAX_BITS; bits++) {
        uint64_t random = bits;
        histogram_reset(&fixture->first);
        double sum = 0;
        for (size_t i = 0; i < SAMPLE_COUNT; i++) {
            uint64_t width = 1 + next_random(&random) % bits;
            fixture->samples[i] = next_random(&random) >> (64 - width);
            histogram_record(&fixture->first, fixture->samples[i]);
            sum += (double)fixture->samples[i];
        }
        assert_percentiles_match(fixture);
        double error = histogram_mean(&fixture->first) - sum / SAMPLE_COUNT;
        assert_true(error < 0.01 && error > -0.01);
        assert_int_equal(fixture->first.min_ns, fixture->samples[0]);
        assert_int_equal(fixture->first.max_ns, fixture->samples[SAMPLE_COUNT - 1]);
    }
}

static void histogram_is_exact_below_512_ns(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t value = 0; value < 512; value++) {
        histogram_reset(&fixture->first);
        histogram_record(&fixture->first, value);
        histogram_record(&fixture->first, 100000);
        assert_int_equal(histogram_percentile(&fixture->first, 500000), value);
    }
}

static void histogram_keeps_bucket_edges_apart(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned bit = 0; bit < HISTOGRAM_MAX_BITS; bit++) {
        uint64_t edge = UINT64_C(1) << bit;
        histogram_reset(&fixture->first);
        histogram_record(&fixture->first, edge - 1);
        histogram_record(&fixture->first, edge);
        histogram_record(&fixture->first, edge + 1);
        assert_close(histogram_percentile(&fixture->first, 0), edge - 1);
        assert_close(histogram_percentile(&fixture->first, 600000), edge);
        assert_close(histogram_percentile(&fixture->first, 1000000), edge + 1);
    }
}

static void histogram_keeps_what_is_off_the_scale(void **state)
{
    struct fixture *fixture = *state;
    uint64_t hours_ns = UINT64_C(7200) * 1000000000;
    histogram_record(&fixture->first, 5);
    histogram_record(&fixture->first, hours_ns);
    assert_int_equal(fixture->first.count, 2);
    assert_int_equal(histogram_percentile(&fixture->first, 1000000), hours_ns);
}

static void histogram_empty_answers_zero(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(histogram_percentile(&fixture->first, 500000), 0);
    assert_true(histogram_mean(&fixture->first) == 0);
}

static void histogram_merge_equals_recording_all_in_one(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = 7;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        fixture->samples[i] = next_random(&random) >> 34;
        histogram_record(i % 3 == 0 ? &fixture->first : &fixture->second, fixture->samples[i]);
    }
    histogram_merge(&fixture->first, &fixture->second);
    assert_int_equal(fixture->first.count, SAMPLE_COUNT);
    assert_percentiles_match(fixture);
    assert_int_equal(fixture->first.min_ns, fixture->samples[0]);
    assert_int_equal(fixture->first.max_ns, fixture->samples[SAMPLE_COUNT - 1]);
}

static void histogram_subtract_leaves_the_interval(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = 9;
    for (size_t i = 0; i < 1000; i++) {
        histogram_record(&fixture->first, next_random(&random) >> 20);
    }
    fixture->second = fixture->first;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        fixture->samples[i] = 1000000 + (next_random(&random) >> 40);
        histogram_record(&fixture->first, fixture->samples[i]);
    }
    histogram_subtract(&fixture->first, &fixture->second);
    assert_int_equal(fixture->first.count, SAMPLE_COUNT);
    assert_percentiles_match(fixture);
    assert_close(fixture->first.min_ns, fixture->samples[0]);
    assert_close(fixture->first.max_ns, fixture->samples[SAMPLE_COUNT - 1]);

    fixture->second = fixture->first;
    histogram_subtract(&fixture->first, &fixture->second);
    assert_int_equal(fixture->first.count, 0);
    assert_int_equal(histogram_percentile(&fixture->first, 500000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(histogram_percentiles_match_exact_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histogram_is_exact_below_512_ns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histogram_keeps_bucket_edges_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histogram_keeps_what_is_off_the_scale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histogram_empty_answers_zero, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histogram_merge_equals_recording_all_in_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(histogram_subtract_leaves_the_interval, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("load_histogram", tests, NULL, NULL);
}
