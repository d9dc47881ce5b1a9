#include "server/control/status.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/clock.h"

struct rig {
    struct control_facts facts;
    struct settings settings;
    struct catalog_counters catalog;
    struct pump_counters pump;
    struct histogram freshness;
    struct histogram drain;
    struct report report;
};

static const char *const addresses[] = {"http://127.0.0.1:8080", "unix:/run/x"};

static int rig_create(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->facts =
        (struct control_facts){"1.2.3", "6.18", "uring", "per-slot", "watch", addresses, 2};
    rig->settings.table_slots = 8192;
    rig->settings.sendfile_bytes = 65536;
    rig->catalog.generation = 42;
    rig->catalog.versions_retired = UINT64_MAX; /* what JSON cannot say is cut */
    rig->catalog.watch_limit_hits = 4;
    rig->report = (struct report){
        .facts = &rig->facts,
        .settings = &rig->settings,
        .catalog = &rig->catalog,
        .pump = &rig->pump,
        .freshness = &rig->freshness,
        .drain = &rig->drain,
        .worker_count = 2,
        .uptime_ns = 90 * NS_PER_SEC + 1,
    };
    rig->report.totals.aborted_changed = 1;
    rig->report.totals.aborted_drain = 2;
    rig->report.totals.responses_3xx = 33;
    rig->report.totals.slots_retiring = 5;
    histogram_observe(&rig->drain, 2000000);
    *state = rig;
    return 0;
}

static int rig_destroy(void **state)
{
    free(*state);
    return 0;
}

typedef int (*write_fn)(const struct report *report, FILE *out);

static json_t *read_back(const struct report *report, write_fn write)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    assert_int_equal(write(report, out), 0);
    assert_int_equal(fclose(out), 0);
    assert_true(bytes > 2 && text[bytes - 1] == '\n');
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    assert_non_null(root);
    return root;
}

/* The value at "slots/free". */
static const json_t *value_at(const json_t *root, const char *path)
{
    char name[64];
    size_t bytes = strcspn(path, "/");
    (void)snprintf(name, sizeof(name), "%.*s", (int)bytes, path);
    const json_t *value = json_object_get(root, name);
    return path[bytes] == '/' ? value_at(value, path + bytes + 1) : value;
}

/* INTERFACES.md, "Admin": names and shapes that people script against. */
static void status_has_every_field(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *path;
        json_type want;
    } fields[] = {
        {"version", JSON_STRING},
        {"kernel", JSON_STRING},
        {"engine", JSON_STRING},
        {"files", JSON_STRING},
        {"lifetime", JSON_STRING},
        {"generation", JSON_INTEGER},
        {"generations_draining", JSON_INTEGER},
        {"versions_live", JSON_INTEGER},
        {"versions_retired", JSON_INTEGER},
        {"slots/free", JSON_INTEGER},
        {"slots/live", JSON_INTEGER},
        {"slots/retiring", JSON_INTEGER},
        {"connections/active", JSON_INTEGER},
        {"connections/idle", JSON_INTEGER},
        {"requests", JSON_INTEGER},
        {"responses/2xx", JSON_INTEGER},
        {"responses/3xx", JSON_INTEGER},
        {"responses/4xx", JSON_INTEGER},
        {"responses/5xx", JSON_INTEGER},
        {"bytes_sent", JSON_INTEGER},
        {"aborted", JSON_INTEGER},
        {"open_files", JSON_INTEGER},
        {"uptime_seconds", JSON_INTEGER},
        /* beyond that page */
        {"versions_released", JSON_INTEGER},
        {"versions_evicted", JSON_INTEGER},
        {"memory_bytes", JSON_INTEGER},
        {"watches", JSON_INTEGER},
        {"unwatched", JSON_INTEGER},
        {"watch_overflows", JSON_INTEGER},
        {"workers", JSON_INTEGER},
        {"state", JSON_STRING},
        {"freshness", JSON_STRING},
        {"listeners", JSON_ARRAY},
        {"limits/sendfile_bytes", JSON_INTEGER},
        {"limits/memory_body_bytes", JSON_INTEGER},
        {"limits/memory_total_bytes", JSON_INTEGER},
        {"limits/table_slots", JSON_INTEGER},
        {"limits/max_connections", JSON_INTEGER},
        {"limit_hits/table_slots", JSON_INTEGER},
        {"limit_hits/watches", JSON_INTEGER},
        {"limit_hits/admin_connections", JSON_INTEGER},
    };
    json_t *root = read_back(&rig->report, status_write);
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        print_message("%s\n", fields[i].path);
        const json_t *value = value_at(root, fields[i].path);
        assert_non_null(value);
        assert_int_equal(json_typeof(value), fields[i].want);
    }
    json_decref(root);
}

static void status_says_what_the_report_says(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *path;
        json_int_t want;
    } numbers[] = {
        {"generation", 42},
        {"versions_retired", INT64_MAX},
        {"aborted", 3},
        {"responses/3xx", 33},
        {"slots/retiring", 5},
        {"uptime_seconds", 90},
        {"workers", 2},
        {"limits/table_slots", 8192},
        {"limits/sendfile_bytes", 65536},
        {"limit_hits/watches", 4},
    };
    json_t *root = read_back(&rig->report, status_write);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        print_message("%s\n", numbers[i].path);
        assert_int_equal(json_integer_value(value_at(root, numbers[i].path)), numbers[i].want);
    }
    assert_string_equal(json_string_value(json_object_get(root, "files")), "fixed");
    assert_string_equal(json_string_value(json_object_get(root, "state")), "serving");
    const json_t *listeners = json_object_get(root, "listeners");
    assert_int_equal(json_array_size(listeners), 2);
    assert_string_equal(json_string_value(json_array_get(listeners, 0)), addresses[0]);
    json_decref(root);
}

static void status_survives_names_that_are_not_utf8(void **state)
{
    struct rig *rig = *state;
    static const char *const odd[] = {"unix:/run/\xff"};
    rig->facts.listen_addresses = odd;
    rig->facts.listen_count = 1;
    rig->report.is_draining = true;
    json_t *root = read_back(&rig->report, status_write);
    assert_int_equal(json_array_size(json_object_get(root, "listeners")), 1);
    assert_string_equal(json_string_value(json_object_get(root, "state")), "draining");
    json_decref(root);
}

static void generations_are_told(void **state)
{
    struct rig *rig = *state;
    json_t *root = read_back(&rig->report, status_write_generations);
    assert_int_equal(json_integer_value(json_object_get(root, "generation")), 42);
    assert_int_equal(json_integer_value(json_object_get(root, "generations_draining")), 0);
    assert_int_equal(json_integer_value(json_object_get(root, "drain_mean_us")), 2000);
    json_decref(root);
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_create, rig_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(status_has_every_field),
        RIG_TEST(status_says_what_the_report_says),
        RIG_TEST(status_survives_names_that_are_not_utf8),
        RIG_TEST(generations_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
