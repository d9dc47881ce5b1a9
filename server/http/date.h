/*
 * Dates of HTTP (RFC 9110 5.6.7) to and from seconds since 1970, without locale and time zone.
 *
 * Owns nothing; pure; any thread. Knows no clock: "now" is an argument.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
#define HTTP_DATE_BYTES 29

/* The years 1970..9999: what four digits can say and a file's time may be. */
#define HTTP_DATE_SECONDS_MAX INT64_C(253402300799)

/**
 * Writes an IMF-fixdate.
 *
 * seconds   since 1970, UTC; outside 0..HTTP_DATE_SECONDS_MAX the nearest of the two is written
 *           (the time of a file is outside input)
 * out       HTTP_DATE_BYTES and a NUL
 */
void http_date_format(int64_t seconds, char out[static HTTP_DATE_BYTES + 1]);

/**
 * Reads a date in any of the three forms: IMF-fixdate, RFC 850, asctime. The name of the day must
 * be one, but need not be the right one; a leap second (:60) is the second after :59.
 *
 * now_seconds   to place the two digits of an RFC 850 year: the date is the one that lies at most
 *               50 years in the future
 * ret_seconds   0..HTTP_DATE_SECONDS_MAX + 1
 * returns       false when `date` is none, or not within the years 1970..9999
 */
[[gnu::warn_unused_result]] bool
http_date_parse(struct span date, int64_t now_seconds, int64_t *ret_seconds);
