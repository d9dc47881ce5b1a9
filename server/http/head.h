/*
 * Finds the end of a request head and reads its first line: the part of parsing that looks at lines
 * only, in one pass from left to right, so that a head that arrives in pieces gets the same answer
 * as one that arrives at once, and nonsense is refused as soon as its first bytes are there.
 *
 *     skip empty lines -> method -> target -> version CRLF -> field lines -> CRLF
 *           |                |         |          |               |
 *         400            400, 501   400, 414   400, 505       400, 431
 *
 * Owns nothing; pure; any thread. What is in a field line, request.h looks at.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/base/span.h"
#include "server/http/refusal.h"

/* A whole head, from its first byte to the empty line's. What nginx (8 KiB x 4), Apache (8 KiB a
 * line) and Node (16 KiB) take of honest clients fits; more is a mistake or an attack. */
#define HTTP_HEAD_MAX 16384

/* RFC 9112 3: at least 8000 bytes of request line. */
#define HTTP_TARGET_MAX 8192

/* Twice the longest registered method. RFC 9112 3: a longer one is answered with 501. */
#define HTTP_METHOD_MAX 32

#define HTTP_HEADERS_MAX 100

/* RFC 9112 2.2 asks for one; clients that send one too many after each body exist. */
#define HTTP_EMPTY_LINES_MAX 4

enum http_method {
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_OTHER /* known, but not for files: 405 with Allow */
};

struct http_head {
    struct span line;        /* the request line without its CRLF */
    struct span method_name; /* 1..HTTP_METHOD_MAX, a token */
    struct span target;      /* as sent: 1..HTTP_TARGET_MAX, each HTTP_CHAR_TARGET */
    struct span authority;   /* of an absolute-form target: valid as a host; else ptr == NULL */
    struct span path;   /* path and query of the target: starts with / or ?, or is empty or * */
    struct span fields; /* the field lines with the empty line that ends them */
    enum http_method method; /* OTHER: whether it is known at all is not looked at here */
    uint32_t version_minor;  /* 0 or 1; a higher one counts as 1 (RFC 9110 2.5) */
};

/**
 * Finds the head at the front of `in`.
 *
 * in          bytes received so far; borrowed
 * ret_head    set when > 0 is returned; spans point into `in`
 * ret_reason  set when < 0 is returned
 * returns     the head's bytes with leading empty lines; 0 = incomplete; -EBADMSG = refused, and
 *             any continuation of `in` is refused for the same reason
 * O(bytes), allocates nothing.
 */
[[gnu::warn_unused_result]] ssize_t
http_head_scan(struct span in, struct http_head *ret_head, enum http_refusal_reason *ret_reason);

/**
 * Whether parsing is worth the trouble: false means that the answer for `in` is certainly what it
 * was for its first `scanned_bytes` bytes: incomplete. For heads that drip in byte by byte.
 *
 * scanned_bytes   0..in.bytes; 0 = never parsed
 */
bool http_head_may_be_complete(struct span in, size_t scanned_bytes);
