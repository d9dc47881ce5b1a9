#include "server/http/refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "server/http/status.h"

static void refusal_words_are_distinct_and_fit_a_counter(void **state)
{
    (void)state;
    for (int i = HTTP_REFUSAL_NONE; i < HTTP_REFUSAL_COUNT; i++) {
        const char *word = http_refusal_word((enum http_refusal_reason)i);
        assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz-"), strlen(word));
        for (int j = HTTP_REFUSAL_NONE; j < i; j++) {
            assert_string_not_equal(word, http_refusal_word((enum http_refusal_reason)j));
        }
    }
}

static void refusal_status_can_be_answered(void **state)
{
    (void)state;
    for (int i = HTTP_REFUSAL_NONE + 1; i < HTTP_REFUSAL_COUNT; i++) {
        uint32_t status = http_refusal_status((enum http_refusal_reason)i);
        assert_true(status >= 400);
        assert_non_null(http_status_reason(status));
    }
    assert_int_equal(http_refusal_status(HTTP_REFUSAL_BARE_LF), 400);
    assert_int_equal(http_refusal_status(HTTP_REFUSAL_TARGET_TOO_LONG), 414);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusal_words_are_distinct_and_fit_a_counter),
        cmocka_unit_test(refusal_status_can_be_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
