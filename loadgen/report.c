#include "loadgen/report.h"

#include <inttypes.h>
#include <string.h>

#include "server/base/check.h"
#include "server/base/clock.h"

/* Results of printing are dropped here: whoever opened the stream asks it once, at its end. */

#define TEXT_MAX 64

struct text {
    char text[TEXT_MAX];
};

enum bottleneck report_bottleneck(const struct load_result *result)
{
    if (result->client_busy >= REPORT_CLIENT_BUSY_MIN) {
        return BOTTLENECK_CLIENT;
    }
    if (!result->has_server_cpu || result->seconds <= 0) {
        return BOTTLENECK_UNKNOWN;
    }
    /* Of n workers all must be busy: 1.95 CPUs are two busy ones, 1.5 are not. */
    double cpus = (double)result->server_cpu_ns / (double)NS_PER_SEC / result->seconds;
    double of_last = cpus - (double)(uint64_t)cpus;
    bool is_full = cpus >= 1 && of_last < 1 - REPORT_SERVER_BUSY_MIN;
    return is_full || of_last >= REPORT_SERVER_BUSY_MIN ? BOTTLENECK_SERVER : BOTTLENECK_NEITHER;
}

bool report_is_clean(const struct load_result *result)
{
    return tally_bad_count(&result->tally) == 0 && result->tally.outcomes[OUTCOME_GOOD] > 0 &&
           result->rotator.failed == 0;
}

/* ------------------------------------------------------------------------------------ figures */

/* 1234567 as 1,234,567. */
static struct text group_digits(uint64_t value)
{
    char digits[TEXT_MAX];
    int count = snprintf(digits, sizeof(digits), "%" PRIu64, value);
    struct text text;
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            text.text[bytes++] = ',';
        }
        text.text[bytes++] = digits[i];
    }
    text.text[bytes] = '\0';
    return text;
}

static struct text format_ns(double value_ns)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    struct text text;
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (value_ns >= units[i].ns) {
            double value = value_ns / units[i].ns;
            int decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
            (void)snprintf(text.text, TEXT_MAX, "%.*f %s", decimals, value, units[i].unit);
            return text;
        }
    }
    (void)snprintf(text.text, TEXT_MAX, "%.0f ns", value_ns);
    return text;
}

static struct text format_bytes(double bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    while (bytes >= 1000 && unit + 1 < ARRAY_COUNT(units)) {
        bytes /= 1000;
        unit++;
    }
    struct text text;
    (void)snprintf(text.text, TEXT_MAX, "%.*f %s", unit == 0 ? 0 : 2, bytes, units[unit]);
    return text;
}

static double per_second(const struct load_result *result, uint64_t count)
{
    return result->seconds > 0 ? (double)count / result->seconds : 0;
}

/* --------------------------------------------------------------------------------------- text */

static void write_head(const struct options *options, FILE *out)
{
    (void)fputs("turntable-load:", out);
    for (size_t i = 0; i < options->url_count; i++) {
        (void)fprintf(out, " %s", options->urls[i]);
    }
    (void)fprintf(out, "\n  %" PRIu32 " connections, %" PRIu32 " thread%s, closed loop, %s\n\n",
                  options->connections, options->threads, options->threads == 1 ? "" : "s",
                  options->verifies_all ? "every body verified" : "bodies not verified");
}

static void write_counts(const struct load_result *result, FILE *out)
{
    const struct tally *tally = &result->tally;
    uint64_t complete = tally_complete_count(tally);
    (void)fprintf(out, "requests    %s in %.2f s%s\n", group_digits(tally->requests).text,
                  result->seconds, result->is_interrupted ? ", interrupted" : "");
    (void)fprintf(out, "rate        %s answers/s%s, %s/s\n",
                  group_digits((uint64_t)per_second(result, complete)).text,
                  complete == tally->requests ? "" : " of status 200, complete",
                  format_bytes(per_second(result, tally->received_bytes)).text);
    if (tally->unfinished > 0) {
        (void)fprintf(out, "unfinished  %s, the longest after %s\n",
                      group_digits(tally->unfinished).text,
                      format_ns((double)tally->unfinished_max_ns).text);
    }
}

static uint64_t group_sum(const struct tally *tally, const char *group)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        sum += strcmp(outcome_group((enum outcome)i), group) == 0 ? tally->outcomes[i] : 0;
    }
    return sum;
}

static void write_wrong_reasons(const struct tally *tally, FILE *out)
{
    for (size_t i = 0; i < WRONG_REASON_COUNT; i++) {
        if (tally->wrong_reasons[i] > 0) {
            (void)fprintf(out, "              %s %s\n", group_digits(tally->wrong_reasons[i]).text,
                          wrong_reason_text((enum wrong_reason)i));
        }
    }
}

/* Each outcome of the group that there was, with what the first of it met. */
static void write_group(const struct tally *tally, const char *group, FILE *out)
{
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        enum outcome outcome = (enum outcome)i;
        if (tally->outcomes[i] == 0 || strcmp(outcome_group(outcome), group) != 0) {
            continue;
        }
        (void)fprintf(out, "  %-12s %s (%s)\n", outcome_name(outcome),
                      group_digits(tally->outcomes[i]).text, outcome_text(outcome));
        if (outcome == OUTCOME_WRONG) {
            write_wrong_reasons(tally, out);
        }
        (void)fprintf(out, "               first: %s\n", tally->samples[i]);
    }
}

