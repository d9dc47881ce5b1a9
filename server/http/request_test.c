#include "server/http/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/check.h"

/* What one input gives: consumed bytes, 0, or a refusal. */
struct outcome {
    ssize_t rc;
    enum http_refusal_reason reason;
    struct http_request request; /* spans point into the copy: for comparing lengths only */
};

/* Parses a copy of exactly `in.bytes` bytes, so that the address sanitizer sees a step too far. */
static struct outcome parse_copy(struct span in)
{
    uint8_t *copy = malloc(in.bytes > 0 ? in.bytes : 1);
    assert_non_null(copy);
    if (in.bytes > 0) {
        memcpy(copy, in.ptr, in.bytes);
    }
    struct outcome outcome = {.reason = HTTP_REFUSAL_NONE};
    struct http_refusal refusal;
    outcome.rc = http_parse_request(span_of(copy, in.bytes), &outcome.request, &refusal);
    if (outcome.rc < 0) {
        assert_int_equal(outcome.rc, -EBADMSG);
        outcome.reason = refusal.reason;
        assert_int_equal(refusal.status, http_refusal_status(refusal.reason));
    }
    free(copy);
    return outcome;
}

/*
 * Parses `in` whole, byte by byte (every prefix in turn) and split at every point; all must agree:
 * nothing until the head is there or refused, then the same for every longer input.
 */
static struct outcome parse_every_way(const char *name, struct span in)
{
    struct outcome whole = parse_copy(in);
    bool is_decided = false;
    for (size_t bytes = 0; bytes < in.bytes; bytes++) {
        struct outcome part = parse_copy(span_of(in.ptr, bytes));
        bool is_same = part.rc == whole.rc && part.reason == whole.reason &&
                       part.request.field_count == whole.request.field_count;
        if (part.rc != 0 && !is_same) {
            fail_msg("%s: %zu bytes gave %zd (%s), all gave %zd (%s)", name, bytes, part.rc,
                     http_refusal_word(part.reason), whole.rc, http_refusal_word(whole.reason));
        }
        if (part.rc == 0 && is_decided) {
            fail_msg("%s: undecided again after %zu bytes", name, bytes);
        }
        is_decided = part.rc != 0;
    }
    return whole;
}

struct refusal_case {
    const char *name;
    struct span in;
    enum http_refusal_reason want;
};

#define REQUEST(line, fields) SPAN(line "\r\nHost: a\r\n" fields "\r\n")
#define FIELDS(fields)        REQUEST("GET / HTTP/1.1", fields)
#define NO_HOST(fields)       SPAN("GET / HTTP/1.1\r\n" fields "\r\n")

