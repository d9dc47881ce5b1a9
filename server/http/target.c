#include "server/http/target.h"

#include "server/base/check.h"
#include "server/http/chars.h"

#define BAD_REQUEST   400
#define NOT_FOUND     404
#define URI_TOO_LONG  414
#define ENCODED_BYTES (sizeof("%2F") - 1)

/* The key as it grows: `buffer[0..bytes)`, of which `segment_offset` starts the last segment. */
struct key {
    char *buffer;
    size_t bytes;
    size_t segment_offset;
    bool is_hidden;
};

/* A byte that may come out of a %-encoding: not the separator, nor what could pass for it. */
static bool is_decodable(uint8_t c)
{
    return c >= 0x20 && c != 0x7f && c != '/' && c != '\\';
}

/* RFC 3986 2.1. Returns the byte, or -1. */
static int decode_byte(struct span encoded)
{
    if (encoded.bytes < ENCODED_BYTES) {
        return -1;
    }
    int high = http_hex_value(encoded.ptr[1]);
    int low = http_hex_value(encoded.ptr[2]);
    if (high < 0 || low < 0) {
        return -1;
    }
    uint8_t c = (uint8_t)(high << 4 | low);
    return is_decodable(c) ? c : -1;
}

/* Decodes up to the next slash or the end onto the key; `rest` is left there. Returns a status. */
static uint32_t take_segment(struct key *key, struct span *rest)
{
    while (rest->bytes > 0 && rest->ptr[0] != '/') {
        size_t plain_bytes = http_chars_count(*rest, HTTP_CHAR_SEGMENT);
        if (plain_bytes > HTTP_PATH_MAX - key->bytes) {
            return URI_TOO_LONG;
        }
        memcpy(key->buffer + key->bytes, rest->ptr, plain_bytes);
        key->bytes += plain_bytes;
        *rest = span_skip(*rest, plain_bytes);
        if (rest->bytes == 0 || rest->ptr[0] == '/') {
            break;
        }
        int c = rest->ptr[0] == '%' ? decode_byte(*rest) : -1;
        if (c < 0) {
            return BAD_REQUEST;
        }
        if (key->bytes == HTTP_PATH_MAX) {
            return URI_TOO_LONG;
        }
        key->buffer[key->bytes++] = (char)c;
        *rest = span_skip(*rest, ENCODED_BYTES);
    }
    return 0;
}

/* Judges the segment that was just taken, as it is after decoding. Returns a status. */
static uint32_t check_segment(struct key *key)
{
    struct span segment =
        span_of(key->buffer + key->segment_offset, key->bytes - key->segment_offset);
    if (segment.bytes > HTTP_SEGMENT_MAX) {
        return NOT_FOUND;
    }
    if (segment.bytes == 0 || segment.ptr[0] != '.') {
        return 0;
    }
    if (segment.bytes == 1 || (segment.bytes == 2 && segment.ptr[1] == '.')) {
        return BAD_REQUEST;
    }
    bool is_well_known = key->segment_offset == 0 && span_equal(segment, SPAN(".well-known"));
    key->is_hidden |= !is_well_known; /* RFC 8615 */
    return 0;
}

/* The path behind its first slash. Returns a status. */
static uint32_t take_segments(struct key *key, struct span rest)
{
    for (;;) {
        uint32_t status = take_segment(key, &rest);
        if (status == 0) {
            status = check_segment(key);
        }
        if (status != 0 || rest.bytes == 0) {
            return status;
        }
        rest = span_skip(rest, 1);
        if (key->bytes == key->segment_offset) {
            continue; /* an empty segment: its slash is not a second one */
        }
        if (key->bytes == HTTP_PATH_MAX) {
            return URI_TOO_LONG;
        }
        key->buffer[key->bytes++] = '/';
        key->segment_offset = key->bytes;
    }
}

uint32_t http_target_decode(struct span path,
                            char *buffer,
                            size_t buffer_bytes,
                            struct http_target *ret_target)
{
    ASSERT(buffer_bytes > HTTP_PATH_MAX);
    struct span query = {.ptr = NULL};
    const uint8_t *mark = path.bytes > 0 ? memchr(path.ptr, '?', path.bytes) : NULL;
    if (mark != NULL) {
        size_t path_bytes = (size_t)(mark - path.ptr);
        query = span_skip(path, path_bytes + 1);
        path.bytes = path_bytes;
    }
    if (path.bytes > 0 && path.ptr[0] != '/') {
        return BAD_REQUEST;
    }

    struct key key = {.buffer = buffer};
    uint32_t status = path.bytes > 0 ? take_segments(&key, span_skip(path, 1)) : 0;
    if (status != 0) {
        return status;
    }
    buffer[key.bytes] = '\0';
    *ret_target = (struct http_target){
        .key = span_of(buffer, key.bytes),
        .query = query,
        .is_directory = key.bytes == key.segment_offset,
        .is_hidden = key.is_hidden,
    };
    return 0;
}

size_t http_target_encode_path(struct span key, char *buffer, size_t buffer_bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    ASSERT(key.bytes == 0 || key.ptr[0] != '/');
    if (buffer_bytes == 0) {
        return 0;
    }
    size_t bytes = 0;
    buffer[bytes++] = '/';
    for (size_t i = 0; i < key.bytes; i++) {
        uint8_t c = key.ptr[i];
        bool is_plain = http_char_is(c, HTTP_CHAR_PATH);
        if (buffer_bytes - bytes < (is_plain ? 1 : ENCODED_BYTES)) {
            return 0;
        }
        if (is_plain) {
            buffer[bytes++] = (char)c;
            continue;
        }
        buffer[bytes++] = '%';
        buffer[bytes++] = digits[c >> 4];
        buffer[bytes++] = digits[c & 0xf];
    }
    return bytes;
}
