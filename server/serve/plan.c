#include "server/serve/plan.h"

#include "server/base/check.h"

static size_t
write_tail(struct span date_line, enum http_connection connection, char *buffer, size_t head_bytes)
{
    ASSERT(head_bytes > 0); /* the caller's room is enough for any head */
    return head_bytes + http_tail_write(date_line, connection, buffer + head_bytes);
}

static struct plan plan_page(const struct http_request *request,
                             uint32_t status,
                             uint64_t size_bytes,
                             enum http_connection connection,
                             struct span date_line,
                             char *buffer,
                             size_t buffer_bytes)
{
    struct http_page page = {
        .status = status,
        .is_head = request->method == HTTP_METHOD_HEAD,
        .connection = connection,
        .date_line = date_line,
        .size_bytes = size_bytes,
    };
    size_t bytes = http_page_write(buffer, buffer_bytes, &page);
    ASSERT(bytes > 0);
    return (struct plan){.status = status, .head_bytes = (uint32_t)bytes};
}

static bool is_plain_get(const struct http_request *request)
{
    return !http_field_is_present(request->if_none_match) &&
           !http_field_is_present(request->if_modified_since) &&
           !http_field_is_present(request->range) && !http_field_is_present(request->if_match) &&
           !http_field_is_present(request->if_unmodified_since);
}

static struct plan plan_whole(const struct http_request *request,
                              const struct version *version,
                              enum http_connection connection,
                              struct span date_line,
                              char *buffer)
{
    memcpy(buffer, version->head.ptr, version->head.bytes);
    size_t bytes = write_tail(date_line, connection, buffer, version->head.bytes);
    return (struct plan){
        .status = 200,
        .head_bytes = (uint32_t)bytes,
        .end_offset = request->method == HTTP_METHOD_HEAD ? 0 : version->identity.size_bytes,
    };
}

struct plan plan_write(const struct http_request *request,
                       const struct version *version,
                       enum http_connection connection,
                       struct span date_line,
                       int64_t now_seconds,
                       char *buffer,
                       size_t buffer_bytes)
{
    DEBUG_ASSERT(buffer_bytes >= PLAN_ROOM_MIN);
    if (is_plain_get(request)) {
        return plan_whole(request, version, connection, date_line, buffer);
    }
    const uint64_t size_bytes = version->identity.size_bytes;
    const struct http_representation file = {
        .validators = {.etag = version->etag,
                       .last_modified_seconds = version->last_modified_seconds},
        .content_type = version->content_type,
        .size_bytes = size_bytes,
    };
    switch (http_condition_evaluate(request, &file.validators, now_seconds)) {
    case HTTP_CONDITION_PROCEED:
        break;
    case HTTP_CONDITION_NOT_MODIFIED: {
        size_t head_bytes = http_not_modified_head_write(buffer, buffer_bytes, &file);
        size_t bytes = write_tail(date_line, connection, buffer, head_bytes);
        return (struct plan){.status = 304, .head_bytes = (uint32_t)bytes};
    }
    case HTTP_CONDITION_FAILED:
        return plan_page(request, 412, 0, connection, date_line, buffer, buffer_bytes);
    }

    struct http_range range;
    enum http_range_result result = HTTP_RANGE_IGNORED;
    if (http_condition_allows_range(request, &file.validators, now_seconds)) {
        result = http_range_parse(request->range, size_bytes, &range);
    }
    switch (result) {
    case HTTP_RANGE_IGNORED:
        break;
    case HTTP_RANGE_UNSATISFIABLE:
        return plan_page(request, 416, size_bytes, connection, date_line, buffer, buffer_bytes);
    case HTTP_RANGE_SATISFIABLE: {
        size_t head_bytes = http_partial_head_write(buffer, buffer_bytes, &file, &range);
        size_t bytes = write_tail(date_line, connection, buffer, head_bytes);
        return (struct plan){.status = 206,
                             .head_bytes = (uint32_t)bytes,
                             .start_offset = range.start_offset,
                             .end_offset = range.end_offset};
    }
    }
    return plan_whole(request, version, connection, date_line, buffer);
}
