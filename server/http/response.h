/*
 * Writes response heads, and the small pages that go with errors and redirects, into the caller's
 * buffer. The status line always says HTTP/1.1 (RFC 9110 6.2), whatever the client speaks.
 *
 *     200   http_version_head_write()  once a version \
 *     206   http_partial_head_write()                  }  + tail, once a second + body
 *     304   http_not_modified_head_write()            /
 *     else  http_page_write(): head, tail and page in one
 *
 * Owns nothing; pure; any thread. Knows no sockets and no clock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/http/condition.h"
#include "server/http/date.h"
#include "server/http/mime.h"
#include "server/http/range.h"
#include "server/http/request.h"
#include "server/http/target.h"

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" */
#define HTTP_DATE_LINE_BYTES (6 + HTTP_DATE_BYTES + 2)

/* Enough for a 200, 206 or 304 head without its tail (HTTP_MIME_BYTES_MAX, HTTP_ETAG_MAX). */
#define HTTP_ANSWER_HEAD_MAX 512

/* Date, "Connection: keep-alive\r\n" and the empty line. */
#define HTTP_TAIL_MAX (HTTP_DATE_LINE_BYTES + 24 + 2)

/* Enough for any page without a Location. */
#define HTTP_PAGE_MAX 1280

/* With the longest Location: a key and a query come from one target, so both cannot be longest. */
#define HTTP_REDIRECT_MAX (HTTP_PAGE_MAX + HTTP_ENCODED_PATH_MAX + HTTP_TARGET_MAX)

/* What a head says of one version of one file. Spans are borrowed for the call. */
struct http_representation {
    struct http_validators validators; /* a time later than now is to be cut: RFC 9110 8.8.2.1 */
    struct span content_type;          /* 1..HTTP_MIME_BYTES_MAX bytes */
    uint64_t size_bytes;
};

/* What the answer says about the connection (RFC 9112 9.3). */
enum http_connection {
    HTTP_CONNECTION_IMPLIED,    /* HTTP/1.1 goes on unless told: nothing to say */
    HTTP_CONNECTION_KEEP_ALIVE, /* HTTP/1.0 closes unless told */
    HTTP_CONNECTION_CLOSE
};

/* An answer with a page of its own. Fields that its status has no use for are not looked at. */
struct http_page {
    uint32_t status; /* 301, or 4xx, 5xx of status.def */
    bool is_head;    /* the head of the same answer, without its body */
    enum http_connection connection;
    struct span date_line;      /* http_date_line_write()'s */
    struct span location_key;   /* 301: where to, a key as of http_target_decode(), "dir/" */
    struct span location_query; /* 301: as in the request (http_target.query); ptr == NULL: none */
    uint64_t size_bytes;        /* 416: of the file */
    uint32_t retry_after_seconds; /* 503; 0 = not said */
};

/**
 * What to say about the connection after an answer.
 *
 * is_closing   the server closes for a reason of its own (drain, limits)
 */
enum http_connection http_connection_of(const struct http_request *request, bool is_closing);

/**
 * Writes the part of a 200 that stays the same as long as the version lives: all but the tail.
 *
 * buffer    HTTP_ANSWER_HEAD_MAX bytes are enough
 * returns   bytes written; 0 = it does not fit
 */
[[gnu::warn_unused_result]] size_t http_version_head_write(
    char *buffer, size_t buffer_bytes, const struct http_representation *representation);

/** The same for a 304: what RFC 9110 15.4.5 asks for, and no word on type and length. */
[[gnu::warn_unused_result]] size_t http_not_modified_head_write(
    char *buffer, size_t buffer_bytes, const struct http_representation *representation);

/**
 * The same for a 206 with one range (RFC 9110 15.3.7.1).
 *
 * range     start_offset < end_offset <= representation->size_bytes
 */
[[gnu::warn_unused_result]] size_t
http_partial_head_write(char *buffer,
                        size_t buffer_bytes,
                        const struct http_representation *representation,
                        const struct http_range *range);

/** Writes the Date line: HTTP_DATE_LINE_BYTES, not NUL-terminated. Once a second is enough. */
void http_date_line_write(int64_t now_seconds, char out[static HTTP_DATE_LINE_BYTES]);

/**
 * Writes what ends a head: Date, Connection where it needs saying, the empty line.
 *
 * date_line   http_date_line_write()'s
 * returns     bytes written, at most HTTP_TAIL_MAX
 */
size_t http_tail_write(struct span date_line,
                       enum http_connection connection,
                       char out[static HTTP_TAIL_MAX]);

/**
 * Writes a whole answer with its page: Allow with a 405, Retry-After with a 503, Location with a
 * 301, the file's size with a 416.
 *
 * buffer    HTTP_PAGE_MAX bytes are enough; a 301 may need HTTP_REDIRECT_MAX
 * returns   bytes written; 0 = it does not fit
 */
[[gnu::warn_unused_result]] size_t
http_page_write(char *buffer, size_t buffer_bytes, const struct http_page *page);
