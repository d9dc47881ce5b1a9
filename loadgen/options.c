#include "loadgen/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "loadgen/rotator.h"
#include "server/base/check.h"
#include "server/base/clock.h"

#define CONNECTIONS_DEFAULT  64
#define DURATION_DEFAULT_NS  (10 * NS_PER_SEC)
#define TIMEOUT_DEFAULT_NS   (5 * NS_PER_SEC)
#define ROTATIONS_DEFAULT    10
#define ROTATE_FILES_DEFAULT 64
#define ROTATIONS_MAX        100000
#define SECONDS_MAX          (365 * 24 * 3600)
#define PID_MAX              (1 << 22) /* the kernel's PID_MAX_LIMIT */
#define NAME_BYTES_MAX       32        /* of a long option */
/* getopt_long() returns an option as this plus its row, so that letters stay apart from it. */
#define CODE_BASE 1000

enum option_id {
#define OPTION(id, letter, name, argument, help) OPTION_##id,
#include "loadgen/options.def"
#undef OPTION
};

static const struct option_row {
    char letter;
    const char *name;
    const char *argument;
    const char *help;
} rows[] = {
#define OPTION(id, letter, name, argument, help) {letter, name, argument, help},
#include "loadgen/options.def"
#undef OPTION
};

/* ------------------------------------------------------------------------------------ values */

struct parse {
    struct options *options;
    bool has_duration;
    bool has_requests;
    bool has_rotations;
    bool has_rotate_files;
    char *error; /* OPTIONS_ERROR_MAX; empty: none yet */
};

[[gnu::format(printf, 2, 3)]] static bool refuse(struct parse *parse, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(parse->error, OPTIONS_ERROR_MAX, format, args); /* a long one is cut */
    va_end(args);
    return false;
}

static bool parse_count(struct parse *parse,
                        enum option_id id,
                        const char *text,
                        uint64_t low,
                        uint64_t high,
                        uint64_t *ret_count)
{
    char *end;
    errno = 0;
    unsigned long long count = strtoull(text, &end, 10);
    bool is_number = text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
    if (!is_number || count < low || count > high) {
        return refuse(parse, "--%s '%s': expected a whole number from %llu to %llu", rows[id].name,
                      text, (unsigned long long)low, (unsigned long long)high);
    }
    *ret_count = count;
    return true;
}

static bool parse_count32(
    struct parse *parse, enum option_id id, const char *text, uint32_t high, uint32_t *ret_count)
{
    uint64_t count;
    if (!parse_count(parse, id, text, 1, high, &count)) {
        return false;
    }
    *ret_count = (uint32_t)count;
    return true;
}

/* A number and what follows it; false for what is no plain number (nan, 0x10, 1e5, -1). */
static bool parse_number(const char *text, double *ret_number, const char **ret_rest)
{
    size_t bytes = strspn(text, "0123456789.");
    if (bytes == 0 || bytes >= NAME_BYTES_MAX) {
        return false;
    }
    char digits[NAME_BYTES_MAX];
    memcpy(digits, text, bytes);
    digits[bytes] = '\0';
    char *end;
    *ret_number = strtod(digits, &end);
    *ret_rest = text + bytes;
    return *end == '\0' && end != digits;
}

static bool
parse_seconds(struct parse *parse, enum option_id id, const char *text, uint64_t *ret_ns)
{
    static const struct {
        const char *suffix;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}};
    double number = 0;
    const char *rest = "";
    bool is_number = parse_number(text, &number, &rest);
    for (size_t i = 0; is_number && i < ARRAY_COUNT(units); i++) {
        double seconds = number * units[i].seconds;
        if (strcmp(rest, units[i].suffix) == 0 && seconds >= 0.001 && seconds <= SECONDS_MAX) {
            *ret_ns = (uint64_t)(seconds * (double)NS_PER_SEC);
            return true;
        }
    }
    return refuse(parse,
                  "--%s '%s': expected a time of at least 1 ms, like 10, 0.5, 500ms, 2m or 1h",
                  rows[id].name, text);
}

static bool parse_rate(struct parse *parse, const char *text, double *ret_rate)
{
    double rate = 0;
    const char *rest = "";
    if (!parse_number(text, &rate, &rest) || *rest != '\0' || rate > ROTATIONS_MAX) {
        return refuse(parse, "--rotations '%s': expected replacements a second, from 0 to %d", text,
                      ROTATIONS_MAX);
    }
    *ret_rate = rate;
    return true;
}

static bool parse_verify(struct parse *parse, const char *text, bool *ret_verifies_all)
{
    if (strcmp(text, "none") != 0 && strcmp(text, "all") != 0) {
        return refuse(parse, "--verify '%s': expected 'none' or 'all'", text);
    }
    *ret_verifies_all = strcmp(text, "all") == 0;
    return true;
}

static bool parse_pid(struct parse *parse, const char *text, pid_t *ret_pid)
{
    uint64_t pid;
    if (!parse_count(parse, OPTION_SERVER_PID, text, 1, PID_MAX, &pid)) {
        return false;
    }
    *ret_pid = (pid_t)pid;
    return true;
}

