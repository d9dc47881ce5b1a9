/*
 * Conditional requests (RFC 9110 13): whether the client's copy is current, or its wish out of
 * date, judged against the validators of the version that would be sent.
 *
 * Owns nothing; pure; any thread. For GET and HEAD of a file that exists.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/http/request.h"

struct http_validators {
    struct span etag;              /* strong, in quotes: "\"1f-17c9...\"" */
    int64_t last_modified_seconds; /* what Last-Modified says, 0..HTTP_DATE_SECONDS_MAX */
};

enum http_condition {
    HTTP_CONDITION_PROCEED,      /* 200, 206 or 416 */
    HTTP_CONDITION_NOT_MODIFIED, /* 304 */
    HTTP_CONDITION_FAILED        /* 412 */
};

/**
 * Evaluates If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the order of RFC
 * 9110 13.2.2. A date that is none is as if not sent.
 *
 * now_seconds   wall clock, to read RFC 850 dates
 * O(bytes of the fields), allocates nothing.
 */
[[gnu::warn_unused_result]] enum http_condition
http_condition_evaluate(const struct http_request *request,
                        const struct http_validators *validators,
                        int64_t now_seconds);

/**
 * Whether the request's Range, if any, may be honoured: the method is GET (RFC 9110 14.2) and
 * If-Range was not sent, or names this very version by strong comparison or by its exact date (RFC
 * 9110 13.1.5). Only asked after HTTP_CONDITION_PROCEED.
 */
[[gnu::warn_unused_result]] bool
http_condition_allows_range(const struct http_request *request,
                            const struct http_validators *validators,
                            int64_t now_seconds);
