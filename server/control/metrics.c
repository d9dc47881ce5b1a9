#include "server/control/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "server/base/check.h"
#include "server/base/clock.h"

/* Appends `text` as the inside of a label value: backslash, quote and newline are escaped. */
static void append_escaped(char *buffer, size_t buffer_bytes, const char *text)
{
    size_t used = strlen(buffer);
    for (; *text != '\0' && used + 3 < buffer_bytes; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n') {
            buffer[used++] = '\\';
        }
        buffer[used++] = *text;
        if (*text == '\n') {
            buffer[used - 1] = 'n';
        }
    }
    buffer[used] = '\0';
}

static void append_label(char *buffer, size_t buffer_bytes, const char *key, const char *value)
{
    size_t used = strlen(buffer);
    (void)snprintf(buffer + used, buffer_bytes - used, "%s%s=\"", used == 0 ? "" : ",",
                   key); /* keys are short */
    append_escaped(buffer, buffer_bytes - 2, value);
    used = strlen(buffer);
    memcpy(buffer + used, "\"", 2);
}

static void describe_info(const struct report *report, char *buffer, size_t buffer_bytes)
{
    const struct control_facts *facts = report->facts;
    buffer[0] = '\0';
    append_label(buffer, buffer_bytes, "version", facts->version);
    append_label(buffer, buffer_bytes, "kernel", facts->kernel);
    append_label(buffer, buffer_bytes, "engine", facts->engine);
    append_label(buffer, buffer_bytes, "files", report_files_word(report->settings));
    append_label(buffer, buffer_bytes, "lifetime", facts->lifetime);
    append_label(buffer, buffer_bytes, "freshness", facts->freshness);
}

/* Puts a metric behind the last one of its name, or at the end. */
static void list_add(struct metric_list *list, struct metric metric)
{
    ASSERT(list->count < METRICS_MAX);
    uint32_t index = list->count;
    while (index > 0 && strcmp(list->metrics[index - 1].name, metric.name) != 0) {
        index--;
    }
    if (index == 0) {
        index = list->count;
    }
    memmove(&list->metrics[index + 1], &list->metrics[index],
            (list->count - index) * sizeof(list->metrics[0]));
    list->metrics[index] = metric;
    list->count++;
}

static void collect_worker_metrics(const struct report *report, struct metric_list *list)
{
#define WORKER_METRIC(metric_type, field, metric_name, metric_label, metric_help)                  \
    list_add(list, (struct metric){                                                                \
                       .type = metric_type,                                                        \
                       .name = metric_name,                                                        \
                       .label = metric_label,                                                      \
                       .help = metric_help,                                                        \
                       .value = report->totals.field,                                              \
                   });
#define COUNTER(field, metric, label, help)                                                        \
    WORKER_METRIC(METRIC_COUNTER, field, metric, label, help)
#define GAUGE(field, metric, label, help) WORKER_METRIC(METRIC_GAUGE, field, metric, label, help)
#include "server/base/counters.def" /* nogncheck: data for whoever lists all counters */
#undef COUNTER
#undef GAUGE
#undef WORKER_METRIC
}

static void collect_control_metrics(const struct report *report, struct metric_list *list)
{
    const struct metric metrics[] = {
#define CONTROL_METRIC(metric_type, metric_name, metric_label, metric_value, metric_help)          \
    {                                                                                              \
        .type = metric_type,                                                                       \
        .name = metric_name,                                                                       \
        .label = metric_label,                                                                     \
        .help = metric_help,                                                                       \
        .value = metric_value,                                                                     \
    },
#define COUNTER(owner, metric, label, value, help)                                                 \
    CONTROL_METRIC(METRIC_COUNTER, metric, label, value, help)
#define GAUGE(owner, metric, label, value, help)                                                   \
    CONTROL_METRIC(METRIC_GAUGE, metric, label, value, help)
#define HISTOGRAM(owner, metric, metric_histogram, metric_help)                                    \
    {                                                                                              \
        .type = METRIC_HISTOGRAM,                                                                  \
        .name = metric,                                                                            \
        .label = "",                                                                               \
        .help = metric_help,                                                                       \
        .histogram = metric_histogram,                                                             \
    },
#include "server/control/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef CONTROL_METRIC
    };
    for (size_t i = 0; i < ARRAY_COUNT(metrics); i++) {
        list_add(list, metrics[i]);
    }
}