static bool parse_value(struct parse *parse, enum option_id id, const char *text)
{
    struct options *options = parse->options;
    switch (id) {
    case OPTION_CONNECTIONS:
        return parse_count32(parse, id, text, OPTIONS_CONNECTIONS_MAX, &options->connections);
    case OPTION_THREADS:
        return parse_count32(parse, id, text, OPTIONS_THREADS_MAX, &options->threads);
    case OPTION_DURATION:
        parse->has_duration = true;
        return parse_seconds(parse, id, text, &options->duration_ns);
    case OPTION_REQUESTS:
        parse->has_requests = true;
        return parse_count(parse, id, text, 1, UINT64_MAX - 1, &options->request_count);
    case OPTION_PATHS:
        options->paths_file = text;
        return true;
    case OPTION_TIMEOUT:
        return parse_seconds(parse, id, text, &options->timeout_ns);
    case OPTION_VERIFY:
        return parse_verify(parse, text, &options->verifies_all);
    case OPTION_ROTATE:
        options->rotate_directory = text;
        return true;
    case OPTION_ROTATIONS:
        parse->has_rotations = true;
        return parse_rate(parse, text, &options->rotations_per_second);
    case OPTION_ROTATE_FILES:
        parse->has_rotate_files = true;
        return parse_count32(parse, id, text, ROTATOR_FILES_MAX, &options->rotate_file_count);
    case OPTION_SEED:
        return parse_count(parse, id, text, 0, UINT64_MAX, &options->seed);
    case OPTION_JSON:
        options->json_file = text;
        return true;
    case OPTION_SERVER_PID:
        return parse_pid(parse, text, &options->server_pid);
    case OPTION_HELP:
    case OPTION_VERSION:
        break;
    }
    ASSERT(false); /* these take no value */
    return false;
}

/* ---------------------------------------------------------------------------------- spelling */

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
    unsigned smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/* Levenshtein's distance, row by row. */
static unsigned distance(const char *left, size_t left_bytes, const char *right)
{
    unsigned row[NAME_BYTES_MAX + 1];
    size_t right_bytes = strlen(right);
    ASSERT(right_bytes <= NAME_BYTES_MAX);
    for (unsigned i = 0; i <= right_bytes; i++) {
        row[i] = i;
    }
    for (size_t i = 0; i < left_bytes; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < right_bytes; j++) {
            unsigned replaced = diagonal + (left[i] != right[j]);
            diagonal = row[j + 1];
            row[j + 1] = smallest(replaced, row[j] + 1, row[j + 1] + 1);
        }
    }
    return row[right_bytes];
}

/* The option nearest to `name`, NULL when none is near. */
static const char *nearest_name(const char *name, size_t bytes)
{
    const char *nearest = NULL;
    unsigned nearest_distance = bytes < 6 ? 3 : 4; /* fewer changes than this */
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        unsigned changes = distance(name, bytes, rows[i].name);
        if (changes < nearest_distance) {
            nearest = rows[i].name;
            nearest_distance = changes;
        }
    }
    return nearest;
}

static bool refuse_long_option(struct parse *parse, const char *argument)
{
    const char *name = argument + strspn(argument, "-");
    size_t bytes = strcspn(name, "=");
    const char *nearest = nearest_name(name, bytes < NAME_BYTES_MAX ? bytes : NAME_BYTES_MAX);
    if (nearest == NULL) {
        return refuse(parse, "unknown option '%s'; --help lists them", argument);
    }
    return refuse(parse, "unknown option '%s'; did you mean '--%s'?", argument, nearest);
}

/* What getopt_long() took offence at: `code` is what it returned. */
static bool refuse_option(struct parse *parse, int code, const char *argument)
{
    if (optopt >= CODE_BASE) {
        const struct option_row *row = &rows[optopt - CODE_BASE];
        bool is_missing = code == ':';
        return refuse(parse, is_missing ? "--%s needs a value: %s" : "--%s takes no value%s",
                      row->name, is_missing ? row->argument : "");
    }
    if (optopt == 0) {
        return refuse_long_option(parse, argument);
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].letter == optopt) {
            return refuse(parse, "-%c needs a value: %s", optopt, rows[i].argument);
        }
    }
    return refuse(parse, "unknown option '-%c'; --help lists them", optopt);
}

/* ------------------------------------------------------------------------------------- whole */

/* What only shows when all options are known. */
static bool check_whole(struct parse *parse)
{
    struct options *options = parse->options;
    if (options->url_count == 0) {
        return refuse(parse, "no URL; for example http://127.0.0.1:8080/ (--help has more)");
    }
    if (options->threads > options->connections) {
        return refuse(parse, "%u threads need at least as many connections, not %u (-c)",
                      options->threads, options->connections);
    }
    if (options->rotate_directory == NULL && (parse->has_rotations || parse->has_rotate_files)) {
        return refuse(parse, "--%s needs --rotate DIR, which says where the files are",
                      parse->has_rotations ? "rotations" : "rotate-files");
    }
    if (parse->has_requests && !parse->has_duration) {
        options->duration_ns = UINT64_MAX;
    }
    return true;
}

