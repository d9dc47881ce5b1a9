/*
 * Reads a request head into what a static file server asks of it. llhttp does the grammar of the
 * field lines; everything that two servers could read differently is checked here once more, so
 * that the answer does not depend on the version of llhttp or on the mode it was compiled in.
 *
 * Owns nothing: every span points into the bytes that were parsed. Pure; any thread. Knows nothing
 * of connections, files and answers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/base/span.h"
#include "server/http/head.h"
#include "server/http/refusal.h"

/*
 * A field that was not sent has ptr == NULL (http_field_is_present()); one that was sent empty has
 * bytes == 0 only. Values have no white space around them. Of a field that is sent on several
 * lines:
 *   - Host, Content-Length, Transfer-Encoding: refused;
 *   - Connection, Expect: all lines count;
 *   - lists (If-Match, If-None-Match, Accept-Encoding): the first line counts, `is_list_repeated`
 *     is set; at worst an answer is a 200 instead of a 304, a 412, or not compressed;
 *   - single values (Range, If-Range, the two dates): none counts, the field reads as sent empty,
 *     which no rule accepts;
 *   - Referer, User-Agent: the first line counts.
 */
struct http_request {
    enum http_method method;
    struct span line;        /* the request line as sent, for the access log */
    struct span method_name; /* as sent */
    struct span target;      /* as sent, 1..HTTP_TARGET_MAX bytes, no CTL, no space, no # */
    struct span path;        /* path and query of the target, for http_target_decode() */
    struct span host;        /* valid and not empty, with the port; absolute-form: from the target;
                              * ptr == NULL only in HTTP/1.0 */
    uint32_t version_minor;  /* 0 or 1 */
    uint32_t field_count;    /* 0..HTTP_HEADERS_MAX */
    uint64_t content_length; /* 0 when not sent; 0..INT64_MAX */
    bool is_asterisk;        /* OPTIONS *: the server as a whole */
    bool is_keep_alive; /* RFC 9112 9.3; false with a body: it is never read, answer and close */
    bool has_body;      /* content_length > 0 or is_chunked */
    bool is_chunked;
    bool expect_continue; /* the client waits before its body: answer without 100, then close */
    bool is_list_repeated;

    struct span if_match;
    struct span if_unmodified_since;
    struct span if_none_match;
    struct span if_modified_since;
    struct span if_range;
    struct span range;
    struct span accept_encoding;
    struct span referer;
    struct span user_agent;
};

static inline bool http_field_is_present(struct span value)
{
    return value.ptr != NULL;
}

/**
 * Parses one request head from the front of `in`.
 *
 * in           bytes received so far, not NUL-terminated, any number; borrowed. What comes behind
 *              the head (a body, the next request) is not looked at.
 * ret_request  set when > 0 is returned; spans point into `in`, valid until those bytes move
 * ret_refusal  set when < 0 is returned
 * returns      bytes consumed (> 0), with leading empty lines (RFC 9112 2.2); 0 = incomplete, call
 *              again with more (http_head_may_be_complete() says when that is worth it); -EBADMSG =
 *              refused, and refused the same way whatever follows
 * O(bytes), allocates nothing, any thread.
 */
[[gnu::warn_unused_result]] ssize_t http_parse_request(struct span in,
                                                       struct http_request *ret_request,
                                                       struct http_refusal *ret_refusal);