void metrics_collect(const struct report *report, struct metric_list *ret_list)
{
    ret_list->count = 0;
    describe_info(report, ret_list->info_labels, sizeof(ret_list->info_labels));
    collect_worker_metrics(report, ret_list);
    collect_control_metrics(report, ret_list);
}

uint32_t metric_sample_count(const struct metric_list *list, uint32_t first_index)
{
    const char *name = list->metrics[first_index].name;
    uint32_t count = 1;
    while (first_index + count < list->count &&
           strcmp(list->metrics[first_index + count].name, name) == 0) {
        count++;
    }
    return count;
}

struct span metric_label_value(const char *label)
{
    const char *quote = strchr(label, '"');
    return quote == NULL ? SPAN("") : span_of(quote + 1, strcspn(quote + 1, "\""));
}

void metric_help_write(const struct metric_list *list, uint32_t first_index, FILE *out)
{
    const struct metric *first = &list->metrics[first_index];
    uint32_t count = metric_sample_count(list, first_index);
    bool is_shared = true;
    for (uint32_t i = 1; i < count; i++) {
        is_shared = is_shared && strcmp(first[i].help, first->help) == 0;
    }
    if (is_shared) {
        (void)fputs(first->help, out);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct span value = metric_label_value(first[i].label);
        (void)fprintf(out, "%s%.*s: %s", i == 0 ? "" : "; ", (int)value.bytes,
                      (const char *)value.ptr, first[i].help);
    }
}

const char *metric_type_word(enum metric_type type)
{
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        break;
    }
    return "histogram";
}

static void histogram_write(const struct metric *metric, FILE *out)
{
    const struct histogram *histogram = metric->histogram;
    for (uint32_t i = 0; i <= HISTOGRAM_BUCKET_COUNT; i++) {
        (void)fprintf(out, METRICS_PREFIX "%s_bucket{le=\"%s\"} %" PRIu64 "\n", metric->name,
                      histogram_bound_text(i), histogram_cumulative(histogram, i));
    }
    (void)fprintf(out,
                  METRICS_PREFIX "%s_sum %" PRIu64 ".%09" PRIu64 "\n" METRICS_PREFIX
                                 "%s_count %" PRIu64 "\n",
                  metric->name, histogram->sum_ns / NS_PER_SEC, histogram->sum_ns % NS_PER_SEC,
                  metric->name, histogram->count);
}

static void sample_write(const struct metric *metric, FILE *out)
{
    if (metric->type == METRIC_HISTOGRAM) {
        histogram_write(metric, out);
        return;
    }
    bool has_label = metric->label[0] != '\0';
    (void)fprintf(out, METRICS_PREFIX "%s%s%s%s %" PRIu64 "\n", metric->name, has_label ? "{" : "",
                  metric->label, has_label ? "}" : "", metric->value);
}

void metrics_write(const struct report *report, FILE *out)
{
    struct metric_list list;
    metrics_collect(report, &list);
    for (uint32_t first = 0; first < list.count;) {
        const struct metric *metric = &list.metrics[first];
        (void)fprintf(out, "# HELP " METRICS_PREFIX "%s ", metric->name);
        metric_help_write(&list, first, out);
        (void)fprintf(out, "\n# TYPE " METRICS_PREFIX "%s %s\n", metric->name,
                      metric_type_word(metric->type));
        uint32_t end = first + metric_sample_count(&list, first);
        for (; first < end; first++) {
            sample_write(&list.metrics[first], out);
        }
    }
}
