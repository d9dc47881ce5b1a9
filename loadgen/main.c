/* turntable-load: the command line, one run, the report. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "loadgen/load.h"
#include "loadgen/options.h"
#include "loadgen/report.h"
#include "server/base/alloc.h"

#define EXIT_CLEAN 0
#define EXIT_BAD   1
#define EXIT_USAGE 2

#define VERSION "0.1.0"

static int complain(int exit_status, const char *what)
{
    (void)fprintf(stderr, "turntable-load: %s\n", what);
    return exit_status;
}

/* True when all that was printed went out. */
static bool is_written(FILE *out, const char *name)
{
    if (fflush(out) == 0 && ferror(out) == 0) {
        return true;
    }
    (void)fprintf(stderr, "turntable-load: cannot write %s: %s\n", name, strerror(errno));
    return false;
}

/* Opened before the run, so that a wrong name does not cost one. */
static FILE *open_json(const char *name)
{
    FILE *out = fopen(name, "we");
    if (out == NULL) {
        (void)fprintf(stderr, "turntable-load: --json '%s': %s\n", name, strerror(errno));
    }
    return out;
}

/* `json` is NULL without --json, and standard output for "-": then there is no text. */
static int report(const struct options *options, const struct load_result *result, FILE *json)
{
    bool is_good = true;
    if (json != stdout) {
        report_write_text(options, result, stdout);
        is_good = is_written(stdout, "standard output");
    }
    if (json != NULL) {
        report_write_json(options, result, json);
        is_good = is_written(json, options->json_file) && is_good;
    }
    return is_good && report_is_clean(result) ? EXIT_CLEAN : EXIT_BAD;
}

static int run(const struct options *options, FILE *json)
{
    struct load_result *result = alloc_zeroed(1, sizeof(*result));
    if (result == NULL) {
        return complain(EXIT_BAD, "no memory for the result");
    }
    char error[LOAD_ERROR_MAX];
    int status = load_run(options, result, error);
    int exit_status = EXIT_CLEAN;
    if (status == 0) {
        exit_status = report(options, result, json);
    } else {
        exit_status = complain(status == -EINVAL ? EXIT_USAGE : EXIT_BAD, error);
    }
    alloc_free(result);
    return exit_status;
}

static int run_with_json(const struct options *options)
{
    if (options->json_file == NULL) {
        return run(options, NULL);
    }
    if (strcmp(options->json_file, "-") == 0) {
        return run(options, stdout);
    }
    FILE *json = open_json(options->json_file);
    if (json == NULL) {
        return EXIT_USAGE;
    }
    int exit_status = run(options, json);
    (void)fclose(json); /* it was flushed, and asked, before */
    return exit_status;
}

int main(int argc, char *argv[])
{
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    switch (options_parse(argc, argv, &options, error)) {
    case OPTIONS_RUN:
        return run_with_json(&options);
    case OPTIONS_HELP:
        options_print_help(stdout);
        return is_written(stdout, "standard output") ? EXIT_CLEAN : EXIT_BAD;
    case OPTIONS_VERSION:
        (void)printf("turntable-load %s\n", VERSION);
        return is_written(stdout, "standard output") ? EXIT_CLEAN : EXIT_BAD;
    case OPTIONS_BAD:
        break;
    }
    return complain(EXIT_USAGE, error);
}
