#include "server/control/status.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/control/metrics.h"

/* The metric whose labels name the limits. */
#define LIMIT_METRIC "limit_hits_total"

/* jansson's setters take over the value and pass on a NULL made for want of memory as an error:
 * counting those is all the error handling that a report needs. */
struct builder {
    int failed_count;
};

static json_t *object_add(struct builder *builder, json_t *parent, const char *name)
{
    json_t *object = json_object();
    builder->failed_count += json_object_set_new(parent, name, object) != 0;
    return object;
}

/* JSON's readers stop at 2^63; a counter does not get there. */
static json_t *make_number(uint64_t value)
{
    return json_integer((json_int_t)(value <= INT64_MAX ? value : INT64_MAX));
}

static void add_number(struct builder *builder, json_t *parent, const char *name, uint64_t value)
{
    builder->failed_count += json_object_set_new(parent, name, make_number(value)) != 0;
}

/* Names of sockets come from outside, and JSON takes UTF-8 only. */
static json_t *make_text(const char *text)
{
    json_t *string = json_string(text);
    return string != NULL ? string : json_string("(not UTF-8)");
}

static void add_text(struct builder *builder, json_t *parent, const char *name, const char *text)
{
    builder->failed_count += json_object_set_new(parent, name, make_text(text)) != 0;
}

static void add_facts(struct builder *builder, json_t *root, const struct report *report)
{
    const struct control_facts *facts = report->facts;
    add_text(builder, root, "version", facts->version);
    add_text(builder, root, "kernel", facts->kernel);
    add_text(builder, root, "engine", facts->engine);
    add_text(builder, root, "files", report_files_word(report->settings));
    add_text(builder, root, "lifetime", facts->lifetime);
    add_text(builder, root, "freshness", facts->freshness);
    add_text(builder, root, "state", report->is_draining ? "draining" : "serving");
    add_number(builder, root, "uptime_seconds", report->uptime_ns / NS_PER_SEC);
    add_number(builder, root, "workers", report->worker_count);
}

static void add_listeners(struct builder *builder, json_t *root, const struct control_facts *facts)
{
    json_t *listeners = json_array();
    builder->failed_count += json_object_set_new(root, "listeners", listeners) != 0;
    for (uint32_t i = 0; i < facts->listen_count; i++) {
        json_t *address = make_text(facts->listen_addresses[i]);
        builder->failed_count += json_array_append_new(listeners, address) != 0;
    }
}

static void add_versions(struct builder *builder, json_t *root, const struct report *report)
{
    const struct catalog_counters *catalog = report->catalog;
    add_number(builder, root, "generation", catalog->generation);
    add_number(builder, root, "generations_draining", catalog->generations_draining);
    add_number(builder, root, "versions_live", catalog->versions_live);
    add_number(builder, root, "versions_retired", catalog->versions_retired);
    add_number(builder, root, "versions_released", catalog->versions_released);
    add_number(builder, root, "versions_evicted", catalog->versions_evicted);
    add_number(builder, root, "open_files", catalog->open_files);
    add_number(builder, root, "memory_bytes", catalog->memory_bytes);
    add_number(builder, root, "watches", catalog->watches);
    add_number(builder, root, "unwatched", catalog->unwatched);
    add_number(builder, root, "watch_overflows", catalog->watch_overflows);
    json_t *slots = object_add(builder, root, "slots");
    add_number(builder, slots, "free", report->totals.slots_free);
    add_number(builder, slots, "live", report->totals.slots_live);
    add_number(builder, slots, "retiring", report->totals.slots_retiring);
}

static void add_traffic(struct builder *builder, json_t *root, const struct worker_totals *totals)
{
    json_t *connections = object_add(builder, root, "connections");
    add_number(builder, connections, "active", totals->connections_active);
    add_number(builder, connections, "idle", totals->connections_idle);
    add_number(builder, root, "requests", totals->requests);
    json_t *responses = object_add(builder, root, "responses");
    add_number(builder, responses, "2xx", totals->responses_2xx);
    add_number(builder, responses, "3xx", totals->responses_3xx);
    add_number(builder, responses, "4xx", totals->responses_4xx);
    add_number(builder, responses, "5xx", totals->responses_5xx);
    add_number(builder, root, "bytes_sent", totals->bytes_sent);
    add_number(builder, root, "aborted",
               totals->aborted_changed + totals->aborted_read + totals->aborted_peer +
                   totals->aborted_stalled + totals->aborted_drain);
}

static void add_limits(struct builder *builder, json_t *root, const struct settings *settings)
{
    json_t *limits = object_add(builder, root, "limits");
    add_number(builder, limits, "sendfile_bytes", settings->sendfile_bytes);
    add_number(builder, limits, "memory_body_bytes", settings->memory_body_bytes);
    add_number(builder, limits, "memory_total_bytes", settings->memory_total_bytes);
    add_number(builder, limits, "table_slots", settings->table_slots);
    add_number(builder, limits, "max_connections", settings->max_connections);
}

static void add_limit_hits(struct builder *builder, json_t *root, const struct report *report)
{
    json_t *hits = object_add(builder, root, "limit_hits");
    struct metric_list list;
    metrics_collect(report, &list);
    for (uint32_t i = 0; i < list.count; i++) {
        if (strcmp(list.metrics[i].name, LIMIT_METRIC) == 0) {
            struct span limit = metric_label_value(list.metrics[i].label);
            json_t *count = make_number(list.metrics[i].value);
            builder->failed_count +=
                json_object_setn_new(hits, (const char *)limit.ptr, limit.bytes, count) != 0;
        }
    }
}

static int json_write(json_t *root, int failed_count, FILE *out)
{
    int error = failed_count > 0 ? -ENOMEM : 0;
    if (error == 0 && json_dumpf(root, out, JSON_INDENT(2)) != 0) {
        error = -ENOMEM;
    }
    json_decref(root);
    (void)fputc('\n', out); /* errors stay with `out` */
    return error;
}

int status_write(const struct report *report, FILE *out)
{
    struct builder builder = {0};
    json_t *root = json_object();
    add_facts(&builder, root, report);
    add_listeners(&builder, root, report->facts);
    add_versions(&builder, root, report);
    add_traffic(&builder, root, &report->totals);
    add_limits(&builder, root, report->settings);
    add_limit_hits(&builder, root, report);
    return json_write(root, builder.failed_count, out);
}

int status_write_generations(const struct report *report, FILE *out)
{
    const struct catalog_counters *catalog = report->catalog;
    struct builder builder = {0};
    json_t *root = json_object();
    add_number(&builder, root, "generation", catalog->generation);
    add_number(&builder, root, "generations_draining", catalog->generations_draining);
    add_number(&builder, root, "generations_drained", catalog->generations_drained);
    add_number(&builder, root, "versions_live", catalog->versions_live);
    add_number(&builder, root, "versions_retired", catalog->versions_retired);
    add_number(&builder, root, "versions_released", catalog->versions_released);
    add_number(&builder, root, "freshness_mean_us", histogram_mean_ns(report->freshness) / 1000);
    add_number(&builder, root, "drain_mean_us", histogram_mean_ns(report->drain) / 1000);
    return json_write(root, builder.failed_count, out);
}
