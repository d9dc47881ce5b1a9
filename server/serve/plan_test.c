#include "server/serve/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define DATE_LINE     "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define LAST_MODIFIED "Tue, 01 Jan 2030 00:00:00 GMT"

static struct version sample_version(void)
{
    static char head[HTTP_ANSWER_HEAD_MAX];
    struct version version = {
        .identity = {.size_bytes = 100},
        .last_modified_seconds = 1893456000,
        .etag = SPAN("\"64-1-2\""),
        .content_type = SPAN("text/plain"),
    };
    struct http_representation file = {
        .validators = {.etag = version.etag,
                       .last_modified_seconds = version.last_modified_seconds},
        .content_type = version.content_type,
        .size_bytes = 100,
    };
    version.head = span_of(head, http_version_head_write(head, sizeof(head), &file));
    return version;
}

static struct plan plan_of(const char *head, char answer[static PLAN_ROOM_MIN + 1])
{
    struct version version = sample_version();
    struct http_request request;
    struct http_refusal refusal;
    assert_true(http_parse_request(span_of_string(head), &request, &refusal) > 0);
    struct plan plan = plan_write(&request, &version, http_connection_of(&request, false),
                                  SPAN(DATE_LINE), 1893456001, answer, PLAN_ROOM_MIN);
    answer[plan.head_bytes] = '\0';
    return plan;
}

struct plan_case {
    const char *name;
    const char *head;
    uint32_t status;
    uint64_t start_offset;
    uint64_t end_offset;
    const char *contains;
};

#define GET(fields) "GET /a HTTP/1.1\r\nHost: x\r\n" fields "\r\n"

static const struct plan_case cases[] = {
    {"get", GET(""), 200, 0, 100, "Content-Length: 100\r\n"},
    {"head", "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", 200, 0, 0, "Content-Length: 100\r\n"},
    {"date is in the tail", GET(""), 200, 0, 100, DATE_LINE "\r\n"},
    {"http/1.0 keep-alive says so", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, 0,
     100, "Connection: keep-alive\r\n"},
    {"same etag", GET("If-None-Match: \"64-1-2\"\r\n"), 304, 0, 0, "ETag: \"64-1-2\"\r\n"},
    {"other etag", GET("If-None-Match: \"x\"\r\n"), 200, 0, 100, "HTTP/1.1 200 OK\r\n"},
    {"same date", GET("If-Modified-Since: " LAST_MODIFIED "\r\n"), 304, 0, 0, "HTTP/1.1 304 "},
    {"etag wins over date", GET("If-None-Match: \"x\"\r\nIf-Modified-Since: " LAST_MODIFIED "\r\n"),
     200, 0, 100, "HTTP/1.1 200 "},
    {"if-match fails", GET("If-Match: \"x\"\r\n"), 412, 0, 0, "HTTP/1.1 412 "},
    {"range", GET("Range: bytes=10-19\r\n"), 206, 10, 20, "Content-Range: bytes 10-19/100\r\n"},
    {"suffix range", GET("Range: bytes=-5\r\n"), 206, 95, 100, "Content-Length: 5\r\n"},
    {"range of head is ignored", "HEAD /a HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\n\r\n", 200, 0,
     0, "Content-Length: 100\r\n"},
    {"range past the end", GET("Range: bytes=100-\r\n"), 416, 0, 0, "bytes */100"},
    {"if-range of another version", GET("Range: bytes=1-2\r\nIf-Range: \"x\"\r\n"), 200, 0, 100,
     "HTTP/1.1 200 "},
};

static void plan_answers_each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct plan_case *test = &cases[i];
        char answer[PLAN_ROOM_MIN + 1];
        struct plan plan = plan_of(test->head, answer);
        if (plan.status != test->status || plan.start_offset != test->start_offset ||
            plan.end_offset != test->end_offset || strstr(answer, test->contains) == NULL) {
            print_error("case '%s': status %u, body %llu..%llu, head:\n%s\n", test->name,
                        plan.status, (unsigned long long)plan.start_offset,
                        (unsigned long long)plan.end_offset, answer);
            fail();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_answers_each_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
