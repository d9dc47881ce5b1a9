#include "config/value.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define UNTOUCHED UINT64_C(0xdead)

struct value_case {
    const char *name;
    struct span text;
    struct value_bounds bounds;
    int64_t want; /* < 0: refused, and the sentence holds `sentence` */
    const char *sentence;
};

typedef int (*parse_fn)(struct span text,
                        struct value_bounds bounds,
                        uint64_t *ret_value,
                        struct sentence *ret_error);

static void check_cases(const struct value_case *cases, size_t case_count, parse_fn parse)
{
    for (size_t i = 0; i < case_count; i++) {
        print_message("%s\n", cases[i].name);
        uint64_t value = UNTOUCHED;
        struct sentence sentence = {.text = ""};
        int rc = parse(cases[i].text, cases[i].bounds, &value, &sentence);
        if (cases[i].want < 0) {
            assert_int_equal(rc, -EINVAL);
            assert_int_equal(value, UNTOUCHED);
            assert_non_null(strstr(sentence.text, "allowed: "));
            assert_non_null(strstr(sentence.text, cases[i].sentence));
        } else {
            assert_int_equal(rc, 0);
            assert_int_equal(value, cases[i].want);
            assert_string_equal(sentence.text, "");
        }
    }
}

static int parse_count(struct span text,
                       struct value_bounds bounds,
                       uint64_t *ret_value,
                       struct sentence *ret_error)
{
    return value_parse_count(text, bounds, false, ret_value, ret_error);
}

static int parse_count_or_auto(struct span text,
                               struct value_bounds bounds,
                               uint64_t *ret_value,
                               struct sentence *ret_error)
{
    return value_parse_count(text, bounds, true, ret_value, ret_error);
}

static void value_parses_counts(void **state)
{
    (void)state;
    static const struct value_case cases[] = {
        {"low end", SPAN("1"), {1, 64}, 1, ""},
        {"high end", SPAN("64"), {1, 64}, 64, ""},
        {"leading zeros", SPAN("007"), {1, 64}, 7, ""},
        {"below", SPAN("0"), {1, 64}, -1, "found '0'; allowed: a whole number from 1 to 64"},
        {"above", SPAN("65"), {1, 64}, -1, "found '65'"},
        {"empty", SPAN(""), {0, 64}, -1, "found nothing"},
        {"sign", SPAN("-1"), {0, 64}, -1, "found '-1'"},
        {"plus", SPAN("+1"), {0, 64}, -1, "found '+1'"},
        {"space before", SPAN(" 1"), {0, 64}, -1, "found ' 1'"},
        {"space after", SPAN("1 "), {0, 64}, -1, "found '1 '"},
        {"fraction", SPAN("1.5"), {0, 64}, -1, "found '1.5'"},
        {"hexadecimal", SPAN("0x10"), {0, 64}, -1, "found '0x10'"},
        {"letters", SPAN("four"), {0, 64}, -1, "found 'four'"},
        {"auto", SPAN("auto"), {0, 64}, -1, "found 'auto'"},
        {"NUL", SPAN("1\0"), {0, 64}, -1, "found '1?'"},
        {"largest", SPAN("18446744073709551615"), {0, UINT64_MAX}, -1, ""},
        {"one above", SPAN("18446744073709551616"), {0, UINT64_MAX}, -1, "found '1844"},
        {"ten times", SPAN("184467440737095516150"), {0, UINT64_MAX}, -1, "found '1844"},
    };
    size_t count = sizeof(cases) / sizeof(cases[0]);
    check_cases(cases, count - 3, parse_count);
    check_cases(cases + count - 2, 2, parse_count);

    uint64_t largest = 0; /* does not fit the table's column */
    struct sentence sentence = {.text = ""};
    const struct value_case *last = &cases[count - 3];
    assert_int_equal(parse_count(last->text, last->bounds, &largest, &sentence), 0);
    assert_true(largest == UINT64_MAX);
}

static void value_parses_auto_where_allowed(void **state)
{
    (void)state;
    static const struct value_case cases[] = {
        {"auto", SPAN("auto"), {1, 64}, VALUE_AUTO, ""},
        {"number", SPAN("2"), {1, 64}, 2, ""},
        {"zero", SPAN("0"), {1, 64}, -1, "or auto"},
        {"other case", SPAN("Auto"), {1, 64}, -1, "found 'Auto'"},
        {"more", SPAN("auto1"), {1, 64}, -1, "found 'auto1'"},
        {"part", SPAN("aut"), {1, 64}, -1, "found 'aut'"},
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]), parse_count_or_auto);
}

