#include "server/control/metrics.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/clock.h"

/* The path of docs/METRICS.md; the build passes it. */
#ifndef METRICS_PAGE
#define METRICS_PAGE "docs/METRICS.md"
#endif

#define FAMILIES_MAX 128

/* A report with a number of its own in every field that is shown. */
struct rig {
    struct control_facts facts;
    struct settings settings;
    struct catalog_counters catalog;
    struct pump_counters pump;
    struct histogram freshness;
    struct histogram drain;
    struct report report;
    char *text;
};

static char *write_text(const struct report *report)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    metrics_write(report, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static int rig_create(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->facts = (struct control_facts){"1.2.3", "6.18", "uring", "per-slot", "watch", NULL, 0};
    rig->settings.files = FILES_PLAIN;
    rig->catalog.versions_retired = 10;
    rig->catalog.versions_released = 7;
    rig->catalog.watch_limit_hits = 4;
    rig->report = (struct report){
        .facts = &rig->facts,
        .settings = &rig->settings,
        .catalog = &rig->catalog,
        .pump = &rig->pump,
        .freshness = &rig->freshness,
        .drain = &rig->drain,
        .worker_count = 2,
        .start_wall_seconds = 1700000000,
    };
    rig->report.totals.responses_2xx = 22;
    rig->report.totals.responses_4xx = 44;
    histogram_observe(&rig->freshness, 60000);
    histogram_observe(&rig->freshness, 3 * NS_PER_SEC + 5);
    rig->text = write_text(&rig->report);
    *state = rig;
    return 0;
}

static int rig_destroy(void **state)
{
    struct rig *rig = *state;
    free(rig->text);
    free(rig);
    return 0;
}

/* ---- a strict reader of the text format 0.0.4 ---- */

struct family {
    char name[128];
    char type[16];
    uint32_t sample_count;
};

struct reader {
    struct family families[FAMILIES_MAX];
    uint32_t family_count;
    bool has_type;          /* of the newest family: HELP comes first, TYPE next, then samples */
    char samples[512][256]; /* name and labels, to find duplicates */
    uint32_t sample_count;
};

static size_t name_bytes(const char *text)
{
    size_t bytes = 0;
    while (isalnum((unsigned char)text[bytes]) || text[bytes] == '_' ||
           (bytes == 0 && text[bytes] == ':')) {
        bytes++;
    }
    return isdigit((unsigned char)text[0]) ? 0 : bytes;
}

static void read_help(struct reader *reader, const char *line)
{
    size_t bytes = name_bytes(line);
    assert_true(bytes > 0 && bytes < sizeof(reader->families[0].name));
    assert_int_equal(line[bytes], ' ');
    assert_true(strlen(line + bytes + 1) > 5); /* it says something */
    assert_null(strchr(line, '\\'));
    for (uint32_t i = 0; i < reader->family_count; i++) {
        assert_false(strncmp(reader->families[i].name, line, bytes) == 0 &&
                     reader->families[i].name[bytes] == '\0'); /* one HELP a metric */
    }
    assert_true(reader->family_count == 0 || reader->has_type);
    struct family *family = &reader->families[reader->family_count++];
    *family = (struct family){.sample_count = 0};
    memcpy(family->name, line, bytes);
    reader->has_type = false;
}

static void read_type(struct reader *reader, const char *line)
{
    struct family *family = &reader->families[reader->family_count - 1];
    size_t bytes = name_bytes(line);
    assert_int_equal(bytes, strlen(family->name));
    assert_memory_equal(line, family->name, bytes);
    assert_false(reader->has_type);
    assert_int_equal(line[bytes], ' ');
    const char *type = line + bytes + 1;
    assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
                strcmp(type, "histogram") == 0);
    bool ends_in_total = bytes > 6 && strcmp(family->name + bytes - 6, "_total") == 0;
    assert_int_equal(ends_in_total, strcmp(type, "counter") == 0); /* promtool's lint */
    (void)snprintf(family->type, sizeof(family->type), "%s", type);
    reader->has_type = true;
}

