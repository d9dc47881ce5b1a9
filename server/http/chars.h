/*
 * The character classes of RFC 9110 and RFC 3986, one table look-up each, and the two operations on
 * spans that every field needs: compare without case, strip white space.
 *
 * Owns nothing; pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"

enum http_char_class {
    HTTP_CHAR_TOKEN = 1 << 0,   /* tchar, RFC 9110 5.6.2 */
    HTTP_CHAR_TARGET = 1 << 1,  /* in a request target: visible ASCII but '#'; 0x80..0xff */
    HTTP_CHAR_NAME = 1 << 2,    /* reg-name but '%': unreserved / sub-delims, RFC 3986 3.2.2 */
    HTTP_CHAR_PATH = 1 << 3,    /* needs no %-encoding in a path: pchar but '%', and '/' */
    HTTP_CHAR_SEGMENT = 1 << 4, /* in a path stands for itself: HTTP_CHAR_TARGET but / % \ ? */
    HTTP_CHAR_DIGIT = 1 << 5
};

extern const uint8_t http_char_classes[256];

static inline bool http_char_is(uint8_t c, enum http_char_class class)
{
    return (http_char_classes[c] & class) != 0;
}

/** The value of a hexadecimal digit, or -1. */
static inline int http_hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/** How many bytes from the front of `span` are all of `class`. */
size_t http_chars_count(struct span span, enum http_char_class class);

/** Equal but for the case of ASCII letters. `lower` is a literal without capital letters. */
bool http_equal_nocase(struct span span, struct span lower);

/** `span` without the optional white space (SP, HTAB: RFC 9110 5.6.3) at both ends. */
struct span http_trim(struct span span);
