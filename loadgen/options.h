/*
 * The command line of turntable-load, checked. The options themselves are in options.def, from
 * which the parser and --help come.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define OPTIONS_CONNECTIONS_MAX 100000
#define OPTIONS_THREADS_MAX     256
#define OPTIONS_ERROR_MAX       512

struct options {
    uint32_t connections;   /* 1..OPTIONS_CONNECTIONS_MAX, at least one a thread */
    uint32_t threads;       /* 1..OPTIONS_THREADS_MAX */
    uint64_t duration_ns;   /* UINT64_MAX: until request_count requests have ended */
    uint64_t request_count; /* UINT64_MAX: as many as fit the duration */
    uint64_t timeout_ns;    /* > 0 */
    uint64_t seed;
    bool verifies_all;
    const char *paths_file;       /* NULL: the URLs alone */
    const char *rotate_directory; /* NULL: nothing is rotated */
    double rotations_per_second;  /* >= 0 */
    uint32_t rotate_file_count;   /* 1..ROTATOR_FILES_MAX */
    const char *json_file;        /* NULL: no JSON; "-": standard output */
    pid_t server_pid;             /* 0: unknown */
    const char *const *urls;      /* of argv */
    size_t url_count;             /* >= 1 */
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP,    /* --help was asked for */
    OPTIONS_VERSION, /* --version was asked for */
    OPTIONS_BAD,     /* the error says what is wrong, and what is allowed */
};

/**
 * Reads the command line. May reorder `argv` (options first), which `ret_options` borrows.
 *
 * ret_options   set at OPTIONS_RUN only
 * ret_error     set at OPTIONS_BAD only: one line without the program's name
 * One call at a time (getopt_long(3)).
 */
enum options_result options_parse(int argc,
                                  char *argv[],
                                  struct options *ret_options,
                                  char ret_error[static OPTIONS_ERROR_MAX]);

/** Writes the help: how to use the program, its options, three examples. */
void options_print_help(FILE *out);
