#include "server/http/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/http/etag.h"
#include "server/http/status.h"

#define PAGE_BODY_MAX 700

static const struct http_representation representation = {
    .validators = {.etag = {(const uint8_t *)"\"1f4-2-3\"", 9}, .last_modified_seconds = 784111777},
    .content_type = {(const uint8_t *)"text/html; charset=utf-8", 24},
    .size_bytes = 500,
};

static const uint32_t page_statuses[] = {301, 400, 403, 404, 405, 408, 412, 413,
                                         414, 416, 417, 431, 500, 501, 503, 505};

static char date_line[HTTP_DATE_LINE_BYTES];

static void assert_text(const char *got, size_t got_bytes, const char *want)
{
    if (got_bytes != strlen(want) || memcmp(got, want, got_bytes) != 0) {
        fail_msg("got (%zu) '%.*s'", got_bytes, (int)got_bytes, got);
    }
}

static void response_version_head_is_a_200_without_its_tail(void **state)
{
    (void)state;
    char buffer[HTTP_ANSWER_HEAD_MAX];
    size_t bytes = http_version_head_write(buffer, sizeof(buffer), &representation);
    assert_text(buffer, bytes,
                "HTTP/1.1 200 OK\r\n"
                "Server: turntable\r\n"
                "Content-Type: text/html; charset=utf-8\r\n"
                "Content-Length: 500\r\n"
                "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                "ETag: \"1f4-2-3\"\r\n"
                "Accept-Ranges: bytes\r\n");
}

static void response_not_modified_head_says_nothing_of_the_content(void **state)
{
    (void)state;
    char buffer[HTTP_ANSWER_HEAD_MAX];
    size_t bytes = http_not_modified_head_write(buffer, sizeof(buffer), &representation);
    assert_text(buffer, bytes,
                "HTTP/1.1 304 Not Modified\r\n"
                "Server: turntable\r\n"
                "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                "ETag: \"1f4-2-3\"\r\n");
}

static void response_partial_head_tells_which_part(void **state)
{
    (void)state;
    char buffer[HTTP_ANSWER_HEAD_MAX];
    const struct http_range range = {.start_offset = 10, .end_offset = 20};
    size_t bytes = http_partial_head_write(buffer, sizeof(buffer), &representation, &range);
    assert_text(buffer, bytes,
                "HTTP/1.1 206 Partial Content\r\n"
                "Content-Range: bytes 10-19/500\r\n"
                "Server: turntable\r\n"
                "Content-Type: text/html; charset=utf-8\r\n"
                "Content-Length: 10\r\n"
                "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                "ETag: \"1f4-2-3\"\r\n"
                "Accept-Ranges: bytes\r\n");
}

static void response_heads_fit_at_their_longest_and_are_never_cut(void **state)
{
    (void)state;
    char longest[HTTP_MIME_BYTES_MAX];
    memset(longest, 'x', sizeof(longest));
    const struct http_representation huge = {
        .validators = {.etag = span_of(longest, HTTP_ETAG_MAX), .last_modified_seconds = 0},
        .content_type = span_of(longest, sizeof(longest)),
        .size_bytes = UINT64_MAX,
    };
    const struct http_range range = {.start_offset = UINT64_MAX - 2, .end_offset = UINT64_MAX - 1};
    char buffer[HTTP_ANSWER_HEAD_MAX];
    size_t bytes = http_partial_head_write(buffer, sizeof(buffer), &huge, &range);
    assert_true(bytes > 0);
    assert_true(http_version_head_write(buffer, sizeof(buffer), &huge) > 0);
    for (size_t room = 0; room < bytes; room++) {
        char *exact = malloc(room > 0 ? room : 1); /* for the address sanitizer */
        assert_non_null(exact);
        assert_int_equal(http_partial_head_write(exact, room, &huge, &range), 0);
        free(exact);
    }
}

