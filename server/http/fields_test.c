#include "server/http/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/base/check.h"

struct host_case {
    const char *host;
    bool want;
};

static const struct host_case host_cases[] = {
    {"localhost", true},
    {"localhost:8080", true},
    {"example.com", true},
    {"example.com:", true},
    {"example.com:0", true},
    {"example.com:65535", true},
    {"EXAMPLE.com.", true},
    {"127.0.0.1:80", true},
    {"[::1]", true},
    {"[::1]:8443", true},
    {"[::ffff:1.2.3.4]", true},
    {"[v1.fe80::a+en1]:1", true},
    {"a_b.example", true},
    {"caf%C3%A9.example", true},
    {"a!$&'()*+,;=b", true},
    {"", false},
    {":80", false},
    {"example.com:65536", false},
    {"example.com:123456", false},
    {"example.com:8x", false},
    {"example.com:-1", false},
    {"example.com:+1", false},
    {"example.com:80:80", false},
    {"user@example.com", false},
    {"example.com/", false},
    {"example.com?x", false},
    {"example.com#x", false},
    {"example .com", false},
    {"a,b c", false},
    {"a\\b", false},
    {"caf\xc3\xa9.example", false},
    {"100%", false},
    {"100%2", false},
    {"100%zz", false},
    {"[::1", false},
    {"::1]", false},
    {"[]", false},
    {"[:: 1]", false},
    {"[::1]x", false},
    {"[::1]:x", false},
    {"<script>", false},
    {"\"a\"", false},
};

static void fields_host_is_uri_host_and_port(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(host_cases); i++) {
        if (http_host_is_valid(span_of_string(host_cases[i].host)) != host_cases[i].want) {
            fail_msg("host '%s': want %d", host_cases[i].host, host_cases[i].want);
        }
    }
    assert_false(http_host_is_valid(span_of("a\0b", 3)));
}

static void fields_content_length_takes_digits_only(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    assert_true(http_content_length_parse(SPAN("0"), &bytes));
    assert_int_equal(bytes, 0);
    assert_true(http_content_length_parse(SPAN("00042"), &bytes));
    assert_int_equal(bytes, 42);
    assert_true(http_content_length_parse(SPAN("9223372036854775807"), &bytes));
    assert_true(bytes == INT64_MAX);
    static const char *const refused[] = {
        "",
        "-1",
        "+1",
        "0x10",
        "1 2",
        "5,5",
        "1.0",
        "1e3",
        " 1",
        "1_0",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551626",
        "99999999999999999999999999",
        "\xd9\xa1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        bytes = 7;
        if (http_content_length_parse(span_of_string(refused[i]), &bytes) || bytes != 7) {
            fail_msg("Content-Length '%s' was taken", refused[i]);
        }
    }
}

static void fields_list_gives_trimmed_elements_and_skips_empty_ones(void **state)
{
    (void)state;
    struct span rest = SPAN(" , close ,\t, keep-alive\t,x,,");
    struct span item = SPAN("untouched");
    assert_true(http_list_next(&rest, &item));
    assert_true(span_equal(item, SPAN("close")));
    assert_true(http_list_next(&rest, &item));
    assert_true(span_equal(item, SPAN("keep-alive")));
    assert_true(http_list_next(&rest, &item));
    assert_true(span_equal(item, SPAN("x")));
    item = SPAN("untouched");
    assert_false(http_list_next(&rest, &item));
    assert_false(http_list_next(&rest, &item));
    assert_true(span_equal(item, SPAN("untouched")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_host_is_uri_host_and_port),
        cmocka_unit_test(fields_content_length_takes_digits_only),
        cmocka_unit_test(fields_list_gives_trimmed_elements_and_skips_empty_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