/* Reads `{name="value",...}`; returns what is behind it. */
static const char *read_labels(const char *text)
{
    assert_int_equal(*text, '{');
    do {
        text++;
        size_t bytes = name_bytes(text);
        assert_true(bytes > 0);
        text += bytes;
        assert_memory_equal(text, "=\"", 2);
        for (text += 2; *text != '"'; text++) {
            assert_true(*text != '\0' && *text != '\n');
            if (*text == '\\') {
                text++;
                assert_non_null(strchr("\\\"n", *text));
            }
        }
        text++;
    } while (*text == ',');
    assert_int_equal(*text, '}');
    return text + 1;
}

static void read_sample(struct reader *reader, const char *line)
{
    assert_true(reader->family_count > 0 && reader->has_type);
    struct family *family = &reader->families[reader->family_count - 1];
    size_t family_bytes = strlen(family->name);
    assert_memory_equal(line, family->name, family_bytes); /* samples of a metric are neighbours */
    size_t bytes = name_bytes(line);
    if (strcmp(family->type, "histogram") == 0) {
        const char *suffix = line + family_bytes;
        assert_true(strncmp(suffix, "_bucket{", 8) == 0 || strncmp(suffix, "_sum ", 5) == 0 ||
                    strncmp(suffix, "_count ", 7) == 0);
    } else {
        assert_int_equal(bytes, family_bytes);
    }
    const char *rest = line + bytes;
    if (*rest == '{') {
        rest = read_labels(rest);
    }
    char *sample = reader->samples[reader->sample_count];
    (void)snprintf(sample, sizeof(reader->samples[0]), "%.*s", (int)(rest - line), line);
    for (uint32_t i = 0; i < reader->sample_count; i++) {
        assert_string_not_equal(reader->samples[i], sample);
    }
    reader->sample_count++;
    assert_int_equal(*rest, ' ');
    char *end;
    double value = strtod(rest + 1, &end);
    assert_true(end > rest + 1 && *end == '\0' && value >= 0);
    family->sample_count++;
}

static void read_text(struct reader *reader, char *text)
{
    size_t bytes = strlen(text);
    assert_true(bytes > 0 && text[bytes - 1] == '\n');
    for (char *line = text; *line != '\0';) {
        char *end = strchr(line, '\n');
        *end = '\0';
        if (strncmp(line, "# HELP ", 7) == 0) {
            read_help(reader, line + 7);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            read_type(reader, line + 7);
        } else {
            read_sample(reader, line);
        }
        line = end + 1;
    }
}

static void metrics_are_well_formed(void **state)
{
    struct rig *rig = *state;
    struct reader *reader = calloc(1, sizeof(*reader));
    assert_non_null(reader);
    assert_null(strstr(rig->text, "\n\n"));
    read_text(reader, rig->text);
    assert_true(reader->family_count > 40);
    for (uint32_t i = 0; i < reader->family_count; i++) {
        assert_memory_equal(reader->families[i].name, METRICS_PREFIX, strlen(METRICS_PREFIX));
        assert_true(reader->families[i].sample_count > 0);
    }
    free(reader);
}

