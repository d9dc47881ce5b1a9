#include "config/help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config/setting_row.h"

static int print_help(void **state)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        return -1;
    }
    help_print(out);
    int rc = fclose(out); /* sets `text` */
    *state = text;
    return rc;
}

static int free_help(void **state)
{
    free(*state);
    return 0;
}

static void help_names_every_option_and_its_default(void **state)
{
    const char *text = *state;
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        struct sentence left = {.text = ""};
        sentence_set(&left, "\n  --%s ", setting_row_of(id)->option);
        setting_row_add_argument(setting_row_of(id), &left);
        /* The sentence took the newline for a control byte. */
        left.text[0] = '\n';
        print_message("%s\n", left.text + 1);
        assert_non_null(strstr(text, left.text));
    }
    static const char *const others[] = {"\n  --config FILE", "\n  --check", "\n  --version",
                                         "\n  --help"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_non_null(strstr(text, others[i]));
    }
    assert_non_null(strstr(text, "(default 64M)"));
    assert_non_null(strstr(text, "(default auto)"));
    assert_non_null(strstr(text, "(default fixed)"));
}

static void help_fits_a_terminal(void **state)
{
    const char *line = *state;
    while (*line != '\0') {
        size_t columns = strcspn(line, "\n");
        if (columns > 88) {
            fail_msg("%zu columns: %.*s", columns, (int)columns, line);
        }
        assert_true(columns == 0 || line[columns - 1] != ' ');
        line += columns + 1;
    }
}

static void help_teaches_signals_and_exit_codes(void **state)
{
    const char *text = *state;
    assert_int_equal(strncmp(text, "Usage: turntable ", strlen("Usage: turntable ")), 0);
    assert_non_null(strstr(text, "\nExamples:\n"));
    assert_non_null(strstr(text, "\n  TERM, INT "));
    assert_non_null(strstr(text, "\n  USR1 "));
    assert_non_null(strstr(text, "\n  2  wrong usage or configuration\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_names_every_option_and_its_default),
        cmocka_unit_test(help_fits_a_terminal),
        cmocka_unit_test(help_teaches_signals_and_exit_codes),
    };
    return cmocka_run_group_tests(tests, print_help, free_help);
}
