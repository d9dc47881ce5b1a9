#include "server/http/condition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/base/check.h"

#define NOW    INT64_C(1765000000)
#define DATE   "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"
#define TAG    "\"1f4-2\""

static const struct http_validators validators = {
    .etag = {(const uint8_t *)TAG, sizeof(TAG) - 1},
    .last_modified_seconds = 784111777,
};

/* NULL: not sent. */
struct condition_case {
    const char *name;
    const char *if_match;
    const char *if_unmodified_since;
    const char *if_none_match;
    const char *if_modified_since;
    enum http_condition want;
};

#define PROCEED      HTTP_CONDITION_PROCEED
#define NOT_MODIFIED HTTP_CONDITION_NOT_MODIFIED
#define FAILED       HTTP_CONDITION_FAILED

static const struct condition_case condition_cases[] = {
    {"nothing", NULL, NULL, NULL, NULL, PROCEED},
    {"none_match", NULL, NULL, TAG, NULL, NOT_MODIFIED},
    {"none_match_other", NULL, NULL, "\"x\"", NULL, PROCEED},
    {"none_match_any", NULL, NULL, "*", NULL, NOT_MODIFIED},
    {"none_match_weak", NULL, NULL, "W/" TAG, NULL, NOT_MODIFIED},
    {"none_match_list", NULL, NULL, "\"x\", W/\"y\" ,\t" TAG ", \"z\"", NULL, NOT_MODIFIED},
    {"none_match_list_tight", NULL, NULL, "\"x\"," TAG, NULL, NOT_MODIFIED},
    {"none_match_list_gaps", NULL, NULL, ", ,\"x\",, " TAG ",", NULL, NOT_MODIFIED},
    {"none_match_list_other", NULL, NULL, "\"x\", \"y\"", NULL, PROCEED},
    {"none_match_comma_in_tag", NULL, NULL, "\"x,y\", " TAG, NULL, NOT_MODIFIED},
    {"none_match_within_tag", NULL, NULL, "\"x" TAG "x\"", NULL, PROCEED},
    {"none_match_unquoted", NULL, NULL, "1f4-2", NULL, PROCEED},
    {"none_match_prefix", NULL, NULL, "\"1f4-\"", NULL, PROCEED},
    {"none_match_longer", NULL, NULL, "\"1f4-2a\"", NULL, PROCEED},
    {"none_match_open", NULL, NULL, "\"1f4-2", NULL, PROCEED},
    {"none_match_no_comma", NULL, NULL, "\"x\" " TAG, NULL, PROCEED},
    {"none_match_glued", NULL, NULL, "\"x\"" TAG, NULL, PROCEED},
    {"none_match_lower_weak", NULL, NULL, "w/" TAG, NULL, PROCEED},
    {"none_match_garbage_first", NULL, NULL, "x, " TAG, NULL, PROCEED},
    {"none_match_empty", NULL, NULL, "", NULL, PROCEED},
    {"none_match_any_in_list", NULL, NULL, "\"x\", *", NULL, PROCEED},
    {"modified_same", NULL, NULL, NULL, DATE, NOT_MODIFIED},
    {"modified_later", NULL, NULL, NULL, AFTER, NOT_MODIFIED},
    {"modified_before", NULL, NULL, NULL, BEFORE, PROCEED},
    {"modified_rfc850", NULL, NULL, NULL, "Sunday, 06-Nov-94 08:49:37 GMT", NOT_MODIFIED},
    {"modified_bad", NULL, NULL, NULL, "yesterday", PROCEED},
    {"modified_empty", NULL, NULL, NULL, "", PROCEED},
    /* RFC 9110 13.1.3: a tag makes the date not count. */
    {"tag_over_date_changed", NULL, NULL, "\"x\"", DATE, PROCEED},
    {"tag_over_date_same", NULL, NULL, TAG, BEFORE, NOT_MODIFIED},
    {"empty_tag_over_date", NULL, NULL, "", DATE, PROCEED},
    {"match", TAG, NULL, NULL, NULL, PROCEED},
    {"match_any", "*", NULL, NULL, NULL, PROCEED},
    {"match_list", "\"x\", " TAG, NULL, NULL, NULL, PROCEED},
    {"match_other", "\"x\"", NULL, NULL, NULL, FAILED},
    {"match_weak", "W/" TAG, NULL, NULL, NULL, FAILED},
    {"match_weak_and_strong", "W/" TAG ", " TAG, NULL, NULL, NULL, PROCEED},
    {"match_empty", "", NULL, NULL, NULL, FAILED},
    {"match_garbage", "x", NULL, NULL, NULL, FAILED},
    {"unmodified_same", NULL, DATE, NULL, NULL, PROCEED},
    {"unmodified_later", NULL, AFTER, NULL, NULL, PROCEED},
    {"unmodified_before", NULL, BEFORE, NULL, NULL, FAILED},
    {"unmodified_bad", NULL, "never", NULL, NULL, PROCEED},
    /* RFC 9110 13.1.4: If-Match makes the date not count; 13.2.2: 412 comes before 304. */
    {"match_over_unmodified", TAG, BEFORE, NULL, NULL, PROCEED},
    {"match_other_over_unmodified", "\"x\"", AFTER, NULL, NULL, FAILED},
    {"failed_before_not_modified", "\"x\"", NULL, TAG, DATE, FAILED},
    {"unmodified_before_none_match", NULL, BEFORE, TAG, NULL, FAILED},
    {"match_then_none_match", TAG, NULL, TAG, NULL, NOT_MODIFIED},
    {"unmodified_then_modified", NULL, DATE, NULL, DATE, NOT_MODIFIED},
};