static void metrics_have_the_names_that_people_rely_on(void **state)
{
    struct rig *rig = *state;
    static const char *const lines[] = {
        "\nturntable_requests_total{code=\"2xx\"} 22\n",
        "\nturntable_requests_total{code=\"4xx\"} 44\n",
        "\nturntable_connections{state=\"active\"} 0\n",
        "\nturntable_table_slots{state=\"free\"} 0\n",
        "\nturntable_generation 0\n",
        "\nturntable_generations_draining 0\n",
        "\n# TYPE turntable_generation_drain_seconds histogram\n",
        "\nturntable_versions_retired 3\n",
        "\nturntable_version_retirements_total 10\n",
        "\nturntable_limit_hits_total{limit=\"watches\"} 4\n",
        "\nturntable_aborted_responses_total{reason=\"changed\"} 0\n",
        "\nturntable_watch_overflows_total 0\n",
        "\nturntable_freshness_seconds_bucket{le=\"0.00005\"} 0\n",
        "\nturntable_freshness_seconds_bucket{le=\"0.0001\"} 1\n",
        "\nturntable_freshness_seconds_bucket{le=\"5\"} 2\n",
        "\nturntable_freshness_seconds_bucket{le=\"+Inf\"} 2\n",
        "\nturntable_freshness_seconds_sum 3.000060005\n",
        "\nturntable_freshness_seconds_count 2\n",
        "\nturntable_start_time_seconds 1700000000\n",
        "turntable_info{version=\"1.2.3\",kernel=\"6.18\",engine=\"uring\",files=\"plain\",",
        ",lifetime=\"per-slot\",freshness=\"watch\"} 1\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        print_message("%s", lines[i]);
        assert_non_null(strstr(rig->text, lines[i]));
    }
}

static void metrics_escape_label_values(void **state)
{
    struct rig *rig = *state;
    rig->facts.kernel = "a\"b\\c\nd";
    char *text = write_text(&rig->report);
    assert_non_null(strstr(text, ",kernel=\"a\\\"b\\\\c\\nd\","));
    free(text);
}

/* ---- docs/METRICS.md ---- */

/* The keys of a label text, and its values when a metric has several samples. */
static void describe_labels(const struct metric_list *list, uint32_t first, FILE *out)
{
    const char *label = list->metrics[first].label;
    for (const char *at = label; *at != '\0';) {
        int key_bytes = (int)strcspn(at, "=");
        (void)fprintf(out, "%s`%.*s`", at == label ? "" : ", ", key_bytes, at);
        at += key_bytes + 2;
        at += strcspn(at, "\"") + 1;
        at += *at == ',';
    }
    uint32_t count = metric_sample_count(list, first);
    for (uint32_t i = 0; count > 1 && i < count; i++) {
        struct span value = metric_label_value(list->metrics[first + i].label);
        (void)fprintf(out, "%s%.*s", i == 0 ? ": " : ", ", (int)value.bytes,
                      (const char *)value.ptr);
    }
}

/* The table as the page has to show it. */
static char *make_table(const struct report *report)
{
    struct metric_list list;
    metrics_collect(report, &list);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    (void)fputs("| name | type | labels | meaning |\n| --- | --- | --- | --- |\n", out);
    for (uint32_t i = 0; i < list.count; i += metric_sample_count(&list, i)) {
        (void)fprintf(out, "| `" METRICS_PREFIX "%s` | %s | ", list.metrics[i].name,
                      metric_type_word(list.metrics[i].type));
        describe_labels(&list, i, out);
        (void)fputs(" | ", out);
        metric_help_write(&list, i, out);
        (void)fputs(" |\n", out);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

static void metrics_page_lists_every_metric(void **state)
{
    struct rig *rig = *state;
    static char page[65536];
    FILE *file = fopen(METRICS_PAGE, "re");
    assert_non_null(file);
    size_t bytes = fread(page, 1, sizeof(page) - 1, file);
    page[bytes] = '\0';
    assert_int_equal(fclose(file), 0);
    char *table = make_table(&rig->report);
    if (strstr(page, table) == NULL) {
        (void)fputs(table, stdout); /* print_message() cuts long texts */
        (void)fflush(stdout);
        free(table);
        fail_msg("docs/METRICS.md: put the table above in place of the one that is there");
    }
    free(table);
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_create, rig_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(metrics_are_well_formed),
        RIG_TEST(metrics_have_the_names_that_people_rely_on),
        RIG_TEST(metrics_escape_label_values),
        RIG_TEST(metrics_page_lists_every_metric),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
