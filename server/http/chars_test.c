#include "server/http/chars.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/base/check.h"

/* The classes once more, written the slow way of the standards. */
static bool is_alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(int c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static void chars_classes_are_those_of_the_standards(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        uint8_t c = (uint8_t)i;
        bool is_token = is_alnum(i) || is_one_of(i, "!#$%&'*+-.^_`|~");
        bool is_target = (i > 0x20 && i < 0x7f && i != '#') || i >= 0x80;
        bool is_name = is_alnum(i) || is_one_of(i, "-._~!$&'()*+,;=");
        bool is_path = is_name || is_one_of(i, ":@/");
        bool is_segment = is_target && !is_one_of(i, "/%\\?");
        assert_int_equal(http_char_is(c, HTTP_CHAR_TOKEN), is_token);
        assert_int_equal(http_char_is(c, HTTP_CHAR_TARGET), is_target);
        assert_int_equal(http_char_is(c, HTTP_CHAR_NAME), is_name);
        assert_int_equal(http_char_is(c, HTTP_CHAR_PATH), is_path);
        assert_int_equal(http_char_is(c, HTTP_CHAR_SEGMENT), is_segment);
        assert_int_equal(http_char_is(c, HTTP_CHAR_DIGIT), i >= '0' && i <= '9');
    }
}

static void chars_hex_value_reads_digits_of_both_cases(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        int want = -1;
        if (i >= '0' && i <= '9') {
            want = i - '0';
        } else if (i >= 'a' && i <= 'f') {
            want = i - 'a' + 10;
        } else if (i >= 'A' && i <= 'F') {
            want = i - 'A' + 10;
        }
        assert_int_equal(http_hex_value((uint8_t)i), want);
    }
}

static void chars_count_stops_at_the_first_other(void **state)
{
    (void)state;
    assert_int_equal(http_chars_count(SPAN("GET /"), HTTP_CHAR_TOKEN), 3);
    assert_int_equal(http_chars_count(SPAN("GET"), HTTP_CHAR_TOKEN), 3);
    assert_int_equal(http_chars_count(SPAN(" "), HTTP_CHAR_TOKEN), 0);
    assert_int_equal(http_chars_count(span_of(NULL, 0), HTTP_CHAR_TOKEN), 0);
}

static void chars_equal_nocase_differs_in_nothing_but_letters(void **state)
{
    (void)state;
    assert_true(http_equal_nocase(SPAN("Keep-ALIVE"), SPAN("keep-alive")));
    assert_true(http_equal_nocase(SPAN(""), SPAN("")));
    assert_false(http_equal_nocase(SPAN("close "), SPAN("close")));
    assert_false(http_equal_nocase(SPAN("clos"), SPAN("close")));
    assert_false(http_equal_nocase(SPAN("keep\x0d"
                                        "alive"),
                                   SPAN("keep-alive"))); /* 0x0d | 0x20 is '-' */
}

static void chars_trim_strips_spaces_and_tabs_at_both_ends(void **state)
{
    (void)state;
    assert_true(span_equal(http_trim(SPAN(" \t a b\t ")), SPAN("a b")));
    assert_true(span_equal(http_trim(SPAN("a")), SPAN("a")));
    assert_int_equal(http_trim(SPAN(" \t ")).bytes, 0);
    assert_int_equal(http_trim(span_of(NULL, 0)).bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chars_classes_are_those_of_the_standards),
        cmocka_unit_test(chars_hex_value_reads_digits_of_both_cases),
        cmocka_unit_test(chars_count_stops_at_the_first_other),
        cmocka_unit_test(chars_equal_nocase_differs_in_nothing_but_letters),
        cmocka_unit_test(chars_trim_strips_spaces_and_tabs_at_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
