#include "server/base/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/base/check.h"

static void span_counts_bytes_without_the_nul(void **state)
{
    (void)state;
    assert_int_equal(SPAN("").bytes, 0);
    assert_int_equal(SPAN("abc").bytes, 3);
    assert_int_equal(SPAN("a\0c").bytes, 3);
    assert_int_equal(span_of_string("").bytes, 0);
    assert_int_equal(span_of_string("a\0c").bytes, 1);
    const char bytes[] = {'x', 'y'};
    assert_ptr_equal(span_of(bytes, sizeof(bytes)).ptr, bytes);
    assert_int_equal(span_of(bytes, sizeof(bytes)).bytes, 2);
}

static void equal_compares_all_bytes(void **state)
{
    (void)state;
    const struct span nothing = {.ptr = NULL, .bytes = 0};
    const struct {
        struct span a;
        struct span b;
        bool want;
    } cases[] = {
        {nothing, nothing, true},
        {nothing, SPAN(""), true},
        {nothing, SPAN("a"), false},
        {SPAN("abc"), SPAN("abc"), true},
        {SPAN("abc"), SPAN("abd"), false},
        {SPAN("abc"), SPAN("ab"), false},
        {SPAN("a\0c"), SPAN("a\0d"), false},
        {SPAN("a\0c"), SPAN("a"), false},
        {SPAN("\xff"), SPAN("\x7f"), false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(span_equal(cases[i].a, cases[i].b), cases[i].want);
        assert_int_equal(span_equal(cases[i].b, cases[i].a), cases[i].want);
    }
}

static void skip_gives_the_rest(void **state)
{
    (void)state;
    struct span whole = SPAN("GET /");
    assert_true(span_equal(span_skip(whole, 0), whole));
    assert_true(span_equal(span_skip(whole, 4), SPAN("/")));
    assert_int_equal(span_skip(whole, 5).bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_counts_bytes_without_the_nul),
        cmocka_unit_test(equal_compares_all_bytes),
        cmocka_unit_test(skip_gives_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
