#include "server/http/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"

static const uint32_t codes[] = {
#define HTTP_STATUS(code, reason, sentence) code,
#include "server/http/status.def"
#undef HTTP_STATUS
};

static void status_reason_is_that_of_rfc_9110(void **state)
{
    (void)state;
    assert_string_equal(http_status_reason(200), "OK");
    assert_string_equal(http_status_reason(413), "Content Too Large");
    assert_string_equal(http_status_reason(431), "Request Header Fields Too Large");
    assert_string_equal(http_status_reason(505), "HTTP Version Not Supported");
}

static void status_list_ascends_and_has_plain_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        assert_true(i == 0 || codes[i - 1] < codes[i]);
        assert_true(strlen(http_status_reason(codes[i])) > 0);
        /* It goes into HTML as it is. */
        assert_null(strpbrk(http_status_sentence(codes[i]), "<>&\""));
        assert_true(strlen(http_status_sentence(codes[i])) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_reason_is_that_of_rfc_9110),
        cmocka_unit_test(status_list_ascends_and_has_plain_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
