#include "server/http/range.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/base/check.h"

struct range_case {
    const char *value;
    uint64_t size_bytes;
    enum http_range_result want;
    uint64_t want_start;
    uint64_t want_end;
};

#define GIVES        HTTP_RANGE_SATISFIABLE
#define IGNORED      HTTP_RANGE_IGNORED, 0, 0
#define UNSATISFIED  HTTP_RANGE_UNSATISFIABLE, 0, 0
#define HUGE         (UINT64_MAX - 1)
#define TWENTY_NINES "99999999999999999999"

static const struct range_case range_cases[] = {
    {"bytes=0-0", 10, GIVES, 0, 1},
    {"bytes=0-9", 10, GIVES, 0, 10},
    {"bytes=0-10", 10, GIVES, 0, 10},
    {"bytes=2-5", 10, GIVES, 2, 6},
    {"bytes=9-", 10, GIVES, 9, 10},
    {"bytes=0-", 10, GIVES, 0, 10},
    {"bytes=9-9", 10, GIVES, 9, 10},
    {"bytes=-1", 10, GIVES, 9, 10},
    {"bytes=-10", 10, GIVES, 0, 10},
    {"bytes=-11", 10, GIVES, 0, 10},
    {"bytes=0-0", 1, GIVES, 0, 1},
    {"Bytes=1-2", 10, GIVES, 1, 3},
    {"BYTES= 1-2 ", 10, GIVES, 1, 3},
    {"bytes=,1-2,", 10, GIVES, 1, 3},
    {"bytes=0001-0002", 10, GIVES, 1, 3},
    {"bytes=10-", 10, UNSATISFIED},
    {"bytes=10-20", 10, UNSATISFIED},
    {"bytes=-0", 10, UNSATISFIED},
    {"bytes=5-4", 10, IGNORED},
    {"bytes=-", 10, IGNORED},
    {"bytes=", 10, IGNORED},
    {"bytes", 10, IGNORED},
    {"", 10, IGNORED},
    {"bytes=,", 10, IGNORED},
    {"bytes=a-b", 10, IGNORED},
    {"bytes=1", 10, IGNORED},
    {"bytes=1-2-3", 10, IGNORED},
    {"bytes=--1", 10, IGNORED},
    {"bytes=+1-2", 10, IGNORED},
    {"bytes=1 -2", 10, IGNORED},
    {"bytes=1- 2", 10, IGNORED},
    {"bytes=0x1-2", 10, IGNORED},
    {"bytes =1-2", 10, IGNORED},
    {"bytes:1-2", 10, IGNORED},
    {"items=0-1", 10, IGNORED},
    {"none", 10, IGNORED},
    {"bytes=0-0,2-3", 10, IGNORED},
    {"bytes=0-0, -1", 10, IGNORED},
    {"bytes=0-, 0-, 0-", 10, IGNORED},
    {"bytes=1-2;q=1", 10, IGNORED},
    /* An empty file has no part. */
    {"bytes=0-", 0, IGNORED},
    {"bytes=0-0", 0, IGNORED},
    {"bytes=-1", 0, IGNORED},
    {"bytes=-0", 0, IGNORED},
    /* nginx CVE-2017-7529: sums beyond 64 bits. */
    {"bytes=0-18446744073709551615", 10, GIVES, 0, 10},
    {"bytes=0-18446744073709551616", 10, GIVES, 0, 10},
    {"bytes=0-" TWENTY_NINES, 10, GIVES, 0, 10},
    {"bytes=-18446744073709551615", 10, GIVES, 0, 10},
    {"bytes=-" TWENTY_NINES TWENTY_NINES, 10, GIVES, 0, 10},
    {"bytes=18446744073709551615-", 10, UNSATISFIED},
    {"bytes=" TWENTY_NINES "-", 10, UNSATISFIED},
    {"bytes=" TWENTY_NINES "-" TWENTY_NINES, 10, UNSATISFIED},
    {"bytes=-9223372036854775608,-9223372036854775808", 10, IGNORED},
    {"bytes=18446744073709551613-", HUGE, GIVES, HUGE - 1, HUGE},
    {"bytes=18446744073709551613-" TWENTY_NINES, HUGE, GIVES, HUGE - 1, HUGE},
    {"bytes=4294967296-4294967299", UINT64_C(5000000000), GIVES, 4294967296, 4294967300},
    {"bytes=18446744073709551615-18446744073709551615", UINT64_MAX, UNSATISFIED},
    {"bytes=0-18446744073709551614", UINT64_MAX, GIVES, 0, UINT64_MAX},
};

static void range_parse_takes_one_range_of_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(range_cases); i++) {
        const struct range_case *row = &range_cases[i];
        struct http_range range = {0, 0};
        enum http_range_result got =
            http_range_parse(span_of_string(row->value), row->size_bytes, &range);
        if (got != row->want || range.start_offset != row->want_start ||
            range.end_offset != row->want_end) {
            fail_msg("'%s' of %" PRIu64 ": got %d %" PRIu64 "..%" PRIu64, row->value,
                     row->size_bytes, (int)got, range.start_offset, range.end_offset);
        }
    }
    struct http_range range;
    assert_int_equal(http_range_parse(span_of(NULL, 0), 10, &range), HTTP_RANGE_IGNORED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_parse_takes_one_range_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
