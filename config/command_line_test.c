#include "config/command_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "config/product.h"

#define ARGUMENTS_MAX 16

/* What one command line came to. */
struct run {
    enum command_line_result result;
    int exit_code;
    char *out;
    char *err;
    struct settings settings;
};

/* `arguments` ends with NULL and does not hold the program's name. */
static void run_init(struct run *run, const char *const *arguments)
{
    char *argv[ARGUMENTS_MAX + 2] = {strdup("turntable")};
    int argc = 1;
    for (; arguments[argc - 1] != NULL; argc++) {
        argv[argc] = strdup(arguments[argc - 1]);
    }
    size_t out_bytes = 0;
    size_t err_bytes = 0;
    FILE *out = open_memstream(&run->out, &out_bytes);
    FILE *err = open_memstream(&run->err, &err_bytes);
    settings_init(&run->settings);
    run->exit_code = -1;
    run->result = command_line_apply(argc, argv, out, err, &run->settings, &run->exit_code);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(fclose(err), 0);
    for (int i = 0; i < argc; i++) {
        free(argv[i]); /* the settings must not need them any more */
    }
}

static void run_deinit(struct run *run)
{
    settings_deinit(&run->settings);
    free(run->out);
    free(run->err);
}

static void make_file(char path[static 32], const char *text)
{
    (void)snprintf(path, 32, "%s", "/tmp/turntable-line-XXXXXX"); /* fits */
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void command_line_takes_both_forms(void **state)
{
    (void)state;
    struct run run;
    run_init(&run, (const char *[]){"--root", "/", "--workers=2", "--listen=:0", "--listen",
                                    "unix:a=b", "--index=a=b", "--table-slots=10", NULL});
    assert_int_equal(run.result, COMMAND_LINE_RUN);
    assert_string_equal(run.settings.root, "/");
    assert_int_equal(run.settings.workers, 2);
    assert_int_equal(run.settings.listen.count, 2);
    assert_string_equal(run.settings.listen.items[1], "unix:a=b");
    assert_string_equal(run.settings.index, "a=b");
    assert_true(settings_is_explicit(&run.settings, SETTING_table_slots));
    assert_string_equal(run.out, "");
    assert_string_equal(run.err, "");
    run_deinit(&run);
}

static void command_line_may_be_empty(void **state)
{
    (void)state;
    struct run run;
    run_init(&run, (const char *[]){NULL});
    assert_int_equal(run.result, COMMAND_LINE_RUN);
    assert_true(run.settings.workers > 0);
    run_deinit(&run);
}

static void command_line_outranks_the_file(void **state)
{
    (void)state;
    char path[32];
    make_file(path, "workers: 3\nindex: a\nlisten: [':1', ':2']\n");
    struct run run;
    run_init(&run, (const char *[]){"--workers", "4", "--config", path, "--workers=5", NULL});
    assert_int_equal(run.result, COMMAND_LINE_RUN);
    assert_int_equal(run.settings.workers, 5);
    assert_string_equal(run.settings.index, "a");
    assert_int_equal(run.settings.listen.count, 2);
    run_deinit(&run);

    run_init(&run, (const char *[]){"--listen", ":3", "--config", path, NULL});
    assert_int_equal(run.settings.listen.count, 1);
    assert_string_equal(run.settings.listen.items[0], ":3");
    run_deinit(&run);
    assert_int_equal(unlink(path), 0);
}

static void command_line_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[4];
        const char *sentence; /* a line of standard error */
    } cases[] = {
        {{"--rooot", "a"}, "turntable: unknown option '--rooot'; did you mean '--root'?\n"},
        {{"--roo=a"}, "turntable: unknown option '--roo'; did you mean '--root'?\n"},
        {{"--max-conn", "3"}, "turntable: unknown option '--max-conn'\n"},
        {{"-root", "a"}, "turntable: unknown option '-root'; did you mean '--root'?\n"},
        {{"-h"}, "turntable: unknown option '-h'; did you mean '--help'?\n"},
        {{"-V"}, "turntable: unknown option '-V'; did you mean '--version'?\n"},
        {{"--=a"}, "turntable: unknown option '--'\n"},
        {{"--\n"}, "turntable: unknown option '--?'\n"},
        {{"public"}, "turntable: unexpected argument 'public'; every value follows its option"},
        {{"--", "--root"}, "turntable: unexpected argument '--root'"},
        {{"-"}, "turntable: unexpected argument '-'"},
        {{""}, "turntable: unexpected argument ''"},
        {{"--root"}, "turntable: option '--root' needs a value\n"},
        {{"--root", "--check"}, "turntable: option '--root' needs a value, but '--check' follows"},
        {{"--config"}, "turntable: option '--config' needs a value\n"},
        {{"--check=1"}, "turntable: option '--check' takes no value\n"},
        {{"--config=/x", "--config=/y"}, "turntable: option '--config' is given twice"},
        {{"--workers", "0"}, "turntable: option '--workers': found '0'; allowed: a whole number"},
        {{"--root="}, "turntable: option '--root': found nothing; allowed: a value\n"},
        {{"--listen", "80"}, "turntable: option '--listen': found '80': a port alone"},
        {{"--engine", "epol"},
         "turntable: option '--engine': found 'epol'; allowed: auto or uring\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct run run;
        run_init(&run, cases[i].arguments);
        print_message("%s", run.err);
        assert_int_equal(run.result, COMMAND_LINE_EXIT);
        assert_int_equal(run.exit_code, EXIT_CODE_USAGE);
        assert_string_equal(run.out, "");
        assert_non_null(strstr(run.err, cases[i].sentence));
        assert_non_null(strstr(run.err, "\ntry 'turntable --help'\n"));
        run_deinit(&run);
    }
}

