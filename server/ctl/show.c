#include "server/ctl/show.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/sentence.h"
#include "server/ctl/units.h"

#define LABEL_COLUMNS 13

/* A line: a label, or none, and text whose control bytes are gone: it comes from a socket. */
[[gnu::format(printf, 3, 4)]] static void
write_line(FILE *out, const char *label, const char *format, ...)
{
    char text[SENTENCE_MAX];
    struct sentence line = {.text = ""};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* a line that is cut is still one */
    va_end(args);
    sentence_set(&line, "%-*s%s", LABEL_COLUMNS, label, text);
    (void)fprintf(out, "%s\n", line.text);
}

static uint64_t number_at(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value < 0 ? 0 : (uint64_t)value;
}

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "?" : text;
}

static void show_program(const json_t *status, FILE *out)
{
    char uptime[UNITS_TEXT_BYTES];
    units_format_seconds(number_at(status, "uptime_seconds"), uptime);
    write_line(out, "turntable", "%s, %s for %s, Linux %s", text_at(status, "version"),
               text_at(status, "state"), uptime, text_at(status, "kernel"));
    write_line(out, "engine", "%s, files %s, lifetime %s, freshness %s, %" PRIu64 " workers",
               text_at(status, "engine"), text_at(status, "files"), text_at(status, "lifetime"),
               text_at(status, "freshness"), number_at(status, "workers"));
    const json_t *listeners = json_object_get(status, "listeners");
    for (size_t i = 0; i < json_array_size(listeners); i++) {
        const char *address = json_string_value(json_array_get(listeners, i));
        write_line(out, i == 0 ? "listens" : "", "%s", address == NULL ? "?" : address);
    }
}

static void show_versions(const json_t *status, FILE *out)
{
    uint64_t retired = number_at(status, "versions_retired");
    uint64_t released = number_at(status, "versions_released");
    char memory[UNITS_TEXT_BYTES];
    units_format_bytes(number_at(status, "memory_bytes"), memory);
    write_line(out, "generation", "%" PRIu64 ", %" PRIu64 " draining",
               number_at(status, "generation"), number_at(status, "generations_draining"));
    write_line(out, "versions",
               "%" PRIu64 " live; %" PRIu64 " retired, of these %" PRIu64
               " not yet released; %" PRIu64 " evicted",
               number_at(status, "versions_live"), retired,
               retired > released ? retired - released : 0, number_at(status, "versions_evicted"));
    const json_t *slots = json_object_get(status, "slots");
    write_line(out, "slots", "%" PRIu64 " free, %" PRIu64 " live, %" PRIu64 " retiring",
               number_at(slots, "free"), number_at(slots, "live"), number_at(slots, "retiring"));
    write_line(out, "files", "%" PRIu64 " open, %s in memory", number_at(status, "open_files"),
               memory);
    write_line(out, "watches",
               "%" PRIu64 " directories, %" PRIu64 " paths unwatched, %" PRIu64 " overflows",
               number_at(status, "watches"), number_at(status, "unwatched"),
               number_at(status, "watch_overflows"));
}

static void show_traffic(const json_t *status, FILE *out)
{
    const json_t *connections = json_object_get(status, "connections");
    const json_t *responses = json_object_get(status, "responses");
    char sent[UNITS_TEXT_BYTES];
    units_format_bytes(number_at(status, "bytes_sent"), sent);
    write_line(out, "connections", "%" PRIu64 " active, %" PRIu64 " idle",
               number_at(connections, "active"), number_at(connections, "idle"));
    write_line(out, "requests", "%" PRIu64, number_at(status, "requests"));
    write_line(
        out, "answers",
        "2xx %" PRIu64 ", 3xx %" PRIu64 ", 4xx %" PRIu64 ", 5xx %" PRIu64 "; %" PRIu64 " aborted",
        number_at(responses, "2xx"), number_at(responses, "3xx"), number_at(responses, "4xx"),
        number_at(responses, "5xx"), number_at(status, "aborted"));
    write_line(out, "sent", "%s", sent);
}

static void show_limits(const json_t *status, FILE *out)
{
    /* jansson's iterators want a json_t that is not const, and do not change it. */
    json_t *hits = json_object_get(status, "limit_hits");
    const char *name;
    json_t *count;
    bool has_hit = false;
    json_object_foreach(hits, name, count)
    {
        if (json_integer_value(count) > 0) {
            write_line(out, has_hit ? "" : "limits hit", "%s %" JSON_INTEGER_FORMAT, name,
                       json_integer_value(count));
            has_hit = true;
        }
    }
    if (!has_hit) {
        write_line(out, "limits hit", "none");
    }
}

void show_status(const json_t *status, FILE *out)
{
    show_program(status, out);
    show_versions(status, out);
    show_traffic(status, out);
    show_limits(status, out);
}

void show_generations(const json_t *generations, FILE *out)
{
    char freshness[UNITS_TEXT_BYTES];
    char drain[UNITS_TEXT_BYTES];
    units_format_microseconds(number_at(generations, "freshness_mean_us"), freshness);
    units_format_microseconds(number_at(generations, "drain_mean_us"), drain);
    write_line(out, "generation", "%" PRIu64, number_at(generations, "generation"));
    write_line(out, "draining", "%" PRIu64, number_at(generations, "generations_draining"));
    write_line(out, "drained", "%" PRIu64 ", on average %s after the change was noticed",
               number_at(generations, "generations_drained"), drain);
    write_line(out, "freshness", "every worker serves a change %s after it was noticed, on average",
               freshness);
}
