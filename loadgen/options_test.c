#include "loadgen/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/clock.h"

#define WORDS_MAX 40
#define URL       "http://127.0.0.1:8080/"

struct command_line {
    char text[512];
    char *words[WORDS_MAX + 1];
    struct options options;
    char error[OPTIONS_ERROR_MAX];
};

/* Words are parted by single spaces. */
static enum options_result parse(struct command_line *line, const char *text)
{
    int count = 0;
    (void)snprintf(line->text, sizeof(line->text), "turntable-load %s", text);
    for (char *word = line->text; word != NULL && *word != '\0'; count++) {
        assert_true(count < WORDS_MAX);
        line->words[count] = word;
        word = strchr(word, ' ');
        if (word != NULL) {
            *word++ = '\0';
        }
    }
    line->words[count] = NULL;
    line->error[0] = '\0';
    return options_parse(count, line->words, &line->options, line->error);
}

static void options_have_defaults(void **state)
{
    (void)state;
    struct command_line line;
    assert_int_equal(parse(&line, URL), OPTIONS_RUN);
    assert_int_equal(line.options.connections, 64);
    assert_int_equal(line.options.threads, 1);
    assert_int_equal(line.options.duration_ns, 10 * NS_PER_SEC);
    assert_true(line.options.request_count == UINT64_MAX);
    assert_int_equal(line.options.timeout_ns, 5 * NS_PER_SEC);
    assert_false(line.options.verifies_all);
    assert_null(line.options.rotate_directory);
    assert_null(line.options.json_file);
    assert_int_equal(line.options.url_count, 1);
    assert_string_equal(line.options.urls[0], URL);
}

static void options_are_all_read(void **state)
{
    (void)state;
    struct command_line line;
    assert_int_equal(parse(&line,
                           "-c 8 " URL " -t2 -d 1.5 --paths list --timeout=250ms --verify all "
                           "--rotate dir --rotations 0.25 --rotate-files 7 --seed 99 --json - "
                           "--server-pid 123 http://b/"),
                     OPTIONS_RUN);
    assert_int_equal(line.options.connections, 8);
    assert_int_equal(line.options.threads, 2);
    assert_int_equal(line.options.duration_ns, 1500 * NS_PER_MS);
    assert_string_equal(line.options.paths_file, "list");
    assert_int_equal(line.options.timeout_ns, 250 * NS_PER_MS);
    assert_true(line.options.verifies_all);
    assert_string_equal(line.options.rotate_directory, "dir");
    assert_true(line.options.rotations_per_second == 0.25);
    assert_int_equal(line.options.rotate_file_count, 7);
    assert_int_equal(line.options.seed, 99);
    assert_string_equal(line.options.json_file, "-");
    assert_int_equal(line.options.server_pid, 123);
    assert_int_equal(line.options.url_count, 2);
    assert_string_equal(line.options.urls[0], URL);
    assert_string_equal(line.options.urls[1], "http://b/");
}

static void options_read_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t want_ms;
    } times[] = {{"10", 10000},  {"30s", 30000},  {"0.5", 500},
                 {"2m", 120000}, {"1h", 3600000}, {"1ms", 1}};
    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        struct command_line line;
        char text[64];
        (void)snprintf(text, sizeof(text), "-d %s " URL, times[i].text);
        assert_int_equal(parse(&line, text), OPTIONS_RUN);
        assert_int_equal(line.options.duration_ns, times[i].want_ms * NS_PER_MS);
    }
}

static void options_requests_lift_the_default_duration(void **state)
{
    (void)state;
    struct command_line line;
    assert_int_equal(parse(&line, "-n 1000 " URL), OPTIONS_RUN);
    assert_int_equal(line.options.request_count, 1000);
    assert_true(line.options.duration_ns == UINT64_MAX);
    assert_int_equal(parse(&line, "-n 1000 -d 3 " URL), OPTIONS_RUN);
    assert_int_equal(line.options.duration_ns, 3 * NS_PER_SEC);
}

