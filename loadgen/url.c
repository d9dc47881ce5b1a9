#include "loadgen/url.h"

#include <stdbool.h>
#include <stdio.h>
#include <strings.h>

#define PORT_DEFAULT 80

static bool take_prefix(struct span *text, struct span prefix)
{
    if (text->bytes < prefix.bytes ||
        strncasecmp((const char *)text->ptr, (const char *)prefix.ptr, prefix.bytes) != 0) {
        return false;
    }
    *text = span_skip(*text, prefix.bytes);
    return true;
}

/* Up to the first of these bytes, or all. */
static struct span take_until(struct span *text, const char *stops)
{
    size_t bytes = 0;
    while (bytes < text->bytes && strchr(stops, text->ptr[bytes]) == NULL) {
        bytes++;
    }
    struct span taken = span_of(text->ptr, bytes);
    *text = span_skip(*text, bytes);
    return taken;
}

static bool parse_port(struct span text, uint16_t *ret_port)
{
    uint32_t port = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || port > UINT16_MAX) {
            return false;
        }
        port = port * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX) {
        return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

/* host | host:port | [v6] | [v6]:port */
static const char *parse_authority(struct span authority, struct url *url)
{
    struct span rest = authority;
    url->authority = authority;
    url->port = PORT_DEFAULT;
    if (take_prefix(&rest, SPAN("["))) {
        url->host = take_until(&rest, "]");
        if (!take_prefix(&rest, SPAN("]"))) {
            return "an IPv6 address needs its closing ']'";
        }
    } else {
        url->host = take_until(&rest, ":");
    }
    if (url->host.bytes == 0) {
        return "no host; expected http://HOST[:PORT][/PATH]";
    }
    if (rest.bytes == 0) {
        return NULL;
    }
    if (!take_prefix(&rest, SPAN(":")) || !parse_port(rest, &url->port)) {
        return "bad port; expected a number from 1 to 65535 after the host";
    }
    return NULL;
}

/* What would end the request line, or make another one. */
static bool has_blank_or_control(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

const char *url_parse(const char *text, struct url *ret_url)
{
    struct span rest = span_of_string(text);
    struct url url;
    if (take_prefix(&rest, SPAN("https://"))) {
        return "TLS is not supported by this version; use http://";
    }
    if (!take_prefix(&rest, SPAN("http://")) && strstr(text, "://") != NULL) {
        return "unknown scheme; use http://";
    }
    if (has_blank_or_control(rest)) {
        return "blanks and control bytes must be percent-encoded (%20)";
    }
    struct span authority = take_until(&rest, "/?#");
    if (memchr(authority.ptr, '@', authority.bytes) != NULL) {
        return "user names in URLs are not supported; leave out what is before '@'";
    }
    const char *error = parse_authority(authority, &url);
    if (error != NULL) {
        return error;
    }
    url.path = take_until(&rest, "#");
    if (url.path.bytes > 0 && url.path.ptr[0] != '/') {
        return "a query needs a path before it: http://HOST/?QUERY";
    }
    *ret_url = url;
    return NULL;
}

struct span url_last_segment(struct span path)
{
    struct span segment = take_until(&path, "?");
    for (size_t i = segment.bytes; i > 0; i--) {
        if (segment.ptr[i - 1] == '/') {
            return span_skip(segment, i);
        }
    }
    return segment;
}

size_t url_encode_path(struct span path, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t bytes = 0;
    for (size_t i = 0; i < path.bytes; i++) {
        uint8_t byte = path.ptr[i];
        if (byte > ' ' && byte < 0x7f && strchr("\"#<>\\^`{|}", byte) == NULL) {
            out[bytes++] = (char)byte;
            continue;
        }
        out[bytes++] = '%';
        out[bytes++] = digits[byte >> 4];
        out[bytes++] = digits[byte & 15];
    }
    return bytes;
}
