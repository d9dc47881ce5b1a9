/*
 * The values of single header fields: host, lengths, comma lists.
 *
 * Owns nothing; pure; any thread. Knows nothing of a whole request.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"

/**
 * Whether `host` is `uri-host [ ":" port ]` (RFC 9110 7.2, RFC 3986 3.2.2), not empty, without user
 * information, the port empty or 0..65535.
 */
bool http_host_is_valid(struct span host);

/**
 * Reads a Content-Length: decimal digits and nothing else (RFC 9110 8.6).
 *
 * value     without white space around it
 * returns   false when it is anything else, or above INT64_MAX (no file is that long)
 */
[[gnu::warn_unused_result]] bool http_content_length_parse(struct span value, uint64_t *ret_bytes);

/**
 * Takes the next element of a comma list (RFC 9110 5.6.1), passing over empty ones. Quoted strings
 * are not looked into: only for lists of tokens.
 *
 * rest      the list; moved behind the element
 * ret_item  without white space around it, never empty
 * returns   false at the end of the list
 */
[[gnu::warn_unused_result]] bool http_list_next(struct span *rest, struct span *ret_item);