static struct span field(const char *value)
{
    return value != NULL ? span_of_string(value) : span_of(NULL, 0);
}

static void condition_evaluate_follows_the_order_of_rfc_9110(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(condition_cases); i++) {
        const struct condition_case *row = &condition_cases[i];
        const struct http_request request = {
            .method = HTTP_METHOD_GET,
            .if_match = field(row->if_match),
            .if_unmodified_since = field(row->if_unmodified_since),
            .if_none_match = field(row->if_none_match),
            .if_modified_since = field(row->if_modified_since),
        };
        enum http_condition got = http_condition_evaluate(&request, &validators, NOW);
        if (got != row->want) {
            fail_msg("%s: got %d, want %d", row->name, (int)got, (int)row->want);
        }
    }
}

struct if_range_case {
    const char *name;
    enum http_method method;
    const char *if_range;
    bool want;
};

static const struct if_range_case if_range_cases[] = {
    {"not_sent", HTTP_METHOD_GET, NULL, true},
    {"head", HTTP_METHOD_HEAD, NULL, false},
    {"tag", HTTP_METHOD_GET, TAG, true},
    {"head_tag", HTTP_METHOD_HEAD, TAG, false},
    {"tag_other", HTTP_METHOD_GET, "\"x\"", false},
    {"tag_weak", HTTP_METHOD_GET, "W/" TAG, false},
    {"tag_list", HTTP_METHOD_GET, TAG ", " TAG, false},
    {"any", HTTP_METHOD_GET, "*", false},
    {"date", HTTP_METHOD_GET, DATE, true},
    {"date_before", HTTP_METHOD_GET, BEFORE, false},
    {"date_after", HTTP_METHOD_GET, AFTER, false},
    {"garbage", HTTP_METHOD_GET, "x", false},
    {"empty", HTTP_METHOD_GET, "", false},
};

static void condition_allows_range_of_this_very_version_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(if_range_cases); i++) {
        const struct if_range_case *row = &if_range_cases[i];
        const struct http_request request = {
            .method = row->method,
            .range = SPAN("bytes=0-1"),
            .if_range = field(row->if_range),
        };
        if (http_condition_allows_range(&request, &validators, NOW) != row->want) {
            fail_msg("%s: want %d", row->name, row->want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(condition_evaluate_follows_the_order_of_rfc_9110),
        cmocka_unit_test(condition_allows_range_of_this_very_version_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
