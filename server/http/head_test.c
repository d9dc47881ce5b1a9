#include "server/http/head.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/http/writer.h"

/* Where the tests build their long heads. */
static char buffer[3 * HTTP_HEAD_MAX];

/* A request with `count` fields "A:\r\n", then `end`. */
static struct span build_fields(size_t count, const char *end)
{
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = sizeof(buffer)};
    http_writer_put(&writer, SPAN("GET / HTTP/1.1\r\n"));
    for (size_t i = 0; i < count; i++) {
        http_writer_put(&writer, SPAN("A:\r\n"));
    }
    http_writer_put(&writer, span_of_string(end));
    return span_of(buffer, http_writer_finish(&writer));
}

/* `GET /aaa...` with a target of `target_bytes`, then `end`. */
static struct span build_target(size_t target_bytes, const char *end)
{
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = sizeof(buffer)};
    http_writer_put(&writer, SPAN("GET /"));
    for (size_t i = 1; i < target_bytes; i++) {
        http_writer_put(&writer, SPAN("a"));
    }
    http_writer_put(&writer, span_of_string(end));
    return span_of(buffer, http_writer_finish(&writer));
}

static enum http_refusal_reason scan(struct span in)
{
    struct http_head head;
    enum http_refusal_reason reason = HTTP_REFUSAL_NONE;
    ssize_t rc = http_head_scan(in, &head, &reason);
    assert_true(rc >= 0 || rc == -EBADMSG);
    assert_true((rc < 0) == (reason != HTTP_REFUSAL_NONE));
    return reason;
}

static bool is_incomplete(struct span in)
{
    struct http_head head;
    enum http_refusal_reason reason;
    return http_head_scan(in, &head, &reason) == 0;
}

static void head_gives_the_parts_of_the_request_line(void **state)
{
    (void)state;
    struct http_head head;
    enum http_refusal_reason reason;
    const struct span in =
        SPAN("\r\nOPTIONS HTTP://a.b:80/x/y?q=1 HTTP/1.0\r\nHost: c\r\n\r\nGET next");
    assert_int_equal(http_head_scan(in, &head, &reason), in.bytes - 8);
    assert_true(span_equal(head.line, SPAN("OPTIONS HTTP://a.b:80/x/y?q=1 HTTP/1.0")));
    assert_true(span_equal(head.method_name, SPAN("OPTIONS")));
    assert_true(span_equal(head.target, SPAN("HTTP://a.b:80/x/y?q=1")));
    assert_true(span_equal(head.authority, SPAN("a.b:80")));
    assert_true(span_equal(head.path, SPAN("/x/y?q=1")));
    assert_true(span_equal(head.fields, SPAN("Host: c\r\n\r\n")));
    assert_int_equal(head.method, HTTP_METHOD_OPTIONS);
    assert_int_equal(head.version_minor, 0);
}

