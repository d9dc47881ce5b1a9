/*
 * Request heads. Properties: any prefix of an input is undecided or gives what the whole gives;
 * every span lies in the head; no accepted head has what request smuggling is made of, as told by a
 * second, slow and simple reading of its lines.
 */
#include "server/http/request.h"

#include <ctype.h>
#include <strings.h>

#include "server/base/check.h"

/* Every split of a short input, some of a long one. */
#define SPLITS_MAX 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool is_inside(struct span span, struct span head)
{
    return span.ptr == NULL ||
           (span.ptr >= head.ptr && span.ptr + span.bytes <= head.ptr + head.bytes);
}

static void check_spans(const struct http_request *request, struct span head)
{
    const struct span spans[] = {
        request->line,          request->method_name,
        request->target,        request->path,
        request->host,          request->if_match,
        request->if_none_match, request->if_modified_since,
        request->if_range,      request->if_unmodified_since,
        request->range,         request->accept_encoding,
        request->referer,       request->user_agent,
    };
    for (size_t i = 0; i < ARRAY_COUNT(spans); i++) {
        ASSERT(is_inside(spans[i], head));
    }
    ASSERT(request->method_name.bytes > 0);
    ASSERT(request->target.bytes > 0);
    ASSERT(request->target.bytes <= HTTP_TARGET_MAX);
    ASSERT(request->field_count <= HTTP_HEADERS_MAX);
}

struct counts {
    uint32_t lines;
    uint32_t host;
    uint32_t content_length;
    uint32_t transfer_encoding;
};

static bool name_is(const char *line, const char *name)
{
    return strncasecmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':';
}

static void count_line(const char *line, struct counts *counts)
{
    counts->host += name_is(line, "host");
    counts->content_length += name_is(line, "content-length");
    counts->transfer_encoding += name_is(line, "transfer-encoding");
    counts->lines++;
}

/* Reads the head once more: a line at a time, a byte at a time. */
static void check_head(struct span head, const struct http_request *request)
{
    char line[HTTP_HEAD_MAX + 1];
    struct counts counts = {.lines = 0};
    bool has_request_line = false;
    size_t line_bytes = 0;
    for (size_t i = 0; i < head.bytes; i++) {
        uint8_t c = head.ptr[i];
        ASSERT(c != '\0');
        if (c == '\r') {
            ASSERT(i + 1 < head.bytes);
            ASSERT(head.ptr[i + 1] == '\n');
            continue;
        }
        if (c != '\n') {
            ASSERT(c >= 0x20 || c == '\t');
            line[line_bytes++] = (char)c;
            continue;
        }
        ASSERT(i > 0 && head.ptr[i - 1] == '\r');
        line[line_bytes] = '\0';
        if (has_request_line && line_bytes > 0) {
            ASSERT(!isspace((unsigned char)line[0]) && line[0] != ':');
            count_line(line, &counts);
        }
        has_request_line |= line_bytes > 0;
        line_bytes = 0;
    }
    ASSERT(counts.lines == request->field_count);
    ASSERT(counts.host <= 1);
    ASSERT(counts.host == 1 || request->version_minor == 0);
    ASSERT(counts.content_length + counts.transfer_encoding <= 1);
    ASSERT(request->is_chunked == (counts.transfer_encoding == 1));
    ASSERT(!request->is_chunked || request->version_minor == 1);
    ASSERT(!request->has_body || !request->is_keep_alive);
}

static void
check_split(struct span in, size_t split, ssize_t whole, enum http_refusal_reason reason)
{
    struct http_request request;
    struct http_refusal refusal = {.reason = HTTP_REFUSAL_NONE};
    ssize_t part = http_parse_request(span_of(in.ptr, split), &request, &refusal);
    if (part != 0) {
        ASSERT(part == whole);
        ASSERT(refusal.reason == reason);
        return;
    }
    ASSERT(whole <= 0 || split < (size_t)whole);
    ASSERT(whole == 0 || http_head_may_be_complete(in, split));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct span in = span_of(data, bytes);
    struct http_request request;
    struct http_refusal refusal = {.reason = HTTP_REFUSAL_NONE};
    ssize_t whole = http_parse_request(in, &request, &refusal);
    if (whole > 0) {
        ASSERT((size_t)whole <= bytes);
        struct span head = span_of(data, (size_t)whole);
        check_spans(&request, head);
        check_head(head, &request);
    }
    if (whole < 0) {
        ASSERT(refusal.reason != HTTP_REFUSAL_NONE);
        ASSERT(refusal.status == http_refusal_status(refusal.reason));
    }
    size_t step = bytes / SPLITS_MAX + 1;
    for (size_t split = 0; split < bytes; split += step) {
        check_split(in, split, whole, refusal.reason);
    }
    return 0;
}
