#include "loadgen/report.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/clock.h"

static const char *const urls[] = {"http://a/", "http://\"b\"/"};

static const struct options options = {
    .connections = 64,
    .threads = 2,
    .seed = 9,
    .verifies_all = true,
    .urls = urls,
    .url_count = ARRAY_COUNT(urls),
};

/* 1000 good answers of 100 us in two seconds. */
static int set_up(void **state)
{
    struct load_result *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        return -1;
    }
    tally_reset(&result->tally);
    histogram_reset(&result->releases);
    for (size_t i = 0; i < 1000; i++) {
        tally_count(&result->tally, OUTCOME_GOOD, 100000);
    }
    result->tally.statuses[200] = 1000;
    result->tally.checked = 1000;
    result->tally.received_bytes = 4000000;
    result->seconds = 2;
    result->client_cpu_ns = 5000000;
    result->client_busy = 0.5;
    *state = result;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

typedef void (*write_fn)(const struct options *, const struct load_result *, FILE *);

static char *write_report(write_fn write, const struct load_result *result)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    write(&options, result, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static json_t *load_json(const struct load_result *result)
{
    char *text = write_report(report_write_json, result);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

/* A value by its path, its names parted by dots. */
static json_t *at(json_t *json, const char *path)
{
    char name[32];
    while (*path != '\0') {
        size_t bytes = strcspn(path, ".");
        (void)snprintf(name, sizeof(name), "%.*s", (int)bytes, path);
        json = json_object_get(json, name);
        path += bytes + (path[bytes] == '.');
    }
    return json;
}

static void assert_count(json_t *json, const char *path, json_int_t want)
{
    if (!json_is_integer(at(json, path)) || json_integer_value(at(json, path)) != want) {
        fail_msg("'%s' is %lld", path, (long long)json_integer_value(at(json, path)));
    }
}

static void assert_near(json_t *json, const char *path, double want)
{
    double got = json_number_value(at(json, path));
    if (got < want * 0.995 || got > want * 1.005) {
        fail_msg("'%s' is %f", path, got);
    }
}

static void json_has_the_documented_shape(void **state)
{
    json_t *json = load_json(*state);
    assert_count(json, "requests", 1000);
    assert_count(json, "bytes", 4000000);
    assert_near(json, "seconds", 2);
    assert_near(json, "rate", 500);
    static const char *const errors[] = {"connect", "timeout", "reset", "status", "protocol"};
    assert_int_equal(json_object_size(at(json, "errors")), ARRAY_COUNT(errors));
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        assert_int_equal(json_integer_value(json_object_get(at(json, "errors"), errors[i])), 0);
    }
    assert_count(json, "verify.checked", 1000);
    assert_count(json, "verify.torn", 0);
    assert_count(json, "verify.truncated", 0);
    assert_count(json, "verify.stale", 0);
    assert_count(json, "verify.wrong", 0);
    assert_count(json, "verify.unverifiable", 0);
    static const char *const times[] = {"p50", "p90", "p99", "p99_9", "max", "mean"};
    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "response_us.%s", times[i]);
        assert_near(json, path, 100);
        (void)snprintf(path, sizeof(path), "service_us.%s", times[i]);
        assert_near(json, path, 100);
    }
    assert_count(json, "statuses.200", 1000);
    assert_near(json, "client_cpu_us_per_request", 5);
    assert_string_equal(json_string_value(json_array_get(at(json, "urls"), 1)), urls[1]);
    json_decref(json);
}

static void json_leaves_out_what_was_not_measured(void **state)
{
    json_t *json = load_json(*state);
    static const char *const absent[] = {"rotations",        "staleness_us",
                                         "release_us",       "witness",
                                         "send_lateness_us", "server_cpu_us_per_request"};
    for (size_t i = 0; i < ARRAY_COUNT(absent); i++) {
        assert_null(json_object_get(json, absent[i]));
    }
    assert_count(json, "first_byte_us.count", 0);
    assert_null(at(json, "first_byte_us.p50"));
    json_decref(json);
}

static void json_has_rotation_and_server(void **state)
{
    struct load_result *result = *state;
    result->has_rotator = true;
    result->rotator = (struct rotator_counts){.replaced = 70, .skipped = 3};
    result->witness = (struct witness_counts){.watched = 70, .released = 68, .pending = 2};
    histogram_record(&result->releases, 50000);
    histogram_record(&result->tally.staleness, 7000000);
    result->has_server_cpu = true;
    result->server_cpu_ns = 8000000;
    json_t *json = load_json(result);
    assert_count(json, "rotations", 70);
    assert_count(json, "rotations_skipped", 3);
    assert_count(json, "witness.watched", 70);
    assert_count(json, "witness.released", 68);
    assert_count(json, "witness.pending", 2);
    assert_near(json, "release_us.p50", 50);
    assert_near(json, "staleness_us.max", 7000);
    assert_near(json, "server_cpu_us_per_request", 8);
    json_decref(json);
}

