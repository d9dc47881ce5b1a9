#include "config/sentence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void sentence_keeps_control_bytes_out(void **state)
{
    (void)state;
    struct sentence sentence = {.text = ""};
    sentence_set(&sentence, "a%sb", "\n\x1b[31m\x7f");
    assert_string_equal(sentence.text, "a??[31m?b");
    sentence_add(&sentence, "%s", "\t");
    assert_string_equal(sentence.text, "a??[31m?b?");
}

static void sentence_shows_that_it_was_cut(void **state)
{
    (void)state;
    char longer[2 * SENTENCE_MAX];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    struct sentence sentence = {.text = ""};
    sentence_set(&sentence, "%s", longer);
    assert_int_equal(strlen(sentence.text), SENTENCE_MAX - 1);
    assert_string_equal(sentence.text + SENTENCE_MAX - 5, "x...");
    sentence_add(&sentence, "more");
    assert_string_equal(sentence.text + SENTENCE_MAX - 5, "x...");
}

static void sentence_takes_what_just_fits(void **state)
{
    (void)state;
    char fits[SENTENCE_MAX];
    memset(fits, 'x', sizeof(fits) - 1);
    fits[sizeof(fits) - 1] = '\0';
    struct sentence sentence = {.text = ""};
    sentence_set(&sentence, "%s", fits);
    assert_string_equal(sentence.text, fits);
}

static void sentence_quotes_foreign_text(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct span text;
        const char *want;
    } cases[] = {
        {"plain", SPAN("abc"), "'abc'"},     {"empty", SPAN(""), "''"},
        {"NUL", SPAN("a\0b"), "'a?b'"},      {"newline", SPAN("a\nb"), "'a?b'"},
        {"percent", SPAN("%s%n"), "'%s%n'"}, {"UTF-8", SPAN("\xc3\xa4"), "'\xc3\xa4'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("%s\n", cases[i].name);
        struct sentence sentence = {.text = ""};
        sentence_add_quoted(&sentence, cases[i].text);
        assert_string_equal(sentence.text, cases[i].want);
    }
}

static void sentence_cuts_quotes_between_characters(void **state)
{
    (void)state;
    char text[SENTENCE_QUOTE_MAX + 2];
    memset(text, 'x', sizeof(text));
    memcpy(text + SENTENCE_QUOTE_MAX - 1, "\xc3\xa4", 2); /* one character over the edge */
    struct sentence sentence = {.text = ""};
    sentence_add_quoted(&sentence, span_of(text, sizeof(text)));
    assert_int_equal(strlen(sentence.text), SENTENCE_QUOTE_MAX - 1 + strlen("''..."));
    assert_null(strstr(sentence.text, "\xc3"));
}

static void sentence_joins_words(void **state)
{
    (void)state;
    static const char *const words[] = {"one", "two", "three"};
    static const char *const want[] = {"", "one", "one or two", "one, two or three"};
    for (uint32_t count = 0; count <= 3; count++) {
        struct sentence sentence = {.text = ""};
        sentence_add_words(&sentence, words, count);
        assert_string_equal(sentence.text, want[count]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentence_keeps_control_bytes_out),
        cmocka_unit_test(sentence_shows_that_it_was_cut),
        cmocka_unit_test(sentence_takes_what_just_fits),
        cmocka_unit_test(sentence_quotes_foreign_text),
        cmocka_unit_test(sentence_cuts_quotes_between_characters),
        cmocka_unit_test(sentence_joins_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
