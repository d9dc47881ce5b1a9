#include "server/ctl/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"

#define WORDS_MAX 6

static int word_count(const char *const *words)
{
    int count = 0;
    while (count < WORDS_MAX && words[count] != NULL) {
        count++;
    }
    return count;
}

static void options_parse_takes_commands_and_options(void **state)
{
    (void)state;
    static const struct {
        const char *words[WORDS_MAX];
        struct ctl_options want;
    } cases[] = {
        {{"ctl", "status"}, {CTL_VERB_STATUS, NULL, false}},
        {{"ctl", "generations"}, {CTL_VERB_GENERATIONS, NULL, false}},
        {{"ctl", "status", "--json"}, {CTL_VERB_STATUS, NULL, true}},
        {{"ctl", "--json", "status"}, {CTL_VERB_STATUS, NULL, true}},
        {{"ctl", "--admin", "unix:x", "status"}, {CTL_VERB_STATUS, "unix:x", false}},
        {{"ctl", "status", "--admin=unix:x"}, {CTL_VERB_STATUS, "unix:x", false}},
        {{"ctl", "--help"}, {CTL_VERB_HELP, NULL, false}},
        {{"ctl", "status", "-h"}, {CTL_VERB_HELP, NULL, false}},
        {{"ctl", "--version"}, {CTL_VERB_VERSION, NULL, false}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct ctl_options options;
        struct sentence error;
        print_message("%s %s\n", cases[i].words[1], cases[i].words[2] ? cases[i].words[2] : "");
        char *const *argv = (char *const *)cases[i].words; /* argv's type; nothing is changed */
        assert_int_equal(options_parse(word_count(cases[i].words), argv, &options, &error), 0);
        assert_int_equal(options.verb, cases[i].want.verb);
        assert_int_equal(options.is_json, cases[i].want.is_json);
        assert_int_equal(options.admin == NULL, cases[i].want.admin == NULL);
        if (options.admin != NULL) {
            assert_string_equal(options.admin, cases[i].want.admin);
        }
    }
}

static void options_parse_says_what_would_be_right(void **state)
{
    (void)state;
    static const struct {
        const char *words[WORDS_MAX];
        const char *want;
    } cases[] = {
        {{"ctl"}, "which command? There is status or generations"},
        {{"ctl", "--json"}, "which command?"},
        {{"ctl", "staus"}, "there is no command 'staus'; did you mean 'status'?"},
        {{"ctl", "generation"}, "did you mean 'generations'?"},
        {{"ctl", "frobnicate"}, "there is no command 'frobnicate'; there is status or generations"},
        {{"ctl", "status", "--jsno"}, "there is no option '--jsno'; did you mean '--json'?"},
        {{"ctl", "status", "-x"}, "there is no option '-x'; there is --admin, --json"},
        {{"ctl", "status", "status"}, "one command at a time: what is 'status' for?"},
        {{"ctl", "status", "--admin"}, "--admin wants an address"},
        {{"ctl", "sta\033[2Jtus"}, "there is no command 'sta?[2Jtus'"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct ctl_options options;
        struct sentence error;
        print_message("%s\n", cases[i].want);
        char *const *argv = (char *const *)cases[i].words; /* as above */
        assert_int_equal(options_parse(word_count(cases[i].words), argv, &options, &error),
                         -EINVAL);
        print_message("  %s\n", error.text);
        assert_non_null(strstr(error.text, cases[i].want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_parse_takes_commands_and_options),
        cmocka_unit_test(options_parse_says_what_would_be_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
