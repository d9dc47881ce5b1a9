#include "loadgen/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"

static void assert_span(struct span got, const char *want)
{
    if (!span_equal(got, span_of_string(want))) {
        fail_msg("'%.*s', wanted '%s'", (int)got.bytes, (const char *)got.ptr, want);
    }
}

static void url_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        const char *authority;
        uint16_t port;
        const char *path;
    } cases[] = {
        {"http://localhost", "localhost", "localhost", 80, ""},
        {"http://127.0.0.1:8080/", "127.0.0.1", "127.0.0.1:8080", 8080, "/"},
        {"HTTP://a.b:1/c/d?e=f#g", "a.b", "a.b:1", 1, "/c/d?e=f"},
        {"127.0.0.1:8080/x", "127.0.0.1", "127.0.0.1:8080", 8080, "/x"},
        {"http://[::1]:65535/x", "::1", "[::1]:65535", 65535, "/x"},
        {"http://[fe80::1]", "fe80::1", "[fe80::1]", 80, ""},
        {"http://a/%20b", "a", "a", 80, "/%20b"},
        {"http://a#b", "a", "a", 80, ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct url url;
        assert_null(url_parse(cases[i].text, &url));
        assert_span(url.host, cases[i].host);
        assert_span(url.authority, cases[i].authority);
        assert_int_equal(url.port, cases[i].port);
        assert_span(url.path, cases[i].path);
    }
}

static void url_says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"https://a/", "TLS is not supported by this version; use http://"},
        {"ftp://a/", "unknown scheme; use http://"},
        {"http://", "no host; expected http://HOST[:PORT][/PATH]"},
        {"http://:80/", "no host; expected http://HOST[:PORT][/PATH]"},
        {"http://[::1/", "an IPv6 address needs its closing ']'"},
        {"http://a:0/", "bad port; expected a number from 1 to 65535 after the host"},
        {"http://a:65536/", "bad port; expected a number from 1 to 65535 after the host"},
        {"http://a:99999999999999999999/",
         "bad port; expected a number from 1 to 65535 after the host"},
        {"http://a:/", "bad port; expected a number from 1 to 65535 after the host"},
        {"http://a:8x/", "bad port; expected a number from 1 to 65535 after the host"},
        {"http://[::1]x/", "bad port; expected a number from 1 to 65535 after the host"},
        {"http://a/b c", "blanks and control bytes must be percent-encoded (%20)"},
        {"http://a/\r\nX: y", "blanks and control bytes must be percent-encoded (%20)"},
        {"http://me@a/", "user names in URLs are not supported; leave out what is before '@'"},
        {"http://a?b", "a query needs a path before it: http://HOST/?QUERY"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct url url;
        assert_string_equal(url_parse(cases[i].text, &url), cases[i].want);
    }
}

static void last_segment_is_the_files_name(void **state)
{
    (void)state;
    assert_span(url_last_segment(SPAN("/a/b.bin")), "b.bin");
    assert_span(url_last_segment(SPAN("/b.bin?v=/x")), "b.bin");
    assert_span(url_last_segment(SPAN("b.bin")), "b.bin");
    assert_span(url_last_segment(SPAN("/a/")), "");
    assert_span(url_last_segment(SPAN("")), "");
}

static void path_is_encoded_where_it_must_be(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *want;
    } cases[] = {
        {"a/b.html?x=1&y", "a/b.html?x=1&y"},
        {"with space", "with%20space"},
        {"a%20b", "a%20b"},
        {"caf\xc3\xa9", "caf%C3%A9"},
        {"c#d\r\n", "c%23d%0D%0A"},
        {"\"<>\\^`{|}", "%22%3C%3E%5C%5E%60%7B%7C%7D"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char out[128];
        size_t bytes = url_encode_path(span_of_string(cases[i].path), out);
        assert_span(span_of(out, bytes), cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url_is_taken_apart),
        cmocka_unit_test(url_says_what_is_wrong),
        cmocka_unit_test(last_segment_is_the_files_name),
        cmocka_unit_test(path_is_encoded_where_it_must_be),
    };
    return cmocka_run_group_tests_name("load_url", tests, NULL, NULL);
}
