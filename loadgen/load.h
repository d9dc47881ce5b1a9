/*
 * A whole run: the rotator's files, the clients, the wait for their end with its progress line, and
 * the witness's last look. The main thread's; it leaves only the report to be written.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loadgen/histogram.h"
#include "loadgen/options.h"
#include "loadgen/rotator.h"
#include "loadgen/tally.h"
#include "loadgen/witness.h"
#include "server/base/clock.h"

#define LOAD_ERROR_MAX 1024
/* After the load, replaced files that the server still holds are waited for so long. */
#define LOAD_WITNESS_WAIT_NS (5 * NS_PER_SEC)

/* What a run gave. Plain data. */
struct load_result {
    struct tally tally;
    double seconds;      /* from the first request's beginning to the last one's end */
    bool is_interrupted; /* by INT or TERM */

    uint64_t client_cpu_ns; /* of our process without the rotator's and the witness's threads */
    double client_busy;     /* CPU time of the client threads over their wall time, 0..1 */
    bool has_server_cpu;    /* --server-pid was given, and the process lived to the end */
    uint64_t server_cpu_ns;

    bool has_rotator;
    struct rotator_counts rotator;
    struct witness_counts witness;
    struct histogram releases; /* replaced until released */
};

/**
 * Does all that the options say. Blocks; takes over INT and TERM.
 *
 * ret_result   set on success; too big for a stack
 * ret_error    set on failure: one line, with the remedy where one is known
 * returns      0; -EINVAL (usage: a URL, a PID, too many connections); else why it could not start
 */
[[gnu::warn_unused_result]] int load_run(const struct options *options,
                                         struct load_result *ret_result,
                                         char ret_error[static LOAD_ERROR_MAX]);