static void options_help_and_version_win(void **state)
{
    (void)state;
    struct command_line line;
    assert_int_equal(parse(&line, "--help"), OPTIONS_HELP);
    assert_int_equal(parse(&line, "-h"), OPTIONS_HELP);
    assert_int_equal(parse(&line, "--version"), OPTIONS_VERSION);
    assert_int_equal(parse(&line, "-V"), OPTIONS_VERSION);
}

static void options_say_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"", "no URL; for example http://127.0.0.1:8080/ (--help has more)"},
        {"--rotatons 5 " URL, "unknown option '--rotatons'; did you mean '--rotations'?"},
        {"--verfiy=all " URL, "unknown option '--verfiy=all'; did you mean '--verify'?"},
        {"--conections 5 " URL, "unknown option '--conections'; did you mean '--connections'?"},
        {"--pid 5 " URL, "unknown option '--pid'; --help lists them"},
        {"--zzzzzzzz " URL, "unknown option '--zzzzzzzz'; --help lists them"},
        {"-x " URL, "unknown option '-x'; --help lists them"},
        {URL " -c", "-c needs a value: N"},
        {URL " --rotate", "--rotate needs a value: DIR"},
        {"--help=me " URL, "--help takes no value"},
        {"-c 0 " URL, "--connections '0': expected a whole number from 1 to 100000"},
        {"-c 5x " URL, "--connections '5x': expected a whole number from 1 to 100000"},
        {"-c -5 " URL, "--connections '-5': expected a whole number from 1 to 100000"},
        {"-t 257 " URL, "--threads '257': expected a whole number from 1 to 256"},
        {"-n 0 " URL, "--requests '0': expected a whole number from 1 to 18446744073709551614"},
        {"-d 0 " URL,
         "--duration '0': expected a time of at least 1 ms, like 10, 0.5, 500ms, 2m or 1h"},
        {"-d inf " URL,
         "--duration 'inf': expected a time of at least 1 ms, like 10, 0.5, 500ms, 2m or 1h"},
        {"--timeout 5d " URL,
         "--timeout '5d': expected a time of at least 1 ms, like 10, 0.5, 500ms, 2m or 1h"},
        {"--verify some " URL, "--verify 'some': expected 'none' or 'all'"},
        {"--rotate d --rotations 1e9 " URL,
         "--rotations '1e9': expected replacements a second, from 0 to 100000"},
        {"--rotations 5 " URL, "--rotations needs --rotate DIR, which says where the files are"},
        {"--rotate-files 5 " URL,
         "--rotate-files needs --rotate DIR, which says where the files are"},
        {"-t 8 -c 4 " URL, "8 threads need at least as many connections, not 4 (-c)"},
        {"--server-pid 0 " URL, "--server-pid '0': expected a whole number from 1 to 4194304"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct command_line line;
        if (parse(&line, cases[i].text) != OPTIONS_BAD || strcmp(line.error, cases[i].want) != 0) {
            fail_msg("'%s':\n%s\nwanted:\n%s", cases[i].text, line.error, cases[i].want);
        }
    }
}

static void options_help_fits_a_terminal(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    options_print_help(out);
    assert_int_equal(fclose(out), 0);
    size_t columns = 0;
    for (size_t i = 0; i < bytes; i++) {
        columns = text[i] == '\n' ? 0 : columns + 1;
        assert_true(columns <= 100);
    }
    assert_non_null(strstr(text, "  -c, --connections N "));
    assert_non_null(strstr(text, "      --rotate-files N "));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_have_defaults),
        cmocka_unit_test(options_are_all_read),
        cmocka_unit_test(options_read_times),
        cmocka_unit_test(options_requests_lift_the_default_duration),
        cmocka_unit_test(options_help_and_version_win),
        cmocka_unit_test(options_say_what_is_wrong),
        cmocka_unit_test(options_help_fits_a_terminal),
    };
    return cmocka_run_group_tests_name("load_options", tests, NULL, NULL);
}