#define LETTERS_MAX (2 + 2 * ARRAY_COUNT(rows))

static void fill_getopt_tables(struct option *names, char *letters)
{
    *letters++ = ':'; /* a missing value is told apart from an unknown option */
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        names[i] = (struct option){
            .name = rows[i].name,
            .has_arg = rows[i].argument == NULL ? no_argument : required_argument,
            .val = CODE_BASE + (int)i,
        };
        if (rows[i].letter != 0) {
            *letters++ = rows[i].letter;
        }
        if (rows[i].letter != 0 && rows[i].argument != NULL) {
            *letters++ = ':';
        }
    }
    *letters = '\0';
}

static enum option_id id_of(int code)
{
    if (code >= CODE_BASE) {
        return (enum option_id)(code - CODE_BASE);
    }
    size_t i = 0;
    while (rows[i].letter != code) {
        i++;
        ASSERT(i < ARRAY_COUNT(rows)); /* getopt knows no letter that the table does not have */
    }
    return (enum option_id)i;
}

static enum options_result parse_all(struct parse *parse, int argc, char *argv[])
{
    struct option names[ARRAY_COUNT(rows) + 1] = {0};
    char letters[LETTERS_MAX];
    fill_getopt_tables(names, letters);
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    int code;
    while (optopt = 0, (code = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        if (code == '?' || code == ':') {
            (void)refuse_option(parse, code, argv[optind - 1]);
            return OPTIONS_BAD;
        }
        enum option_id id = id_of(code);
        if (id == OPTION_HELP || id == OPTION_VERSION) {
            return id == OPTION_HELP ? OPTIONS_HELP : OPTIONS_VERSION;
        }
        if (!parse_value(parse, id, optarg)) {
            return OPTIONS_BAD;
        }
    }
    parse->options->urls = (const char *const *)argv + optind;
    parse->options->url_count = (size_t)(argc - optind);
    return check_whole(parse) ? OPTIONS_RUN : OPTIONS_BAD;
}

enum options_result options_parse(int argc,
                                  char *argv[],
                                  struct options *ret_options,
                                  char ret_error[static OPTIONS_ERROR_MAX])
{
    struct options options = {
        .connections = CONNECTIONS_DEFAULT,
        .threads = 1,
        .duration_ns = DURATION_DEFAULT_NS,
        .request_count = UINT64_MAX,
        .timeout_ns = TIMEOUT_DEFAULT_NS,
        .seed = 1,
        .rotations_per_second = ROTATIONS_DEFAULT,
        .rotate_file_count = ROTATE_FILES_DEFAULT,
    };
    struct parse parse = {.options = &options, .error = ret_error};
    enum options_result result = parse_all(&parse, argc, argv);
    if (result == OPTIONS_RUN) {
        *ret_options = options;
    }
    return result;
}

/* -------------------------------------------------------------------------------------- help */

static void print_row(FILE *out, const struct option_row *row)
{
    char left[48];
    (void)snprintf(left, sizeof(left), "%s%c%s --%s %s", row->letter != 0 ? "-" : " ",
                   row->letter != 0 ? row->letter : ' ', row->letter != 0 ? "," : " ", row->name,
                   row->argument != NULL ? row->argument : "");
    (void)fprintf(out, "  %-26s ", left);
    for (const char *c = row->help; *c != '\0'; c++) {
        (void)fputc(*c, out);
        if (*c == '\n') {
            (void)fprintf(out, "%29s", "");
        }
    }
    (void)fputc('\n', out);
}

/* A help that cannot be written has nobody to be told of it: results of printing are dropped. */
void options_print_help(FILE *out)
{
    (void)fputs("usage: turntable-load [options] URL...\n"
                "\n"
                "Loads a server over HTTP/1.1 and says how fast it answered, at what cost, and\n"
                "whether every answer was right. Each connection sends its next request when the\n"
                "last one is answered (a closed loop: a server that stalls is also asked less, so\n"
                "percentiles understate stalls).\n"
                "\n"
                "options:\n",
                out);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        print_row(out, &rows[i]);
    }
    (void)fputs(
        "\n"
        "examples:\n"
        "  How fast is one file, over 64 connections, and what does it cost the server?\n"
        "    turntable-load -d 10 --server-pid 4711 http://127.0.0.1:8080/index.html\n"
        "\n"
        "  All the files of a site, 100000 requests from two threads, for a script:\n"
        "    (cd site && find . -type f -printf '%P\\n') > paths.txt\n"
        "    turntable-load -n 100000 -t 2 --paths paths.txt --json - http://127.0.0.1:8080/\n"
        "\n"
        "  Is any answer torn, stale or wrong while 1000 files a second are replaced?\n"
        "    turntable-load -d 60 --verify all --rotate site/r --rotations 1000 \\\n"
        "        http://127.0.0.1:8080/r/\n"
        "\n"
        "Exit status: 0 every answer was good; 1 some were not, or the server could not be\n"
        "reached; 2 wrong usage. turntable-load(1) explains every figure.\n",
        out);
}
