#include "config/setting_row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void setting_row_finds_every_option_by_its_name(void **state)
{
    (void)state;
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        const char *option = setting_row_of(id)->option;
        assert_int_equal(setting_row_find(span_of_string(option)), id);
    }
}

static void setting_row_finds_no_part_of_a_name(void **state)
{
    (void)state;
    assert_int_equal(setting_row_find(SPAN("")), SETTING_COUNT);
    assert_int_equal(setting_row_find(SPAN("roo")), SETTING_COUNT);
    assert_int_equal(setting_row_find(SPAN("roots")), SETTING_COUNT);
    assert_int_equal(setting_row_find(SPAN("root\0")), SETTING_COUNT);
    assert_int_equal(setting_row_find(SPAN("Root")), SETTING_COUNT);
}

/* The default would be refused if a user wrote it: the row is wrong. */
static void setting_row_default_is_within_bounds(void **state)
{
    (void)state;
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        const struct setting_row *row = setting_row_of(id);
        struct sentence preset = {.text = ""};
        setting_row_add_preset(row, &preset);
        print_message("%s %s\n", row->option, preset.text);
        if (preset.text[0] == '\0') {
            assert_non_null(strstr(row->help, "(default "));
            continue;
        }
        assert_null(strstr(row->help, "(default "));
        struct settings settings;
        settings_init(&settings);
        struct sentence sentence = {.text = ""};
        assert_int_equal(settings_assign(&settings, id, span_of_string(preset.text), &sentence), 0);
        settings_deinit(&settings);
    }
}

static void setting_row_says_auto_where_it_takes_auto(void **state)
{
    (void)state;
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        const struct setting_row *row = setting_row_of(id);
        struct sentence argument = {.text = ""};
        setting_row_add_argument(row, &argument);
        assert_string_not_equal(argument.text, "");
        if (row->kind == SETTING_KIND_COUNT) {
            assert_int_equal(row->takes_auto, strstr(argument.text, "|auto") != NULL);
            assert_true(row->bounds.high <= UINT32_MAX);
        }
    }
}

static void setting_row_shows_the_words_of_a_choice(void **state)
{
    (void)state;
    struct sentence argument = {.text = ""};
    setting_row_add_argument(setting_row_of(SETTING_files), &argument);
    assert_string_equal(argument.text, "fixed|plain");
    struct sentence preset = {.text = ""};
    setting_row_add_preset(setting_row_of(SETTING_log_level), &preset);
    assert_string_equal(preset.text, "info");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_row_finds_every_option_by_its_name),
        cmocka_unit_test(setting_row_finds_no_part_of_a_name),
        cmocka_unit_test(setting_row_default_is_within_bounds),
        cmocka_unit_test(setting_row_says_auto_where_it_takes_auto),
        cmocka_unit_test(setting_row_shows_the_words_of_a_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
