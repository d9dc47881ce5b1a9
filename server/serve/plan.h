/*
 * Plans the answer to a request for a file that exists: which status, which part of the body, and
 * writes its head. Pure: no I/O, no clock; any thread. Knows versions and HTTP, nothing of
 * connections.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/http/request.h"
#include "server/http/response.h"
#include "server/table/version.h"

/* Room that plan_write() needs at most. */
#define PLAN_ROOM_MIN (HTTP_PAGE_MAX + HTTP_ANSWER_HEAD_MAX + HTTP_TAIL_MAX)

/* What a request is answered with. */
struct plan {
    uint32_t status;       /* 200, 206, 304, 412 or 416 */
    uint32_t head_bytes;   /* written: the head, and the page of a 412 or 416 */
    uint64_t start_offset; /* of the version's body; start == end: no body follows */
    uint64_t end_offset;   /* exclusive */
};

/**
 * Decides and writes.
 *
 * date_line     http_date_line_write()'s
 * now_seconds   wall clock, for old forms of dates
 * connection    what the head says of it
 * buffer        PLAN_ROOM_MIN bytes at least
 */
struct plan plan_write(const struct http_request *request,
                       const struct version *version,
                       enum http_connection connection,
                       struct span date_line,
                       int64_t now_seconds,
                       char *buffer,
                       size_t buffer_bytes);