static void command_line_says_all_errors_at_once(void **state)
{
    (void)state;
    char path[32];
    make_file(path, "rooot: a\nindexx: b\n");
    struct run run;
    run_init(&run, (const char *[]){"--config", path, "--workers=x", "--filess", "plain", NULL});
    assert_int_equal(run.exit_code, EXIT_CODE_USAGE);
    assert_non_null(strstr(run.err, ":1:1: unknown option 'rooot'"));
    assert_non_null(strstr(run.err, ":2:1: unknown option 'indexx'"));
    assert_non_null(strstr(run.err, "option '--workers'"));
    assert_non_null(strstr(run.err, "unknown option '--filess'"));
    assert_null(strstr(run.err, "unexpected argument"));
    run_deinit(&run);
    assert_int_equal(unlink(path), 0);
}

static void command_line_does_not_send_to_help_for_a_wrong_file(void **state)
{
    (void)state;
    struct run run;
    run_init(&run, (const char *[]){"--config", "/nonexistent", NULL});
    assert_int_equal(run.exit_code, EXIT_CODE_USAGE);
    assert_non_null(strstr(run.err, "turntable: configuration file '/nonexistent': open() failed"));
    assert_null(strstr(run.err, "--help"));
    run_deinit(&run);
}

static void command_line_counts_errors_beyond_a_screenful(void **state)
{
    (void)state;
    char text[2000] = "";
    size_t used = 0;
    for (int i = 0; i < 40; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "unknown-%d: x\n", i);
    }
    char path[32];
    make_file(path, text);
    struct run run;
    run_init(&run, (const char *[]){"--config", path, NULL});
    assert_non_null(strstr(run.err, "turntable: and 8 more errors\n"));
    run_deinit(&run);
    assert_int_equal(unlink(path), 0);
}

static void command_line_answers_on_standard_output(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[4];
        const char *want; /* the beginning */
    } cases[] = {
        {{"--version"}, PRODUCT_NAME " " PRODUCT_VERSION "\n"},
        {{"--help"}, "Usage: turntable "},
        {{"--rooot", "x", "--help"}, "Usage: turntable "},
        {{"--check", "--root=/"}, "configuration ok\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct run run;
        run_init(&run, cases[i].arguments);
        assert_int_equal(run.result, COMMAND_LINE_EXIT);
        assert_int_equal(run.exit_code, EXIT_CODE_OK);
        assert_int_equal(strncmp(run.out, cases[i].want, strlen(cases[i].want)), 0);
        assert_string_equal(run.err, "");
        run_deinit(&run);
    }
}

static void command_line_checks_what_is_named(void **state)
{
    (void)state;
    struct run run;
    run_init(&run, (const char *[]){"--root", "/nonexistent", "--check", NULL});
    assert_int_equal(run.exit_code, EXIT_CODE_USAGE);
    assert_string_equal(run.out, "");
    assert_string_equal(run.err,
                        "turntable: --root '/nonexistent': '/nonexistent' does not exist; create "
                        "it, or name another\n");
    run_deinit(&run);
}

static void command_line_notices_a_full_disk(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    char *text = NULL;
    size_t bytes = 0;
    FILE *err = open_memstream(&text, &bytes);
    char *argv[] = {(char[]){"turntable"}, (char[]){"--help"}, NULL};
    struct settings settings;
    settings_init(&settings);
    int exit_code = -1;
    assert_int_equal(command_line_apply(2, argv, full, err, &settings, &exit_code),
                     COMMAND_LINE_EXIT);
    assert_int_equal(exit_code, EXIT_CODE_FAILED);
    assert_int_equal(fclose(err), 0);
    assert_non_null(strstr(text, "writing to standard output failed: No space left on device"));
    free(text);
    (void)fclose(full); /* full, as it should be */
    settings_deinit(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_line_takes_both_forms),
        cmocka_unit_test(command_line_may_be_empty),
        cmocka_unit_test(command_line_outranks_the_file),
        cmocka_unit_test(command_line_refuses),
        cmocka_unit_test(command_line_says_all_errors_at_once),
        cmocka_unit_test(command_line_does_not_send_to_help_for_a_wrong_file),
        cmocka_unit_test(command_line_counts_errors_beyond_a_screenful),
        cmocka_unit_test(command_line_answers_on_standard_output),
        cmocka_unit_test(command_line_checks_what_is_named),
        cmocka_unit_test(command_line_notices_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
