#include "server/http/fields.h"

#include "server/http/chars.h"

#define PORT_DIGITS_MAX 5
#define PORT_MAX        65535

/* `[` IPv6address or IPvFuture `]`: the characters only. No name is looked up from it, ever. */
static size_t ip_literal_bytes(struct span host)
{
    const uint8_t *end = memchr(host.ptr, ']', host.bytes);
    if (end == NULL) {
        return 0;
    }
    size_t bytes = (size_t)(end - host.ptr) + 1;
    for (size_t i = 1; i < bytes - 1; i++) {
        if (!http_char_is(host.ptr[i], HTTP_CHAR_NAME) && host.ptr[i] != ':') {
            return 0;
        }
    }
    return bytes > 2 ? bytes : 0;
}

static size_t reg_name_bytes(struct span host)
{
    size_t i = 0;
    while (i < host.bytes) {
        if (http_char_is(host.ptr[i], HTTP_CHAR_NAME)) {
            i++;
            continue;
        }
        bool is_encoded = host.ptr[i] == '%' && host.bytes - i > 2 &&
                          http_hex_value(host.ptr[i + 1]) >= 0 &&
                          http_hex_value(host.ptr[i + 2]) >= 0;
        if (!is_encoded) {
            break;
        }
        i += 3;
    }
    return i;
}

static bool port_is_valid(struct span digits)
{
    if (digits.bytes > PORT_DIGITS_MAX) {
        return false;
    }
    uint32_t port = 0;
    for (size_t i = 0; i < digits.bytes; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9') {
            return false;
        }
        port = port * 10 + (digits.ptr[i] - '0');
    }
    return port <= PORT_MAX;
}

bool http_host_is_valid(struct span host)
{
    if (host.bytes == 0) {
        return false;
    }
    size_t name_bytes = host.ptr[0] == '[' ? ip_literal_bytes(host) : reg_name_bytes(host);
    if (name_bytes == 0) {
        return false;
    }
    struct span rest = span_skip(host, name_bytes);
    return rest.bytes == 0 || (rest.ptr[0] == ':' && port_is_valid(span_skip(rest, 1)));
}

bool http_content_length_parse(struct span value, uint64_t *ret_bytes)
{
    uint64_t bytes = 0;
    if (value.bytes == 0) {
        return false;
    }
    for (size_t i = 0; i < value.bytes; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(bytes, 10, &bytes) ||
            __builtin_add_overflow(bytes, value.ptr[i] - '0', &bytes)) {
            return false;
        }
    }
    if (bytes > INT64_MAX) {
        return false;
    }
    *ret_bytes = bytes;
    return true;
}

bool http_list_next(struct span *rest, struct span *ret_item)
{
    while (rest->bytes > 0) {
        const uint8_t *comma = memchr(rest->ptr, ',', rest->bytes);
        size_t item_bytes = comma != NULL ? (size_t)(comma - rest->ptr) : rest->bytes;
        struct span item = http_trim(span_of(rest->ptr, item_bytes));
        *rest = span_skip(*rest, comma != NULL ? item_bytes + 1 : item_bytes);
        if (item.bytes > 0) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}
