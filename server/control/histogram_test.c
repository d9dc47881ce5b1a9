#include "server/control/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/clock.h"

static void histogram_counts_each_duration_once(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t duration_ns;
        uint32_t want_index;
    } cases[] = {
        {"nothing", 0, 0},
        {"at the first bound", 50000, 0},
        {"just above the first bound", 50001, 1},
        {"1 ms", NS_PER_MS, 4},
        {"at the last bound", 10 * NS_PER_SEC, HISTOGRAM_BUCKET_COUNT - 1},
        {"above every bound", 10 * NS_PER_SEC + 1, HISTOGRAM_BUCKET_COUNT},
        {"for ever", UINT64_MAX, HISTOGRAM_BUCKET_COUNT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct histogram histogram = {0};
        histogram_observe(&histogram, cases[i].duration_ns);
        print_message("%s\n", cases[i].name);
        assert_int_equal(histogram.counts[cases[i].want_index], 1);
        assert_int_equal(histogram.count, 1);
        assert_int_equal(histogram.sum_ns, cases[i].duration_ns);
    }
}

static void histogram_cumulative_includes_lower_buckets(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    histogram_observe(&histogram, 1);
    histogram_observe(&histogram, 60000);
    histogram_observe(&histogram, 60 * NS_PER_SEC);
    assert_int_equal(histogram_cumulative(&histogram, 0), 1);
    assert_int_equal(histogram_cumulative(&histogram, 1), 2);
    assert_int_equal(histogram_cumulative(&histogram, HISTOGRAM_BUCKET_COUNT - 1), 2);
    assert_int_equal(histogram_cumulative(&histogram, HISTOGRAM_BUCKET_COUNT), 3);
}

static void histogram_mean_of_nothing_is_zero(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    assert_int_equal(histogram_mean_ns(&histogram), 0);
    histogram_observe(&histogram, 10);
    histogram_observe(&histogram, 30);
    assert_int_equal(histogram_mean_ns(&histogram), 20);
}

/* The text of a bound is the bound: a duration of that many seconds is the last inside. */
static void histogram_bound_text_says_the_bound(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        uint64_t bound_ns = (uint64_t)(strtod(histogram_bound_text(i), NULL) * 1e9 + 0.5);
        struct histogram histogram = {0};
        histogram_observe(&histogram, bound_ns);
        histogram_observe(&histogram, bound_ns + 1);
        assert_int_equal(histogram.counts[i], 1);
        assert_int_equal(histogram.counts[i + 1], 1);
    }
    assert_string_equal(histogram_bound_text(HISTOGRAM_BUCKET_COUNT), "+Inf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_counts_each_duration_once),
        cmocka_unit_test(histogram_cumulative_includes_lower_buckets),
        cmocka_unit_test(histogram_mean_of_nothing_is_zero),
        cmocka_unit_test(histogram_bound_text_says_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
