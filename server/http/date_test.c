#include "server/http/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

#include "server/base/check.h"

#define NOW INT64_C(1765000000) /* 2025-12-06 */

static void date_format_writes_imf_fixdate(void **state)
{
    (void)state;
    char out[HTTP_DATE_BYTES + 1];
    http_date_format(784111777, out);
    assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_date_format(0, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(951782400, out);
    assert_string_equal(out, "Tue, 29 Feb 2000 00:00:00 GMT");
    http_date_format(HTTP_DATE_SECONDS_MAX, out);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void date_format_takes_the_nearest_date_it_can_write(void **state)
{
    (void)state;
    char out[HTTP_DATE_BYTES + 1];
    http_date_format(-1, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(INT64_MIN, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(INT64_MAX, out);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void date_format_agrees_with_libc_and_parses_back(void **state)
{
    (void)state;
    /* Each day of the calendar's 400 years, and then in larger steps to the end. */
    for (int64_t seconds = 0; seconds <= HTTP_DATE_SECONDS_MAX;
         seconds += seconds < INT64_C(14000000000) ? 86399 : 8639999) {
        char ours[HTTP_DATE_BYTES + 1];
        char theirs[64];
        struct tm tm;
        time_t time = seconds;
        http_date_format(seconds, ours);
        (void)strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&time, &tm));
        assert_string_equal(ours, theirs);
        int64_t parsed = -1;
        assert_true(http_date_parse(span_of(ours, HTTP_DATE_BYTES), NOW, &parsed));
        assert_int_equal(parsed, seconds);
    }
}

struct date_case {
    const char *text;
    int64_t want; /* -1: not a date */
};

static const struct date_case date_cases[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"Sun Nov  6 08:49:37 1994", 784111777},
    {"Sun Nov 16 08:49:37 1994", 784975777},
    {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777}, /* the wrong day of the week */
    {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
    {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    /* The 50 years of RFC 850, seen from 2025: 1976..2075. */
    {"Wednesday, 01-Jan-75 00:00:00 GMT", 3313526400},
    {"Thursday, 01-Jan-76 00:00:00 GMT", 189302400},
    {"Saturday, 01-Jan-00 00:00:00 GMT", 946684800},
    {"", -1},
    {"0", -1},
    {"Sun", -1},
    {"Sun,", -1},
    {"Sun, ", -1},
    {"Sunday", -1},
    {"Sunday, ", -1},
    {"Sun, 06 Nov 1994 08:49:37", -1},
    {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
    {"Sun, 06 Nov 1994 08:49:37 gmt", -1},
    {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
    {" Sun, 06 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 08:49:37 GMTx", -1},
    {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 nov 1994 08:49:37 GMT", -1},
    {"sun, 06 Nov 1994 08:49:37 GMT", -1},
    {"Sun 06 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 Nov 94 08:49:37 GMT", -1},
    {"Sun, 06-Nov-94 08:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 8:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 08:49 GMT", -1},
    {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
    {"Sun, 06 Nov 1994 08:60:00 GMT", -1},
    {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
    {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
    {"Mon, 29 Feb 2100 00:00:00 GMT", -1},
    {"Mon, 30 Feb 2000 00:00:00 GMT", -1},
    {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
    {"Sat, 01 Jan 0000 00:00:00 GMT", -1},
    {"Sun, +6 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 Nov -994 08:49:37 GMT", -1},
    {"Sun Nov 6 08:49:37 1994", -1},
    {"Sun Nov  06 08:49:37 1994", -1},
    {"Sun Nov  6 08:49:37 1994 GMT", -1},
    {"Sunday, 06-Nov-1994 08:49:37 GMT", -1},
    {"Sunday 06-Nov-94 08:49:37 GMT", -1},
    {"Monday, 29-Feb-75 08:49:37 GMT", -1},
    {"1994-11-06T08:49:37Z", -1},
    {"784111777", -1},
};

static void date_parse_takes_the_three_forms_and_no_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(date_cases); i++) {
        int64_t got = -1;
        bool is_date = http_date_parse(span_of_string(date_cases[i].text), NOW, &got);
        if (is_date != (date_cases[i].want >= 0) || got != date_cases[i].want) {
            fail_msg("'%s': got %ld, want %ld", date_cases[i].text, (long)got,
                     (long)date_cases[i].want);
        }
    }
    int64_t untouched = 5;
    assert_false(http_date_parse(span_of(NULL, 0), NOW, &untouched));
    assert_int_equal(untouched, 5);
}

static void date_parse_refuses_every_cut_and_every_foreign_byte(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    };
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        struct span whole = span_of_string(forms[i]);
        int64_t got;
        for (size_t bytes = 0; bytes < whole.bytes; bytes++) {
            assert_false(http_date_parse(span_of(whole.ptr, bytes), NOW, &got));
            assert_false(bytes > 0 && http_date_parse(span_skip(whole, bytes), NOW, &got));
            char copy[64];
            memcpy(copy, whole.ptr, whole.bytes);
            copy[bytes] = '\x7f';
            assert_false(http_date_parse(span_of(copy, whole.bytes), NOW, &got));
        }
    }
}

static void date_parse_places_the_short_year_by_now(void **state)
{
    (void)state;
    const struct span text = SPAN("Monday, 01-Jan-90 00:00:00 GMT");
    int64_t got;
    assert_true(http_date_parse(text, 0, &got)); /* 1970: 1990 is near */
    assert_int_equal(got, 631152000);
    assert_true(http_date_parse(text, INT64_C(2208988800), &got)); /* 2040: so is 2090 */
    assert_int_equal(got, 3786912000);
    assert_true(http_date_parse(text, INT64_C(2177452799), &got)); /* 2038 */
    assert_int_equal(got, 631152000);
    assert_true(http_date_parse(text, INT64_MIN, &got)); /* a clock that is not set */
    assert_true(http_date_parse(text, INT64_MAX, &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(date_format_writes_imf_fixdate),
        cmocka_unit_test(date_format_takes_the_nearest_date_it_can_write),
        cmocka_unit_test(date_format_agrees_with_libc_and_parses_back),
        cmocka_unit_test(date_parse_takes_the_three_forms_and_no_other),
        cmocka_unit_test(date_parse_refuses_every_cut_and_every_foreign_byte),
        cmocka_unit_test(date_parse_places_the_short_year_by_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