static void head_takes_no_field_at_all(void **state)
{
    (void)state;
    struct http_head head;
    enum http_refusal_reason reason;
    const struct span in = SPAN("GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(http_head_scan(in, &head, &reason), in.bytes);
    assert_true(span_equal(head.fields, SPAN("\r\n")));
    assert_null(head.authority.ptr);
}

static void head_refuses_what_is_no_http_at_its_first_bytes(void **state)
{
    (void)state;
    assert_int_equal(scan(SPAN("\x16")), HTTP_REFUSAL_TLS);
    assert_int_equal(scan(SPAN("\x16\x03\x01\x02\x00\x01")), HTTP_REFUSAL_TLS);
    assert_int_equal(scan(SPAN("\x80")), HTTP_REFUSAL_NOT_HTTP);
    assert_int_equal(scan(SPAN(" ")), HTTP_REFUSAL_NOT_HTTP);
    assert_int_equal(scan(span_of("\0", 1)), HTTP_REFUSAL_NOT_HTTP);
    assert_int_equal(scan(SPAN("GET\t")), HTTP_REFUSAL_NOT_HTTP);
    assert_int_equal(scan(SPAN("GET\r")), HTTP_REFUSAL_NOT_HTTP);
    assert_int_equal(scan(SPAN("SSH-2.0-OpenSSH_9.2\r\n")), HTTP_REFUSAL_NOT_HTTP);
    assert_int_equal(scan(SPAN("{\"id\":1}")), HTTP_REFUSAL_NOT_HTTP);
    assert_int_equal(scan(SPAN("\r\n\r\n\x16")), HTTP_REFUSAL_TLS);
}

static void head_refuses_a_method_longer_than_any(void **state)
{
    (void)state;
    assert_true(is_incomplete(SPAN("ABCDEFGHABCDEFGHABCDEFGHABCDEFGH")));
    assert_true(is_incomplete(SPAN("ABCDEFGHABCDEFGHABCDEFGHABCDEFGH ")));
    assert_int_equal(scan(SPAN("ABCDEFGHABCDEFGHABCDEFGHABCDEFGHA")), HTTP_REFUSAL_METHOD);
}

static void head_bounds_the_empty_lines_in_front(void **state)
{
    (void)state;
    assert_true(is_incomplete(span_of(NULL, 0)));
    assert_true(is_incomplete(SPAN("\r")));
    assert_true(is_incomplete(SPAN("\r\n\r\n\r\n\r\n")));
    assert_int_equal(scan(SPAN("\r\n\r\n\r\n\r\n\r")), HTTP_REFUSAL_EMPTY_LINES);
    assert_int_equal(scan(SPAN("\n")), HTTP_REFUSAL_BARE_LF);
    assert_int_equal(scan(SPAN("\r\r")), HTTP_REFUSAL_BARE_CR);
}

static void head_refuses_too_long_a_target_before_its_line_ends(void **state)
{
    (void)state;
    const char *end = " HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(scan(build_target(HTTP_TARGET_MAX, end)), HTTP_REFUSAL_NONE);
    assert_false(is_incomplete(build_target(HTTP_TARGET_MAX, end)));
    assert_int_equal(scan(build_target(HTTP_TARGET_MAX + 1, end)), HTTP_REFUSAL_TARGET_TOO_LONG);
    assert_int_equal(scan(build_target(2 * HTTP_HEAD_MAX, end)), HTTP_REFUSAL_TARGET_TOO_LONG);
    assert_int_equal(scan(build_target(HTTP_TARGET_MAX + 100, "")), HTTP_REFUSAL_TARGET_TOO_LONG);
    assert_true(is_incomplete(build_target(HTTP_TARGET_MAX, "")));
}

static void head_refuses_too_many_fields(void **state)
{
    (void)state;
    assert_false(is_incomplete(build_fields(HTTP_HEADERS_MAX, "\r\n")));
    assert_int_equal(scan(build_fields(HTTP_HEADERS_MAX, "\r\n")), HTTP_REFUSAL_NONE);
    assert_true(is_incomplete(build_fields(HTTP_HEADERS_MAX, "")));
    assert_int_equal(scan(build_fields(HTTP_HEADERS_MAX + 1, "")), HTTP_REFUSAL_TOO_MANY_FIELDS);
}

static void head_refuses_too_many_bytes(void **state)
{
    (void)state;
    size_t start_bytes = build_fields(0, "Cookie: ").bytes;
    memset(buffer + start_bytes, 'c', HTTP_HEAD_MAX - start_bytes);
    assert_true(is_incomplete(span_of(buffer, HTTP_HEAD_MAX - 1)));
    assert_int_equal(scan(span_of(buffer, HTTP_HEAD_MAX)), HTTP_REFUSAL_HEAD_TOO_LONG);
    memcpy(buffer + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(scan(span_of(buffer, HTTP_HEAD_MAX)), HTTP_REFUSAL_NONE);
    assert_false(is_incomplete(span_of(buffer, HTTP_HEAD_MAX)));
    memcpy(buffer + HTTP_HEAD_MAX - 4, "c\r\n\r\n", 5);
    assert_int_equal(scan(span_of(buffer, HTTP_HEAD_MAX + 1)), HTTP_REFUSAL_HEAD_TOO_LONG);
}

/* Where it says no, parsing the longer input must give nothing either. */
static void check_hint(struct span in)
{
    for (size_t scanned_bytes = 0; scanned_bytes < in.bytes; scanned_bytes++) {
        if (!is_incomplete(span_of(in.ptr, scanned_bytes))) {
            return;
        }
        size_t next_bytes = scanned_bytes + 1;
        bool is_worth_it = http_head_may_be_complete(span_of(in.ptr, next_bytes), scanned_bytes);
        if (!is_worth_it && !is_incomplete(span_of(in.ptr, next_bytes))) {
            fail_msg("%zu bytes of '%.40s' would have waited", next_bytes, in.ptr);
        }
    }
}

static void head_may_be_complete_never_hides_an_answer(void **state)
{
    (void)state;
    static const char *const inputs[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nUser-Agent: a-rather-long-one\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a-rather-long-one\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a-rather-long-one\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a-rather-long-one\r\rX: y\r\n\r\n",
        "GET /a-rather-long-target-here-is HTTP/2.0\r\nHost: a\r\n\r\n",
        "\r\n\r\n\r\n\r\nABCDEFGHABCDEFGHABCDEFGHABCDEFGHA / HTTP/1.1\r\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(inputs); i++) {
        check_hint(span_of_string(inputs[i]));
    }
    check_hint(build_target(HTTP_TARGET_MAX + 200, ""));
    struct span long_head = build_target(20, " HTTP/1.1\r\nA: ");
    memset(buffer + long_head.bytes, 'a', HTTP_HEAD_MAX);
    check_hint(span_of(buffer, HTTP_HEAD_MAX + 10));
}

static void head_may_be_complete_says_no_within_a_field(void **state)
{
    (void)state;
    const struct span in = SPAN("GET / HTTP/1.1\r\nUser-Agent: something-that-is-not-over");
    assert_false(http_head_may_be_complete(in, in.bytes - 1));
    assert_true(http_head_may_be_complete(in, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_gives_the_parts_of_the_request_line),
        cmocka_unit_test(head_takes_no_field_at_all),
        cmocka_unit_test(head_refuses_what_is_no_http_at_its_first_bytes),
        cmocka_unit_test(head_refuses_a_method_longer_than_any),
        cmocka_unit_test(head_bounds_the_empty_lines_in_front),
        cmocka_unit_test(head_refuses_too_long_a_target_before_its_line_ends),
        cmocka_unit_test(head_refuses_too_many_fields),
        cmocka_unit_test(head_refuses_too_many_bytes),
        cmocka_unit_test(head_may_be_complete_never_hides_an_answer),
        cmocka_unit_test(head_may_be_complete_says_no_within_a_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