static void write_errors(const struct options *options, const struct tally *tally, FILE *out)
{
    uint64_t errors = group_sum(tally, "errors");
    (void)fprintf(out, "errors      %s\n", errors == 0 ? "none" : group_digits(errors).text);
    write_group(tally, "errors", out);
    if (!options->verifies_all) {
        return;
    }
    uint64_t findings = group_sum(tally, "verify");
    (void)fprintf(out, "verified    %s bodies, %s\n", group_digits(tally->checked).text,
                  findings == 0 ? "all good" : "not all good:");
    write_group(tally, "verify", out);
    if (tally->outcomes[OUTCOME_UNVERIFIABLE] > 0) {
        (void)fputs("               to verify, let the load make the files: --rotate DIR\n", out);
    }
}

static void write_percentiles(const char *name, const struct histogram *histogram, FILE *out)
{
    static const uint32_t parts[] = {500000, 900000, 990000, 999000};
    if (histogram->count == 0) {
        return;
    }
    (void)fprintf(out, "%-12s", name);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        double value_ns = (double)histogram_percentile(histogram, parts[i]);
        (void)fprintf(out, "%-10s", format_ns(value_ns).text);
    }
    (void)fprintf(out, "%-10s", format_ns((double)histogram->max_ns).text);
    (void)fprintf(out, "%s\n", format_ns(histogram_mean(histogram)).text);
}

static void write_times(const struct load_result *result, FILE *out)
{
    (void)fputs("\n            p50       p90       p99       p99.9     max       mean\n", out);
    write_percentiles("response", &result->tally.service, out);
    write_percentiles("first byte", &result->tally.first_byte, out);
    write_percentiles("stale for", &result->tally.staleness, out);
    if (result->has_rotator) {
        write_percentiles("release", &result->releases, out);
    }
    (void)fputs("(a closed loop: while the server stalls nothing is sent, so that these understate "
                "stalls)\n",
                out);
}

static void write_rotation(const struct load_result *result, FILE *out)
{
    if (!result->has_rotator) {
        return;
    }
    const struct rotator_counts *rotator = &result->rotator;
    (void)fprintf(out, "\nrotations   %s, %.1f/s", group_digits(rotator->replaced).text,
                  per_second(result, rotator->replaced));
    if (rotator->skipped > 0) {
        (void)fprintf(out, ", %s skipped for being late", group_digits(rotator->skipped).text);
    }
    (void)fputc('\n', out);
    if (rotator->failed > 0) {
        (void)fprintf(out, "            %s failed: %s\n", group_digits(rotator->failed).text,
                      strerror(-rotator->error));
    }
    const struct witness_counts *witness = &result->witness;
    (void)fprintf(out, "witness     %s replaced files watched, %s released, %s still held\n",
                  group_digits(witness->watched).text, group_digits(witness->released).text,
                  group_digits(witness->pending).text);
    if (witness->unwatched + witness->lost > 0) {
        (void)fprintf(out,
                      "            %s could not be watched, of %s the news were lost"
                      " (fs.inotify.max_user_watches, max_queued_events)\n",
                      group_digits(witness->unwatched).text, group_digits(witness->lost).text);
    }
}

static void write_cpu(const struct load_result *result, FILE *out)
{
    double requests = (double)result->tally.requests;
    if (requests <= 0) {
        return;
    }
    (void)fputs("\nCPU/request ", out);
    if (result->has_server_cpu) {
        (void)fprintf(out, "server %.2f us, ", (double)result->server_cpu_ns / 1e3 / requests);
    }
    (void)fprintf(out, "client %.2f us%s\n", (double)result->client_cpu_ns / 1e3 / requests,
                  result->has_rotator ? " (without the rotator's and the witness's threads)" : "");
}

static void write_verdict(const struct load_result *result, FILE *out)
{
    double busy = result->client_busy * 100;
    double server = 0;
    if (result->has_server_cpu) {
        server = per_second(result, result->server_cpu_ns) / (double)NS_PER_SEC;
    }
    switch (report_bottleneck(result)) {
    case BOTTLENECK_CLIENT:
        (void)fprintf(out,
                      "verdict     client: its threads were %.0f %% busy, so this measures the "
                      "load generator; add threads (-t)\n",
                      busy);
        return;
    case BOTTLENECK_SERVER:
        (void)fprintf(out,
                      "verdict     server: it used %.2f CPUs, the client threads were %.0f %% "
                      "busy\n",
                      server, busy);
        return;
    case BOTTLENECK_NEITHER:
        (void)fprintf(out,
                      "verdict     neither: the server used %.2f CPUs, the client threads were "
                      "%.0f %% busy; more connections may ask for more\n",
                      server, busy);
        return;
    case BOTTLENECK_UNKNOWN:
        (void)fprintf(out,
                      "verdict     not the client (%.0f %% busy); --server-pid PID tells whether "
                      "it was the server\n",
                      busy);
        return;
    }
}

void report_write_text(const struct options *options, const struct load_result *result, FILE *out)
{
    write_head(options, out);
    write_counts(result, out);
    write_errors(options, &result->tally, out);
    write_times(result, out);
    write_rotation(result, out);
    write_cpu(result, out);
    write_verdict(result, out);
}
