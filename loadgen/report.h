/*
 * What a run says at its end: as text for people, as JSON for scripts, and in its exit status.
 *
 * Pure but for the stream that it writes to.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "loadgen/load.h"
#include "loadgen/options.h"

/* What kept the run from being faster. */
enum bottleneck {
    BOTTLENECK_CLIENT,  /* our threads had no CPU time left: the figures are about us */
    BOTTLENECK_SERVER,  /* the server used up at least nearly a CPU */
    BOTTLENECK_NEITHER, /* both had CPU time left: waiting, for each other, a disk, a network */
    BOTTLENECK_UNKNOWN, /* not us; of the server nothing is known (--server-pid) */
};

/* Client threads that are so busy are the bottleneck. */
#define REPORT_CLIENT_BUSY_MIN 0.9
/* A server that uses so much of its last CPU has no time left. */
#define REPORT_SERVER_BUSY_MIN 0.9

enum bottleneck report_bottleneck(const struct load_result *result);

/** True when every answer was good, there was one, and the rotator could do its work. */
bool report_is_clean(const struct load_result *result);

void report_write_text(const struct options *options, const struct load_result *result, FILE *out);
void report_write_json(const struct options *options, const struct load_result *result, FILE *out);