static void response_tail_says_of_the_connection_what_must_be_said(void **state)
{
    (void)state;
    assert_memory_equal(date_line, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 37);
    const struct span date = span_of(date_line, sizeof(date_line));
    char out[HTTP_TAIL_MAX];
    size_t bytes = http_tail_write(date, HTTP_CONNECTION_IMPLIED, out);
    assert_text(out, bytes, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    bytes = http_tail_write(date, HTTP_CONNECTION_CLOSE, out);
    assert_text(out, bytes, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\n");
    bytes = http_tail_write(date, HTTP_CONNECTION_KEEP_ALIVE, out);
    assert_text(out, bytes,
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n\r\n");
    assert_int_equal(bytes, HTTP_TAIL_MAX);
}

static void response_connection_depends_on_version_and_wish(void **state)
{
    (void)state;
    struct http_request request = {.version_minor = 1, .is_keep_alive = true};
    assert_int_equal(http_connection_of(&request, false), HTTP_CONNECTION_IMPLIED);
    assert_int_equal(http_connection_of(&request, true), HTTP_CONNECTION_CLOSE);
    request.version_minor = 0;
    assert_int_equal(http_connection_of(&request, false), HTTP_CONNECTION_KEEP_ALIVE);
    request.is_keep_alive = false;
    assert_int_equal(http_connection_of(&request, false), HTTP_CONNECTION_CLOSE);
}

/* A page in a NUL-terminated buffer, checked for what all pages have in common. */
static const char *write_page(struct http_page page)
{
    static char buffer[HTTP_PAGE_MAX + 1];
    page.date_line = span_of(date_line, sizeof(date_line));
    size_t bytes = http_page_write(buffer, HTTP_PAGE_MAX, &page);
    assert_true(bytes > 0);
    buffer[bytes] = '\0';

    char start[64];
    (void)snprintf(start, sizeof(start), "HTTP/1.1 %u %s\r\n", page.status,
                   http_status_reason(page.status));
    assert_int_equal(strncmp(buffer, start, strlen(start)), 0);
    const char *body = strstr(buffer, "\r\n\r\n") + 4;
    const char *length = strstr(buffer, "\r\nContent-Length: ");
    assert_non_null(length);
    size_t body_bytes = strtoul(length + 18, NULL, 10);
    assert_in_range(body_bytes, 100, PAGE_BODY_MAX - 1);
    assert_int_equal(strlen(body), page.is_head ? 0 : body_bytes);
    return buffer;
}

static void response_pages_fit_and_count_their_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(page_statuses); i++) {
        struct http_page page = {
            .status = page_statuses[i],
            .connection = HTTP_CONNECTION_KEEP_ALIVE,
            .size_bytes = UINT64_MAX,
            .retry_after_seconds = UINT32_MAX,
            .location_key = SPAN("dir/"),
        };
        char head[HTTP_PAGE_MAX + 1];
        (void)snprintf(head, sizeof(head), "%s", write_page(page));
        assert_non_null(strstr(head, "color-scheme"));
        page.is_head = true;
        const char *bodyless = write_page(page);
        assert_int_equal(strncmp(head, bodyless, strlen(bodyless)), 0);
    }
}

static void response_page_carries_the_fields_of_its_status(void **state)
{
    (void)state;
    const struct http_page all = {
        .size_bytes = 500, .retry_after_seconds = 7, .location_key = SPAN("a b/")};
    struct http_page page = all;
    page.status = 405;
    const char *text = write_page(page);
    assert_non_null(strstr(text, "\r\nAllow: GET, HEAD\r\n"));
    assert_null(strstr(text, "\r\nRetry-After"));
    assert_null(strstr(text, "\r\nLocation"));
    assert_null(strstr(text, "\r\nContent-Range"));
    page.status = 416;
    assert_non_null(strstr(write_page(page), "\r\nContent-Range: bytes */500\r\n"));
    page.status = 503;
    assert_non_null(strstr(write_page(page), "\r\nRetry-After: 7\r\n"));
    page.retry_after_seconds = 0;
    assert_null(strstr(write_page(page), "\r\nRetry-After"));
    page.status = 404;
    assert_null(strstr(write_page(page), "\r\nAllow"));
    page.connection = HTTP_CONNECTION_CLOSE;
    assert_non_null(strstr(write_page(page), "\r\nConnection: close\r\n"));
}

static void response_redirect_encodes_its_location(void **state)
{
    (void)state;
    struct http_page page = {.status = 301, .location_key = SPAN("a b/\xc3\xa9\r\n/")};
    assert_non_null(strstr(write_page(page), "\r\nLocation: /a%20b/%C3%A9%0D%0A/\r\n"));
    page.location_query = SPAN("x=1&y=%zz");
    assert_non_null(strstr(write_page(page), "\r\nLocation: /a%20b/%C3%A9%0D%0A/?x=1&y=%zz\r\n"));
    page.location_query = SPAN("");
    assert_non_null(strstr(write_page(page), "%0D%0A/?\r\n"));
}

static void response_redirect_is_never_cut(void **state)
{
    (void)state;
    static char key[HTTP_PATH_MAX];
    static char query[HTTP_TARGET_MAX];
    memset(key, ' ', sizeof(key));
    memset(query, 'q', sizeof(query));
    const struct http_page page = {
        .status = 301,
        .connection = HTTP_CONNECTION_KEEP_ALIVE,
        .date_line = span_of(date_line, sizeof(date_line)),
        .location_key = span_of(key, sizeof(key)),
        .location_query = span_of(query, sizeof(query)),
    };
    char *buffer = malloc(HTTP_REDIRECT_MAX);
    assert_non_null(buffer);
    size_t bytes = http_page_write(buffer, HTTP_REDIRECT_MAX, &page);
    assert_true(bytes > 3 * HTTP_PATH_MAX + HTTP_TARGET_MAX);
    for (size_t room = 0; room < bytes; room += 61) {
        assert_int_equal(http_page_write(buffer, room, &page), 0);
    }
    assert_int_equal(http_page_write(buffer, bytes - 1, &page), 0);
    assert_int_equal(http_page_write(buffer, bytes, &page), bytes);
    free(buffer);
}

static int write_date_line(void **state)
{
    (void)state;
    http_date_line_write(784111777, date_line);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(response_version_head_is_a_200_without_its_tail),
        cmocka_unit_test(response_not_modified_head_says_nothing_of_the_content),
        cmocka_unit_test(response_partial_head_tells_which_part),
        cmocka_unit_test(response_heads_fit_at_their_longest_and_are_never_cut),
        cmocka_unit_test(response_tail_says_of_the_connection_what_must_be_said),
        cmocka_unit_test(response_connection_depends_on_version_and_wish),
        cmocka_unit_test(response_pages_fit_and_count_their_bytes),
        cmocka_unit_test(response_page_carries_the_fields_of_its_status),
        cmocka_unit_test(response_redirect_encodes_its_location),
        cmocka_unit_test(response_redirect_is_never_cut),
    };
    return cmocka_run_group_tests(tests, write_date_line, NULL);
}
