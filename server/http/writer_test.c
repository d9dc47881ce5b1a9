#include "server/http/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void writer_adds_text_and_numbers(void **state)
{
    (void)state;
    char buffer[64];
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = sizeof(buffer)};
    http_writer_put(&writer, SPAN("a="));
    http_writer_put_number(&writer, 0);
    http_writer_put(&writer, span_of(NULL, 0));
    http_writer_put(&writer, SPAN(" b="));
    http_writer_put_number(&writer, UINT64_MAX);
    const struct span want = SPAN("a=0 b=18446744073709551615");
    assert_int_equal(http_writer_finish(&writer), want.bytes);
    assert_memory_equal(buffer, want.ptr, want.bytes);
}

static void writer_takes_text_that_just_fits(void **state)
{
    (void)state;
    char buffer[5] = "....";
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = 4};
    http_writer_put(&writer, SPAN("abcd"));
    assert_int_equal(http_writer_finish(&writer), 4);
    assert_int_equal(buffer[4], '\0');
}

static void writer_remembers_what_did_not_fit(void **state)
{
    (void)state;
    char buffer[5] = "....";
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = 4};
    http_writer_put(&writer, SPAN("ab"));
    http_writer_put(&writer, SPAN("cde"));
    http_writer_put(&writer, SPAN("f")); /* would fit, but the text has a hole already */
    assert_int_equal(http_writer_finish(&writer), 0);
    assert_string_equal(buffer, "ab..");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_adds_text_and_numbers),
        cmocka_unit_test(writer_takes_text_that_just_fits),
        cmocka_unit_test(writer_remembers_what_did_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
