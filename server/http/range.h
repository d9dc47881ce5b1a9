/*
 * Byte ranges (RFC 9110 14): one range of one file. Several ranges in one field are answered with
 * the whole file, which RFC 9110 14.2 allows; so no multipart answer, and no cap on their number.
 *
 * Owns nothing; pure; any thread. Whether a Range may be honoured at all (method, If-Range),
 * condition.h says.
 */
#pragma once

#include <stdint.h>

#include "server/base/span.h"

struct http_range {
    uint64_t start_offset; /* 0.. */
    uint64_t end_offset;   /* exclusive; start_offset < end_offset <= the file's size */
};

enum http_range_result {
    HTTP_RANGE_IGNORED,      /* not sent, another unit, malformed, several, or an empty file: 200 */
    HTTP_RANGE_SATISFIABLE,  /* 206 */
    HTTP_RANGE_UNSATISFIABLE /* 416 with `bytes *`/size */
};

/**
 * Reads a Range field against a file's size. Numbers of any length are understood.
 *
 * value       the field's value; ptr may be NULL when it was not sent
 * size_bytes  of the file. 0 ignores every range: no 206 can describe a part of nothing, and media
 *             players that ask for `bytes=0-` want the 200 (nginx answers so too)
 * ret_range   set when HTTP_RANGE_SATISFIABLE is returned
 */
[[gnu::warn_unused_result]] enum http_range_result
http_range_parse(struct span value, uint64_t size_bytes, struct http_range *ret_range);