static void json_tells_what_the_first_bad_answer_met(void **state)
{
    struct load_result *result = *state;
    tally_count(&result->tally, OUTCOME_STATUS, 1000);
    tally_sample(&result->tally, OUTCOME_STATUS, "/\"a\"\n\xff: status %d", 404);
    tally_sample(&result->tally, OUTCOME_STATUS, "/b: status %d", 500);
    json_t *json = load_json(result);
    assert_count(json, "errors.status", 1);
    assert_string_equal(json_string_value(at(json, "first.status")),
                        "/\"a\"\n\xc3\xbf: status 404");
    assert_near(json, "rate", 500);
    json_decref(json);
}

static void report_is_clean_only_when_all_is_good(void **state)
{
    struct load_result *result = *state;
    assert_true(report_is_clean(result));
    for (int i = OUTCOME_GOOD + 1; i < (int)OUTCOME_COUNT; i++) {
        tally_count(&result->tally, (enum outcome)i, 1000);
        assert_false(report_is_clean(result));
        result->tally.outcomes[i]--;
        result->tally.requests--;
        assert_true(report_is_clean(result));
    }
    result->rotator.failed = 1;
    assert_false(report_is_clean(result));
    result->rotator.failed = 0;
    result->tally.outcomes[OUTCOME_GOOD] = 0;
    result->tally.requests = 0;
    assert_false(report_is_clean(result));
}

static void report_names_the_bottleneck(void **state)
{
    struct load_result *result = *state;
    static const struct {
        double client_busy;
        double server_cpus; /* negative: unknown */
        enum bottleneck want;
    } cases[] = {
        {0.95, -1, BOTTLENECK_CLIENT},    {0.95, 0.99, BOTTLENECK_CLIENT},
        {0.50, -1, BOTTLENECK_UNKNOWN},   {0.50, 0.30, BOTTLENECK_NEITHER},
        {0.50, 0.95, BOTTLENECK_SERVER},  {0.50, 1.02, BOTTLENECK_SERVER},
        {0.50, 1.50, BOTTLENECK_NEITHER}, {0.50, 1.97, BOTTLENECK_SERVER},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        result->client_busy = cases[i].client_busy;
        result->has_server_cpu = cases[i].server_cpus >= 0;
        double cpu_ns = cases[i].server_cpus * result->seconds * (double)NS_PER_SEC;
        result->server_cpu_ns = cpu_ns > 0 ? (uint64_t)cpu_ns : 0;
        assert_int_equal(report_bottleneck(result), cases[i].want);
    }
}

static void text_names_every_bad_outcome(void **state)
{
    struct load_result *result = *state;
    for (int i = OUTCOME_GOOD + 1; i < (int)OUTCOME_COUNT; i++) {
        tally_count(&result->tally, (enum outcome)i, 1000);
        tally_sample(&result->tally, (enum outcome)i, "sample %d", i);
    }
    result->tally.wrong_reasons[WRONG_LENGTH] = 1;
    char *text = write_report(report_write_text, result);
    for (int i = OUTCOME_GOOD + 1; i < (int)OUTCOME_COUNT; i++) {
        char sample[32];
        (void)snprintf(sample, sizeof(sample), "first: sample %d\n", i);
        assert_non_null(strstr(text, sample));
        assert_non_null(strstr(text, outcome_text((enum outcome)i)));
    }
    assert_non_null(strstr(text, wrong_reason_text(WRONG_LENGTH)));
    assert_non_null(strstr(text, "--rotate DIR"));
    free(text);
}

static void text_says_that_closed_loops_understate_stalls(void **state)
{
    char *text = write_report(report_write_text, *state);
    assert_non_null(strstr(text, "understate"));
    assert_non_null(strstr(text, "verified    1,000 bodies, all good"));
    assert_non_null(strstr(text, "requests    1,000 in 2.00 s"));
    free(text);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(json_has_the_documented_shape),
        CASE(json_leaves_out_what_was_not_measured),
        CASE(json_has_rotation_and_server),
        CASE(json_tells_what_the_first_bad_answer_met),
        CASE(report_is_clean_only_when_all_is_good),
        CASE(report_names_the_bottleneck),
        CASE(text_names_every_bad_outcome),
        CASE(text_says_that_closed_loops_understate_stalls),
    };
#undef CASE
    return cmocka_run_group_tests_name("load_report", tests, NULL, NULL);
}
