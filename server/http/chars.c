#include "server/http/chars.h"

/* What a letter is; digits are one thing more. */
#define ALL_CLASSES                                                                                \
    (HTTP_CHAR_TOKEN | HTTP_CHAR_TARGET | HTTP_CHAR_NAME | HTTP_CHAR_PATH | HTTP_CHAR_SEGMENT)
#define OPAQUE    (HTTP_CHAR_TARGET | HTTP_CHAR_SEGMENT)
#define SUB_DELIM (OPAQUE | HTTP_CHAR_NAME | HTTP_CHAR_PATH)

/* clang-format off */
const uint8_t http_char_classes[256] = {
    ['0' ... '9'] = ALL_CLASSES | HTTP_CHAR_DIGIT,
    ['A' ... 'Z'] = ALL_CLASSES,
    ['a' ... 'z'] = ALL_CLASSES,
    /* Unreserved, and those sub-delims that are tokens too. */
    ['-'] = ALL_CLASSES, ['.'] = ALL_CLASSES, ['_'] = ALL_CLASSES, ['~'] = ALL_CLASSES,
    ['!'] = ALL_CLASSES, ['$'] = ALL_CLASSES, ['&'] = ALL_CLASSES, ['\''] = ALL_CLASSES,
    ['*'] = ALL_CLASSES, ['+'] = ALL_CLASSES,
    ['('] = SUB_DELIM, [')'] = SUB_DELIM, [','] = SUB_DELIM, [';'] = SUB_DELIM, ['='] = SUB_DELIM,
    [':'] = OPAQUE | HTTP_CHAR_PATH, ['@'] = OPAQUE | HTTP_CHAR_PATH,
    ['/'] = HTTP_CHAR_TARGET | HTTP_CHAR_PATH,
    ['?'] = HTTP_CHAR_TARGET, ['\\'] = HTTP_CHAR_TARGET,
    ['%'] = HTTP_CHAR_TOKEN | HTTP_CHAR_TARGET,
    ['#'] = HTTP_CHAR_TOKEN,
    ['^'] = HTTP_CHAR_TOKEN | OPAQUE, ['`'] = HTTP_CHAR_TOKEN | OPAQUE,
    ['|'] = HTTP_CHAR_TOKEN | OPAQUE,
    /* Not in any URI, but sent by browsers and taken by every server. */
    ['"'] = OPAQUE, ['<'] = OPAQUE, ['>'] = OPAQUE, ['['] = OPAQUE, [']'] = OPAQUE,
    ['{'] = OPAQUE, ['}'] = OPAQUE,
    [0x80 ... 0xff] = OPAQUE,
};
/* clang-format on */

size_t http_chars_count(struct span span, enum http_char_class class)
{
    size_t count = 0;
    while (count < span.bytes && http_char_is(span.ptr[count], class)) {
        count++;
    }
    return count;
}

static uint8_t to_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool http_equal_nocase(struct span span, struct span lower)
{
    if (span.bytes != lower.bytes) {
        return false;
    }
    for (size_t i = 0; i < span.bytes; i++) {
        if (to_lower(span.ptr[i]) != lower.ptr[i]) {
            return false;
        }
    }
    return true;
}

static bool is_white(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct span http_trim(struct span span)
{
    while (span.bytes > 0 && is_white(span.ptr[0])) {
        span = span_skip(span, 1);
    }
    while (span.bytes > 0 && is_white(span.ptr[span.bytes - 1])) {
        span.bytes--;
    }
    return span;
}
