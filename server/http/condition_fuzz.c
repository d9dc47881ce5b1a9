/*
 * Conditions: up to five field values, a line each: If-Match, If-Unmodified-Since, If-None-Match,
 * If-Modified-Since, If-Range; a line "-" is a field that was not sent. Properties: each answer
 * needs a field that can cause it, and a list that names the file's tag; in front of any list the
 * tag is found.
 */
#include "server/http/condition.h"

#include <stdio.h>

#include "server/base/check.h"

#define NOW      INT64_C(1765000000)
#define TAG      "\"1f4-2\""
#define LIST_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct http_validators validators = {
    .etag = {(const uint8_t *)TAG, sizeof(TAG) - 1},
    .last_modified_seconds = 784111777,
};

static enum http_condition evaluate(struct http_request request)
{
    return http_condition_evaluate(&request, &validators, NOW);
}

/* A line at a time; NULL when the line is "-" or there is none. */
static struct span next_field(struct span *rest)
{
    if (rest->bytes == 0) {
        return span_of(NULL, 0);
    }
    const uint8_t *end = memchr(rest->ptr, '\n', rest->bytes);
    size_t bytes = end != NULL ? (size_t)(end - rest->ptr) : rest->bytes;
    struct span field = span_of(rest->ptr, bytes);
    *rest = span_skip(*rest, end != NULL ? bytes + 1 : bytes);
    return span_equal(field, SPAN("-")) ? span_of(NULL, 0) : field;
}

static bool names_tag(struct span list)
{
    return span_equal(list, SPAN("*")) ||
           (list.bytes > 0 && memmem(list.ptr, list.bytes, TAG, strlen(TAG)) != NULL);
}

static void check_causes(const struct http_request *request)
{
    enum http_condition result = evaluate(*request);
    bool has_match = http_field_is_present(request->if_match);
    bool has_none_match = http_field_is_present(request->if_none_match);
    if (result == HTTP_CONDITION_FAILED) {
        ASSERT(has_match || http_field_is_present(request->if_unmodified_since));
    }
    if (result == HTTP_CONDITION_NOT_MODIFIED) {
        ASSERT(has_none_match ? names_tag(request->if_none_match)
                              : http_field_is_present(request->if_modified_since));
    }
    if (result != HTTP_CONDITION_FAILED && has_match) {
        ASSERT(names_tag(request->if_match));
    }
    if (http_condition_allows_range(request, &validators, NOW) &&
        http_field_is_present(request->if_range)) {
        ASSERT(span_equal(request->if_range, validators.etag) || request->if_range.bytes >= 24);
    }
}

/* In front of whatever list, the file's own tag counts. */
static void check_own_tag(const struct http_request *request, struct span list)
{
    char text[LIST_MAX];
    int bytes = snprintf(text, sizeof(text), TAG ",%.*s", (int)list.bytes, (const char *)list.ptr);
    if (bytes < 0 || (size_t)bytes >= sizeof(text)) {
        return;
    }
    struct http_request changed = *request;
    changed.if_match = span_of(NULL, 0);
    changed.if_unmodified_since = span_of(NULL, 0);
    changed.if_none_match = span_of(text, bytes);
    ASSERT(evaluate(changed) == HTTP_CONDITION_NOT_MODIFIED);
    changed.if_none_match = span_of(NULL, 0);
    changed.if_modified_since = span_of(NULL, 0);
    changed.if_match = span_of(text, bytes);
    ASSERT(evaluate(changed) == HTTP_CONDITION_PROCEED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct span rest = span_of(data, bytes);
    struct http_request request = {.method = HTTP_METHOD_GET};
    request.if_match = next_field(&rest);
    request.if_unmodified_since = next_field(&rest);
    request.if_none_match = next_field(&rest);
    request.if_modified_since = next_field(&rest);
    request.if_range = next_field(&rest);
    check_causes(&request);
    if (http_field_is_present(request.if_none_match)) {
        check_own_tag(&request, request.if_none_match);
    }
    return 0;
}