static void value_parses_sizes(void **state)
{
    (void)state;
    struct value_bounds any = {0, UINT64_C(1) << 40};
    const struct value_case cases[] = {
        {"zero", SPAN("0"), any, 0, ""},
        {"bytes", SPAN("1000"), any, 1000, ""},
        {"K", SPAN("32K"), any, 32768, ""},
        {"k", SPAN("32k"), any, 32768, ""},
        {"M", SPAN("64M"), any, 64 << 20, ""},
        {"m", SPAN("1m"), any, 1 << 20, ""},
        {"G", SPAN("1024G"), any, INT64_C(1) << 40, ""},
        {"g", SPAN("2g"), any, INT64_C(2) << 30, ""},
        {"too large", SPAN("1025G"), any, -1, "a size from 0 to 1024G"},
        {"wraps", SPAN("17179869184G"), any, -1, "found '17179869184G'"},
        {"too small", SPAN("0"), {1, 10}, -1, "a size from 1 to 10"},
        {"unknown unit", SPAN("1T"), any, -1, "found '1T'"},
        {"two letters", SPAN("1KB"), any, -1, "found '1KB'"},
        {"space", SPAN("1 K"), any, -1, "found '1 K'"},
        {"unit alone", SPAN("K"), any, -1, "found 'K'"},
        {"fraction", SPAN("1.5M"), any, -1, "found '1.5M'"},
        {"empty", SPAN(""), any, -1, "found nothing"},
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]), value_parse_size);
}

static void value_parses_durations(void **state)
{
    (void)state;
    struct value_bounds hour = {0, 3600000};
    const struct value_case cases[] = {
        {"plain", SPAN("10"), hour, 10000, ""},
        {"ms", SPAN("100ms"), hour, 100, ""},
        {"s", SPAN("10s"), hour, 10000, ""},
        {"m", SPAN("5m"), hour, 300000, ""},
        {"h", SPAN("1h"), hour, 3600000, ""},
        {"zero", SPAN("0"), hour, 0, ""},
        {"too long", SPAN("61m"), hour, -1, "a time from 0 to 1h"},
        {"too short", SPAN("50ms"), {100, 3600000}, -1, "a time from 100ms to 1h"},
        {"wraps", SPAN("18446744073709551615h"), hour, -1, "found '18446744073709551615h'"},
        {"upper case", SPAN("10S"), hour, -1, "found '10S'"},
        {"word", SPAN("5min"), hour, -1, "found '5min'"},
        {"half a unit", SPAN("5ms "), hour, -1, "found '5ms '"},
        {"unit alone", SPAN("ms"), hour, -1, "found 'ms'"},
        {"empty", SPAN(""), hour, -1, "found nothing"},
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]), value_parse_duration);
}

static void value_parses_choices(void **state)
{
    (void)state;
    static const char *const words[] = {"error", "warn", "info", "debug"};
    static const struct {
        struct span text;
        uint32_t want; /* UINT32_MAX: refused */
        const char *sentence;
    } cases[] = {
        {SPAN("error"), 0, ""},
        {SPAN("debug"), 3, ""},
        {SPAN("inof"), UINT32_MAX, "allowed: error, warn, info or debug; did you mean 'info'?"},
        {SPAN("Warn"), UINT32_MAX, "did you mean 'warn'?"},
        {SPAN("verbose"), UINT32_MAX, "found 'verbose'; allowed: error, warn, info or debug"},
        {SPAN(""), UINT32_MAX, "found nothing; allowed: error"},
        {SPAN("warn\0"), UINT32_MAX, "found 'warn?'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t index = UINT32_MAX;
        struct sentence sentence = {.text = ""};
        int rc = value_parse_choice(cases[i].text, words, 4, &index, &sentence);
        print_message("%s\n", sentence.text);
        assert_int_equal(rc, cases[i].want == UINT32_MAX ? -EINVAL : 0);
        assert_int_equal(index, cases[i].want);
        assert_non_null(strstr(sentence.text, cases[i].sentence));
    }
}

static void value_formats_what_it_parses(void **state)
{
    (void)state;
    assert_string_equal(value_format_size(0).text, "0");
    assert_string_equal(value_format_size(1000).text, "1000");
    assert_string_equal(value_format_size(32768).text, "32K");
    assert_string_equal(value_format_size(67108864).text, "64M");
    assert_string_equal(value_format_size(UINT64_C(1) << 40).text, "1024G");
    assert_string_equal(value_format_size(UINT64_MAX).text, "18446744073709551615");
    assert_string_equal(value_format_duration(0).text, "0");
    assert_string_equal(value_format_duration(1500).text, "1500ms");
    assert_string_equal(value_format_duration(10000).text, "10s");
    assert_string_equal(value_format_duration(60000).text, "1m");
    assert_string_equal(value_format_duration(3600000).text, "1h");
    assert_string_equal(value_format_duration(UINT64_MAX).text, "18446744073709551615ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_parses_counts),  cmocka_unit_test(value_parses_auto_where_allowed),
        cmocka_unit_test(value_parses_sizes),   cmocka_unit_test(value_parses_durations),
        cmocka_unit_test(value_parses_choices), cmocka_unit_test(value_formats_what_it_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