/* RFC 9112, and the list of research/peers.md E.3. */
static const struct refusal_case refusal_cases[] = {
    /* Request line. */
    {"http_09", SPAN("GET /\r\n\r\n"), HTTP_REFUSAL_REQUEST_LINE},
    {"two_spaces", REQUEST("GET  / HTTP/1.1", ""), HTTP_REFUSAL_REQUEST_LINE},
    {"two_spaces_before_version", REQUEST("GET /  HTTP/1.1", ""), HTTP_REFUSAL_VERSION},
    {"tab_after_method", REQUEST("GET\t/ HTTP/1.1", ""), HTTP_REFUSAL_NOT_HTTP},
    {"tab_after_target", REQUEST("GET /\tHTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"space_in_front", REQUEST(" GET / HTTP/1.1", ""), HTTP_REFUSAL_NOT_HTTP},
    {"space_behind", REQUEST("GET / HTTP/1.1 ", ""), HTTP_REFUSAL_VERSION},
    {"space_in_target", REQUEST("GET /a b HTTP/1.1", ""), HTTP_REFUSAL_VERSION},
    {"no_target", REQUEST("GET HTTP/1.1", ""), HTTP_REFUSAL_REQUEST_LINE},
    {"no_version", REQUEST("GET / ", ""), HTTP_REFUSAL_VERSION},
    {"version_1_10", REQUEST("GET / HTTP/1.10", ""), HTTP_REFUSAL_VERSION},
    {"version_01_1", REQUEST("GET / HTTP/01.1", ""), HTTP_REFUSAL_VERSION},
    {"version_lower_case", REQUEST("GET / http/1.1", ""), HTTP_REFUSAL_VERSION},
    {"version_mixed_case", REQUEST("GET / Http/1.1", ""), HTTP_REFUSAL_VERSION},
    {"version_letter", REQUEST("GET / HTTP/1.x", ""), HTTP_REFUSAL_VERSION},
    {"version_comma", REQUEST("GET / HTTP/1,1", ""), HTTP_REFUSAL_VERSION},
    {"version_no_dot", REQUEST("GET / HTTP/11", ""), HTTP_REFUSAL_VERSION},
    {"version_2", REQUEST("GET / HTTP/2", ""), HTTP_REFUSAL_VERSION},
    {"version_signed", REQUEST("GET / HTTP/+1.1", ""), HTTP_REFUSAL_VERSION},
    {"version_foreign", REQUEST("GET / HTCPCP/1.0", ""), HTTP_REFUSAL_VERSION},
    {"version_2_0", REQUEST("GET / HTTP/2.0", ""), HTTP_REFUSAL_VERSION_UNKNOWN},
    {"version_0_9", REQUEST("GET / HTTP/0.9", ""), HTTP_REFUSAL_VERSION_UNKNOWN},
    {"version_9_9", REQUEST("GET / HTTP/9.9", ""), HTTP_REFUSAL_VERSION_UNKNOWN},
    {"http_2_preface", SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HTTP_REFUSAL_VERSION_UNKNOWN},
    {"tls", SPAN("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"), HTTP_REFUSAL_TLS},
    {"binary", SPAN("\xff\xfe\xfd"), HTTP_REFUSAL_NOT_HTTP},
    {"method_no_token", REQUEST("G@T / HTTP/1.1", ""), HTTP_REFUSAL_NOT_HTTP},
    {"method_paren", REQUEST("G(T / HTTP/1.1", ""), HTTP_REFUSAL_NOT_HTTP},
    {"method_slash", REQUEST("GET/ / HTTP/1.1", ""), HTTP_REFUSAL_NOT_HTTP},
    {"method_unknown", REQUEST("FOO / HTTP/1.1", ""), HTTP_REFUSAL_METHOD},
    {"method_lower_case", REQUEST("get / HTTP/1.1", ""), HTTP_REFUSAL_METHOD},
    {"method_longer", REQUEST("GETS / HTTP/1.1", ""), HTTP_REFUSAL_METHOD},
    {"method_shorter", REQUEST("GE / HTTP/1.1", ""), HTTP_REFUSAL_METHOD},
    {"method_of_rtsp", REQUEST("DESCRIBE / HTTP/1.1", ""), HTTP_REFUSAL_METHOD},
    {"method_of_http_2", REQUEST("PRI / HTTP/1.1", ""), HTTP_REFUSAL_METHOD},
    {"connect", REQUEST("CONNECT a:443 HTTP/1.1", ""), HTTP_REFUSAL_METHOD},
    {"connect_path", REQUEST("CONNECT / HTTP/1.1", ""), HTTP_REFUSAL_METHOD},
    /* Target. */
    {"target_relative", REQUEST("GET a.html HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"target_query_only", REQUEST("GET ?a HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"target_authority", REQUEST("GET a:80 HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"asterisk_get", REQUEST("GET * HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"asterisk_more", REQUEST("OPTIONS *a HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"fragment", REQUEST("GET /a#b HTTP/1.1", ""), HTTP_REFUSAL_FRAGMENT},
    {"fragment_in_query", REQUEST("GET /a?b#c HTTP/1.1", ""), HTTP_REFUSAL_FRAGMENT},
    {"fragment_absolute", REQUEST("GET http://a/#b HTTP/1.1", ""), HTTP_REFUSAL_FRAGMENT},
    {"target_control", REQUEST("GET /\x01 HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"target_del", REQUEST("GET /\x7f HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"target_nul", REQUEST("GET /\0 HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"absolute_no_host", REQUEST("GET http:///a HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"absolute_empty", REQUEST("GET http:// HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"absolute_user", REQUEST("GET http://u:p@a/ HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"absolute_bad_port", REQUEST("GET http://a:x/ HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"absolute_ftp", REQUEST("GET ftp://a/ HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"absolute_file", REQUEST("GET file:///etc/passwd HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    {"absolute_one_slash", REQUEST("GET http:/a HTTP/1.1", ""), HTTP_REFUSAL_TARGET},
    /* Line ends and white space. */
    {"bare_lf_line", SPAN("GET / HTTP/1.1\nHost: a\r\n\r\n"), HTTP_REFUSAL_BARE_LF},
    {"bare_lf_field", SPAN("GET / HTTP/1.1\r\nHost: a\n\r\n"), HTTP_REFUSAL_BARE_LF},
    {"bare_lf_end", SPAN("GET / HTTP/1.1\r\nHost: a\r\n\n"), HTTP_REFUSAL_BARE_LF},
    {"bare_lf_all", SPAN("GET / HTTP/1.1\nHost: a\n\n"), HTTP_REFUSAL_BARE_LF},
    {"bare_lf_first", SPAN("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_REFUSAL_BARE_LF},
    {"bare_cr_line", SPAN("GET / HTTP/1.1\rHost: a\r\n\r\n"), HTTP_REFUSAL_BARE_CR},
    {"bare_cr_value", FIELDS("X: a\rb\r\n"), HTTP_REFUSAL_BARE_CR},
    {"bare_cr_name", FIELDS("X\ra: b\r\n"), HTTP_REFUSAL_BARE_CR},
    {"bare_cr_empty_value", FIELDS("X:\rb\r\n"), HTTP_REFUSAL_BARE_CR},
    {"bare_cr_twice", FIELDS("X: a\r\r\n"), HTTP_REFUSAL_BARE_CR},
    {"bare_cr_end", FIELDS("\rX"), HTTP_REFUSAL_BARE_CR},
    {"bare_cr_first", SPAN("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_REFUSAL_BARE_CR},
    {"space_before_first_field", NO_HOST(" Host: a\r\n"), HTTP_REFUSAL_FOLD},
    {"tab_before_first_field", NO_HOST("\tHost: a\r\n"), HTTP_REFUSAL_FOLD},
    {"fold_space", FIELDS("X: a\r\n b\r\n"), HTTP_REFUSAL_FOLD},
    {"fold_tab", FIELDS("X: a\r\n\tb\r\n"), HTTP_REFUSAL_FOLD},
    {"fold_empty", FIELDS("X: a\r\n \r\n"), HTTP_REFUSAL_FOLD},
    {"fold_last", FIELDS("X: a\r\n \r\n\r\n"), HTTP_REFUSAL_FOLD},
    /* Field lines. */
    {"space_before_colon", FIELDS("X : a\r\n"), HTTP_REFUSAL_FIELD_NAME},
    {"tab_before_colon", FIELDS("X\t: a\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"space_in_name", FIELDS("X Y: a\r\n"), HTTP_REFUSAL_FIELD_NAME},
    {"space_before_colon_of_length", FIELDS("Content-Length : 1\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"space_before_colon_of_coding", FIELDS("Transfer-Encoding : chunked\r\n"),
     HTTP_REFUSAL_FIELD_VALUE},
    {"empty_name", FIELDS(": a\r\n"), HTTP_REFUSAL_FIELD_NAME},
    {"no_colon", FIELDS("X\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"name_slash", FIELDS("X/Y: a\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"name_quote", FIELDS("\"X\": a\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"name_high_byte", FIELDS("X\xe9: a\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"name_nul", FIELDS("X\0: a\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"value_nul", FIELDS("X: a\0b\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"value_control", FIELDS("X: a\x01\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"value_del", FIELDS("X: a\x7f\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"value_escape", FIELDS("X: \x1b[31m\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    {"connection_nul", FIELDS("Connection: a\0b\r\n"), HTTP_REFUSAL_FIELD_VALUE},
    /* Host. */
    {"host_missing", NO_HOST("X: a\r\n"), HTTP_REFUSAL_HOST_MISSING},
    {"host_missing_no_field", NO_HOST(""), HTTP_REFUSAL_HOST_MISSING},
    {"host_missing_absolute", SPAN("GET http://a/ HTTP/1.1\r\n\r\n"), HTTP_REFUSAL_HOST_MISSING},
    {"host_twice", FIELDS("Host: a\r\n"), HTTP_REFUSAL_HOST_REPEATED},
    {"host_twice_other", FIELDS("HOST: b\r\n"), HTTP_REFUSAL_HOST_REPEATED},
    {"host_twice_in_1_0", SPAN("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
     HTTP_REFUSAL_HOST_REPEATED},
    {"host_empty", NO_HOST("Host:\r\n"), HTTP_REFUSAL_HOST_INVALID},
    {"host_blank", NO_HOST("Host: \t \r\n"), HTTP_REFUSAL_HOST_INVALID},
    {"host_path", NO_HOST("Host: a/b\r\n"), HTTP_REFUSAL_HOST_INVALID},
    {"host_list", NO_HOST("Host: a, b\r\n"), HTTP_REFUSAL_HOST_INVALID},
    {"host_space", NO_HOST("Host: a b\r\n"), HTTP_REFUSAL_HOST_INVALID},
    {"host_user", NO_HOST("Host: u@a\r\n"), HTTP_REFUSAL_HOST_INVALID},
    {"host_bad_port", NO_HOST("Host: a:99999\r\n"), HTTP_REFUSAL_HOST_INVALID},
    {"host_bad_absolute", SPAN("GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
     HTTP_REFUSAL_HOST_INVALID},
    /* Lengths. */
    {"length_and_coding", FIELDS("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
     HTTP_REFUSAL_LENGTH_CONFLICT},
    {"coding_and_length", FIELDS("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"),
     HTTP_REFUSAL_LENGTH_CONFLICT},
    {"coding_and_length_0", FIELDS("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
     HTTP_REFUSAL_LENGTH_CONFLICT},
    {"length_twice", FIELDS("Content-Length: 5\r\nContent-Length: 6\r\n"),
     HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_twice_same", FIELDS("Content-Length: 5\r\nContent-Length: 5\r\n"),
     HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_twice_0", FIELDS("Content-Length: 0\r\nContent-Length: 0\r\n"),
     HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_list", FIELDS("Content-Length: 5, 5\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_signed", FIELDS("Content-Length: +5\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_negative", FIELDS("Content-Length: -1\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_hex", FIELDS("Content-Length: 0x5\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_empty", FIELDS("Content-Length:\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_blank", FIELDS("Content-Length: \t\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_space", FIELDS("Content-Length: 5 5\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_letter", FIELDS("Content-Length: 5a\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_2_63", FIELDS("Content-Length: 9223372036854775808\r\n"), HTTP_REFUSAL_CONTENT_LENGTH},
    {"length_2_64", FIELDS("Content-Length: 18446744073709551616\r\n"),
     HTTP_REFUSAL_CONTENT_LENGTH},
    {"coding_other", FIELDS("Transfer-Encoding: gzip\r\n"), HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_list", FIELDS("Transfer-Encoding: gzip, chunked\r\n"), HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_list_behind", FIELDS("Transfer-Encoding: chunked, gzip\r\n"),
     HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_list_twice", FIELDS("Transfer-Encoding: chunked, chunked\r\n"),
     HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_twice", FIELDS("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
     HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_identity_twice",
     FIELDS("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
     HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_empty", FIELDS("Transfer-Encoding:\r\n"), HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_parameter", FIELDS("Transfer-Encoding: chunked;q=1\r\n"),
     HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_quoted", FIELDS("Transfer-Encoding: \"chunked\"\r\n"), HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_longer", FIELDS("Transfer-Encoding: xchunked\r\n"), HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_comma", FIELDS("Transfer-Encoding: chunked,\r\n"), HTTP_REFUSAL_TRANSFER_ENCODING},
    {"coding_in_1_0", SPAN("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
     HTTP_REFUSAL_TRANSFER_ENCODING},
    {"expect_other", FIELDS("Expect: 200-ok\r\n"), HTTP_REFUSAL_EXPECTATION},
    {"expect_list", FIELDS("Expect: 100-continue, x\r\n"), HTTP_REFUSAL_EXPECTATION},
};

static void request_refuses_what_the_standard_forbids(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusal_cases); i++) {
        const struct refusal_case *row = &refusal_cases[i];
        struct outcome outcome = parse_every_way(row->name, row->in);
        bool is_same_status =
            outcome.rc < 0 && http_refusal_status(outcome.reason) == http_refusal_status(row->want);
        /* Which of two reasons of one status it is, may depend on the version of llhttp where
         * llhttp stops first: names and values. */
        bool is_name_or_value =
            row->want == HTTP_REFUSAL_FIELD_NAME || row->want == HTTP_REFUSAL_FIELD_VALUE;
        if (!is_same_status || (outcome.reason != row->want && !is_name_or_value)) {
            fail_msg("%s: got %zd (%s), want %s", row->name, outcome.rc,
                     http_refusal_word(outcome.reason), http_refusal_word(row->want));
        }
    }
}

struct accept_case {
    const char *name;
    struct span in;
    size_t rest_bytes; /* behind the head */
};

static const struct accept_case accept_cases[] = {
    {"plain", FIELDS(""), 0},
    {"empty_line_first", SPAN("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0},
    {"pipelined", SPAN("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"), 28},
    {"binary_behind", SPAN("GET / HTTP/1.1\r\nHost: a\r\n\r\n\x16\n\n\0"), 4},
    {"no_host_in_1_0", SPAN("GET / HTTP/1.0\r\n\r\n"), 0},
    {"higher_minor", REQUEST("GET / HTTP/1.9", ""), 0},
    {"high_bytes", REQUEST("GET /caf\xc3\xa9 HTTP/1.1", "X: caf\xc3\xa9\r\n"), 0},
    {"odd_target", REQUEST("GET /|^`{}<>\"[]\\ HTTP/1.1", ""), 0},
    {"tab_in_value", FIELDS("X: a\tb\r\n"), 0},
    {"no_space_after_colon", SPAN("GET / HTTP/1.1\r\nHost:a\r\n\r\n"), 0},
    {"empty_value", FIELDS("X:\r\nY: \r\nZ: a\r\n"), 0},
    {"token_name", FIELDS("!#$%&'*+-.^_`|~09az: x\r\n"), 0},
    {"upgrade", FIELDS("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"), 0},
    {"websocket", FIELDS("Connection: Upgrade\r\nUpgrade: websocket\r\n"), 0},
    {"length_0", FIELDS("Content-Length: 0\r\n"), 0},
    {"length_white", FIELDS("Content-Length:  5 \r\n"), 0},
    {"proxy_connection", FIELDS("Proxy-Connection: close\r\n"), 0},
    {"method_put", REQUEST("PUT /a HTTP/1.1", "Content-Length: 5\r\n"), 0},
    {"method_trace", REQUEST("TRACE / HTTP/1.1", ""), 0},
    {"method_propfind", REQUEST("PROPFIND / HTTP/1.1", ""), 0},
    {"method_msearch", REQUEST("M-SEARCH / HTTP/1.1", ""), 0},
};

static void request_accepts_what_is_odd_but_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(accept_cases); i++) {
        const struct accept_case *row = &accept_cases[i];
        struct outcome outcome = parse_every_way(row->name, row->in);
        if (outcome.rc != (ssize_t)(row->in.bytes - row->rest_bytes)) {
            fail_msg("%s: got %zd (%s)", row->name, outcome.rc, http_refusal_word(outcome.reason));
        }
    }
}

static struct http_request parse(struct span in)
{
    struct http_request request;
    struct http_refusal refusal = {.word = "incomplete"};
    ssize_t rc = http_parse_request(in, &request, &refusal);
    if (rc <= 0) {
        fail_msg("refused: %s", refusal.word);
    }
    return request;
}

#define assert_span(span, literal) assert_true(span_equal((span), SPAN(literal)))

static void request_gives_every_field_it_knows(void **state)
{
    (void)state;
    struct http_request request =
        parse(SPAN("GET /a?b HTTP/1.1\r\n"
                   "hOST: example.com:80\r\n"
                   "User-Agent:  curl/8 \t\r\n"
                   "REFERER: http://a/\r\n"
                   "Accept-Encoding: br, gzip;q=0.5\r\n"
                   "Range: bytes=0-1\r\n"
                   "If-Range: \"r\"\r\n"
                   "If-Match: \"m\", W/\"n\"\r\n"
                   "If-None-Match: *\r\n"
                   "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:38 GMT\r\n"
                   "If-Something-Else: 1\r\n"
                   "\r\n"));
    assert_int_equal(request.method, HTTP_METHOD_GET);
    assert_span(request.line, "GET /a?b HTTP/1.1");
    assert_span(request.method_name, "GET");
    assert_span(request.target, "/a?b");
    assert_span(request.path, "/a?b");
    assert_span(request.host, "example.com:80");
    assert_span(request.user_agent, "curl/8");
    assert_span(request.referer, "http://a/");
    assert_span(request.accept_encoding, "br, gzip;q=0.5");
    assert_span(request.range, "bytes=0-1");
    assert_span(request.if_range, "\"r\"");
    assert_span(request.if_match, "\"m\", W/\"n\"");
    assert_span(request.if_none_match, "*");
    assert_span(request.if_modified_since, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_span(request.if_unmodified_since, "Sun, 06 Nov 1994 08:49:38 GMT");
    assert_int_equal(request.field_count, 11);
    assert_int_equal(request.version_minor, 1);
    assert_true(request.is_keep_alive);
    assert_false(request.has_body);
    assert_false(request.expect_continue);
    assert_false(request.is_list_repeated);
    assert_false(request.is_asterisk);
}

static void request_tells_empty_fields_from_missing_ones(void **state)
{
    (void)state;
    struct http_request request = parse(FIELDS("If-None-Match:\r\nRange: \r\n"));
    assert_true(http_field_is_present(request.if_none_match));
    assert_int_equal(request.if_none_match.bytes, 0);
    assert_true(http_field_is_present(request.range));
    assert_false(http_field_is_present(request.if_match));
    assert_false(http_field_is_present(request.user_agent));
}

static void request_takes_the_first_line_of_a_list(void **state)
{
    (void)state;
    struct http_request request =
        parse(FIELDS("If-None-Match: \"a\"\r\nX: y\r\nIf-None-Match: \"b\"\r\n"));
    assert_span(request.if_none_match, "\"a\"");
    assert_true(request.is_list_repeated);
    request = parse(FIELDS("User-Agent: a\r\nUser-Agent: b\r\n"));
    assert_span(request.user_agent, "a");
    assert_false(request.is_list_repeated);
}

static void request_empties_a_single_value_that_is_repeated(void **state)
{
    (void)state;
    struct http_request request =
        parse(FIELDS("Range: bytes=0-1\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n"));
    assert_true(http_field_is_present(request.range));
    assert_int_equal(request.range.bytes, 0);
}

struct keep_alive_case {
    const char *name;
    struct span in;
    bool want;
};

#define OLD(fields) SPAN("GET / HTTP/1.0\r\n" fields "\r\n")

/* RFC 9112 9.3. */
static const struct keep_alive_case keep_alive_cases[] = {
    {"1_1", FIELDS(""), true},
    {"1_1_close", FIELDS("Connection: close\r\n"), false},
    {"1_1_close_case", FIELDS("connection: CLOSE\r\n"), false},
    {"1_1_close_in_list", FIELDS("Connection: TE,close , x\r\n"), false},
    {"1_1_close_in_second_line", FIELDS("Connection: te\r\nConnection: close\r\n"), false},
    {"1_1_close_tab", FIELDS("Connection: close\t\r\n"), false},
    {"1_1_close_after_empty", FIELDS("Connection: ,close\r\n"), false},
    {"1_1_closed_is_no_close", FIELDS("Connection: closed\r\n"), true},
    {"1_1_keep_alive", FIELDS("Connection: keep-alive\r\n"), true},
    {"1_1_proxy_connection", FIELDS("Proxy-Connection: close\r\n"), true},
    {"1_1_body", FIELDS("Content-Length: 1\r\n"), false},
    {"1_1_empty_body", FIELDS("Content-Length: 0\r\n"), true},
    {"1_1_chunked", FIELDS("Transfer-Encoding: Chunked\r\n"), false},
    {"1_0", OLD(""), false},
    {"1_0_keep_alive", OLD("Connection: keep-alive\r\n"), true},
    {"1_0_keep_alive_case", OLD("Connection: Keep-Alive\r\n"), true},
    {"1_0_both", OLD("Connection: keep-alive, close\r\n"), false},
    {"1_0_proxy_connection", OLD("Proxy-Connection: keep-alive\r\n"), false},
    {"1_0_body", OLD("Connection: keep-alive\r\nContent-Length: 1\r\n"), false},
    {"1_2", REQUEST("GET / HTTP/1.2", ""), true},
};

static void request_keep_alive_follows_version_and_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(keep_alive_cases); i++) {
        if (parse(keep_alive_cases[i].in).is_keep_alive != keep_alive_cases[i].want) {
            fail_msg("%s: want %d", keep_alive_cases[i].name, keep_alive_cases[i].want);
        }
    }
}

static void request_describes_its_body(void **state)
{
    (void)state;
    struct http_request request = parse(FIELDS("Content-Length: 12\r\nExpect: 100-Continue\r\n"));
    assert_true(request.has_body);
    assert_false(request.is_chunked);
    assert_int_equal(request.content_length, 12);
    assert_true(request.expect_continue);
    request = parse(FIELDS("Transfer-Encoding: CHUNKED \r\n"));
    assert_true(request.has_body);
    assert_true(request.is_chunked);
    request = parse(OLD("Expect: whatever\r\n")); /* unknown to HTTP/1.0 */
    assert_false(request.expect_continue);
}

static void request_knows_methods(void **state)
{
    (void)state;
    assert_int_equal(parse(REQUEST("HEAD / HTTP/1.1", "")).method, HTTP_METHOD_HEAD);
    assert_int_equal(parse(REQUEST("OPTIONS / HTTP/1.1", "")).method, HTTP_METHOD_OPTIONS);
    static const struct span others[] = {
        REQUEST("POST / HTTP/1.1", ""),   REQUEST("PUT / HTTP/1.1", ""),
        REQUEST("DELETE / HTTP/1.1", ""), REQUEST("PATCH / HTTP/1.1", ""),
        REQUEST("TRACE / HTTP/1.1", ""),
    };
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_int_equal(parse(others[i]).method, HTTP_METHOD_OTHER);
    }
}

static void request_takes_the_host_of_an_absolute_target(void **state)
{
    (void)state;
    struct http_request request = parse(REQUEST("GET http://b:81/x?y HTTP/1.1", ""));
    assert_span(request.host, "b:81");
    assert_span(request.path, "/x?y");
    assert_span(request.target, "http://b:81/x?y");
    request = parse(REQUEST("GET HTTPS://B HTTP/1.1", ""));
    assert_span(request.host, "B");
    assert_int_equal(request.path.bytes, 0);
    request = parse(REQUEST("GET http://b?q=/ HTTP/1.1", ""));
    assert_span(request.host, "b");
    assert_span(request.path, "?q=/");
    request = parse(REQUEST("GET /http://b/ HTTP/1.1", ""));
    assert_span(request.host, "a");
}

static void request_takes_an_asterisk_for_options(void **state)
{
    (void)state;
    struct http_request request = parse(REQUEST("OPTIONS * HTTP/1.1", ""));
    assert_true(request.is_asterisk);
    assert_span(request.path, "*");
}

static void request_refusal_says_whether_it_was_a_head(void **state)
{
    (void)state;
    struct http_request request;
    struct http_refusal refusal;
    assert_true(http_parse_request(SPAN("HEAD / HTTP/1.1\r\n\r\n"), &request, &refusal) < 0);
    assert_true(refusal.is_head);
    assert_int_equal(refusal.status, 400);
    assert_string_equal(refusal.word, "host-missing");
    assert_true(http_parse_request(SPAN("\r\nHEAD / HTTP/1.1\n"), &request, &refusal) < 0);
    assert_true(refusal.is_head);
    assert_true(http_parse_request(SPAN("HEADS / HTTP/1.1\r\n\r\n"), &request, &refusal) < 0);
    assert_false(refusal.is_head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_refuses_what_the_standard_forbids),
        cmocka_unit_test(request_accepts_what_is_odd_but_allowed),
        cmocka_unit_test(request_gives_every_field_it_knows),
        cmocka_unit_test(request_tells_empty_fields_from_missing_ones),
        cmocka_unit_test(request_takes_the_first_line_of_a_list),
        cmocka_unit_test(request_empties_a_single_value_that_is_repeated),
        cmocka_unit_test(request_keep_alive_follows_version_and_connection),
        cmocka_unit_test(request_describes_its_body),
        cmocka_unit_test(request_knows_methods),
        cmocka_unit_test(request_takes_the_host_of_an_absolute_target),
        cmocka_unit_test(request_takes_an_asterisk_for_options),
        cmocka_unit_test(request_refusal_says_whether_it_was_a_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
