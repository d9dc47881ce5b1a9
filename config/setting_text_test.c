#include "config/setting_text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "config/setting_row.h"

struct text_case {
    enum setting_id id;
    struct span text;
    const char *sentence; /* NULL: accepted */
};

static void setting_text_checks_each_option(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {SETTING_root, SPAN("/srv/www"), NULL},
        {SETTING_root, SPAN("."), NULL},
        {SETTING_root, SPAN(""), "found nothing"},
        {SETTING_root, SPAN("/a\0b"), "found '/a?b'; allowed: text without a NUL"},
        {SETTING_index, SPAN("index.html"), NULL},
        {SETTING_index, SPAN("home"), NULL},
        {SETTING_index, SPAN("a/b"), "found 'a/b'; allowed: a file's bare name"},
        {SETTING_index, SPAN("/"), "bare name"},
        {SETTING_index, SPAN("."), "does not begin with a dot"},
        {SETTING_index, SPAN(".."), "does not begin with a dot"},
        {SETTING_index, SPAN(".hidden"), "does not begin with a dot"},
        {SETTING_listen, SPAN("127.0.0.1:80"), NULL},
        {SETTING_listen, SPAN("none"), "no port"},
        {SETTING_admin, SPAN("none"), NULL},
        {SETTING_admin, SPAN("unix:/run/x"), NULL},
        {SETTING_admin, SPAN("127.0.0.1:9000"), NULL},
        {SETTING_admin, SPAN("off"), "unix:PATH, or none"},
        {SETTING_access_log, SPAN("-"), NULL},
        {SETTING_access_log, SPAN("none"), NULL},
        {SETTING_access_log, SPAN("/var/log/x"), NULL},
        {SETTING_access_log, SPAN("./off"), NULL},
        {SETTING_access_log, SPAN("off"), "found 'off'; allowed: a file, - for standard output"},
        {SETTING_access_log, SPAN("no"), "or none"},
        {SETTING_access_log, SPAN("false"), "or none"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sentence sentence = {.text = ""};
        int rc = setting_text_check(cases[i].id, cases[i].text, &sentence);
        print_message("%s %s\n", setting_row_of(cases[i].id)->option, sentence.text);
        assert_int_equal(rc, cases[i].sentence == NULL ? 0 : -EINVAL);
        if (cases[i].sentence != NULL) {
            assert_non_null(strstr(sentence.text, cases[i].sentence));
        }
    }
}

/* A new row of text without a check would stop the process at its first use. */
static void setting_text_has_a_check_for_every_text(void **state)
{
    (void)state;
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        enum setting_kind kind = setting_row_of(id)->kind;
        if (kind == SETTING_KIND_TEXT || kind == SETTING_KIND_LIST) {
            struct sentence sentence = {.text = ""};
            assert_int_not_equal(setting_text_check(id, SPAN("x"), &sentence), -ENOSYS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_text_checks_each_option),
        cmocka_unit_test(setting_text_has_a_check_for_every_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
