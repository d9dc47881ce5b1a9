#include <string.h>

#include "loadgen/json_writer.h"
#include "loadgen/report.h"
#include "server/base/check.h"
#include "server/base/clock.h"

static const char *const bottleneck_names[] = {
    [BOTTLENECK_CLIENT] = "client",
    [BOTTLENECK_SERVER] = "server",
    [BOTTLENECK_NEITHER] = "neither",
    [BOTTLENECK_UNKNOWN] = "unknown",
};

static void write_run(struct json_writer *writer, const struct options *options)
{
    json_begin_array(writer, "urls");
    for (size_t i = 0; i < options->url_count; i++) {
        json_string(writer, NULL, options->urls[i]);
    }
    json_end_array(writer);
    json_string(writer, "loop", "closed");
    json_count(writer, "connections", options->connections);
    json_count(writer, "threads", options->threads);
    json_count(writer, "seed", options->seed);
}

static void write_outcomes(struct json_writer *writer, const struct tally *tally, const char *group)
{
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        if (strcmp(outcome_group((enum outcome)i), group) == 0) {
            json_count(writer, outcome_name((enum outcome)i), tally->outcomes[i]);
        }
    }
}

static void write_statuses(struct json_writer *writer, const struct tally *tally)
{
    json_begin_object(writer, "statuses");
    for (unsigned status = 0; status < TALLY_STATUS_MAX; status++) {
        if (tally->statuses[status] > 0) {
            char name[16];
            (void)snprintf(name, sizeof(name), "%u", status);
            json_count(writer, name, tally->statuses[status]);
        }
    }
    json_end_object(writer);
}

static void
write_verify(struct json_writer *writer, const struct options *options, const struct tally *tally)
{
    json_begin_object(writer, "verify");
    json_string(writer, "mode", options->verifies_all ? "all" : "none");
    json_count(writer, "checked", tally->checked);
    write_outcomes(writer, tally, "verify");
    json_begin_object(writer, "wrong_reasons");
    for (size_t i = 0; i < WRONG_REASON_COUNT; i++) {
        if (tally->wrong_reasons[i] > 0) {
            json_count(writer, wrong_reason_name((enum wrong_reason)i), tally->wrong_reasons[i]);
        }
    }
    json_end_object(writer);
    json_end_object(writer);
}

/* What the first request of each bad outcome met. */
static void write_samples(struct json_writer *writer, const struct tally *tally)
{
    json_begin_object(writer, "first");
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        if (tally->samples[i][0] != '\0') {
            json_string(writer, outcome_name((enum outcome)i), tally->samples[i]);
        }
    }
    json_end_object(writer);
}

/* Of an empty histogram only the count: a percentile of nothing would be made up. */
static void
write_histogram(struct json_writer *writer, const char *name, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        uint32_t parts_per_million;
    } percentiles[] = {{"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p99_9", 999000}};
    json_begin_object(writer, name);
    json_count(writer, "count", histogram->count);
    for (size_t i = 0; histogram->count > 0 && i < ARRAY_COUNT(percentiles); i++) {
        uint64_t ns = histogram_percentile(histogram, percentiles[i].parts_per_million);
        json_number(writer, percentiles[i].name, (double)ns / 1e3, 3);
    }
    if (histogram->count > 0) {
        json_number(writer, "max", (double)histogram->max_ns / 1e3, 3);
        json_number(writer, "mean", histogram_mean(histogram) / 1e3, 3);
    }
    json_end_object(writer);
}

static void write_rotation(struct json_writer *writer,
                           const struct options *options,
                           const struct load_result *result)
{
    if (!result->has_rotator) {
        return;
    }
    json_count(writer, "rotations", result->rotator.replaced);
    json_count(writer, "rotations_skipped", result->rotator.skipped);
    json_count(writer, "rotations_failed", result->rotator.failed);
    if (options->verifies_all) {
        write_histogram(writer, "staleness_us", &result->tally.staleness);
    }
    write_histogram(writer, "release_us", &result->releases);
    json_begin_object(writer, "witness");
    json_count(writer, "watched", result->witness.watched);
    json_count(writer, "released", result->witness.released);
    json_count(writer, "pending", result->witness.pending);
    json_count(writer, "unwatched", result->witness.unwatched);
    json_count(writer, "lost", result->witness.lost);
    json_end_object(writer);
}

static void write_cpu(struct json_writer *writer, const struct load_result *result)
{
    double requests = (double)result->tally.requests;
    if (requests > 0 && result->has_server_cpu) {
        double us = (double)result->server_cpu_ns / 1e3;
        json_number(writer, "server_cpu_us_per_request", us / requests, 3);
    }
    if (requests > 0) {
        double us = (double)result->client_cpu_ns / 1e3;
        json_number(writer, "client_cpu_us_per_request", us / requests, 3);
    }
    json_number(writer, "client_busy", result->client_busy, 4);
    json_string(writer, "verdict", bottleneck_names[report_bottleneck(result)]);
}

void report_write_json(const struct options *options, const struct load_result *result, FILE *out)
{
    const struct tally *tally = &result->tally;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer, NULL);
    write_run(&writer, options);
    json_count(&writer, "requests", tally->requests);
    json_count(&writer, "unfinished", tally->unfinished);
    json_count(&writer, "connects", tally->connects);
    json_count(&writer, "bytes", tally->received_bytes);
    json_number(&writer, "seconds", result->seconds, 6);
    double complete = (double)tally_complete_count(tally);
    json_number(&writer, "rate", result->seconds > 0 ? complete / result->seconds : 0, 3);
    json_bool(&writer, "interrupted", result->is_interrupted);
    json_begin_object(&writer, "errors");
    write_outcomes(&writer, tally, "errors");
    json_end_object(&writer);
    write_statuses(&writer, tally);
    write_verify(&writer, options, tally);
    write_samples(&writer, tally);
    /* In a closed loop a request is sent when it is due: the two are one. */
    write_histogram(&writer, "response_us", &tally->service);
    write_histogram(&writer, "service_us", &tally->service);
    write_histogram(&writer, "first_byte_us", &tally->first_byte);
    write_rotation(&writer, options, result);
    write_cpu(&writer, result);
    json_end_object(&writer);
    (void)fputc('\n', out); /* as all the printing: whoever opened the stream asks it once */
}
