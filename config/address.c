#include "config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "config/spelling.h"
#include "server/base/check.h"

#define ALLOWED "127.0.0.1:8080, [::1]:8080, *:8080, localhost:8080 or unix:PATH"

/* What may follow an address after a comma once this build can do it. */
static const char *const suffixes[] = {"tls", "proxy"};
static const char *const suffix_sentences[] = {
    "this build does not offer TLS listeners (',tls')",
    "this build does not offer the PROXY protocol (',proxy')",
};
static_assert(ARRAY_COUNT(suffixes) == ARRAY_COUNT(suffix_sentences), "one sentence a suffix");

/* Fills in the sentence, and is the result: `return refuse(...)`. */
[[gnu::format(printf, 3, 4)]] static int
refuse(struct sentence *ret_error, struct span text, const char *format, ...)
{
    char reason[SENTENCE_MAX / 2];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reason, sizeof(reason), format, args); /* a cut reason is still one */
    va_end(args);
    sentence_set(ret_error, "found ");
    sentence_add_quoted(ret_error, text);
    sentence_add(ret_error, ": %s; allowed: %s", reason, ALLOWED);
    return -EINVAL;
}

/* The last `byte` in `text`, or text.bytes when there is none. */
static size_t find_last(struct span text, char byte)
{
    const uint8_t *found = text.bytes == 0 ? NULL : memrchr(text.ptr, byte, text.bytes);
    return found == NULL ? text.bytes : (size_t)(found - text.ptr);
}

static bool starts_with(struct span text, struct span front)
{
    return text.bytes >= front.bytes && span_equal(span_of(text.ptr, front.bytes), front);
}

static bool is_digits(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return text.bytes > 0;
}

/* For inet_pton(): false when it would not fit, or holds a NUL, and so is no address anyhow. */
static bool copy_string(struct span text, size_t room, char *ret_string)
{
    if (text.bytes >= room || memchr(text.ptr, '\0', text.bytes) != NULL) {
        return false;
    }
    memcpy(ret_string, text.ptr, text.bytes);
    ret_string[text.bytes] = '\0';
    return true;
}

static int refuse_suffix(struct span text, struct span suffix, struct sentence *ret_error)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        if (span_equal(suffix, span_of_string(suffixes[i]))) {
            sentence_set(ret_error, "found ");
            sentence_add_quoted(ret_error, text);
            sentence_add(ret_error, "; %s", suffix_sentences[i]);
            return -EINVAL;
        }
    }
    const char *nearest = spelling_nearest(suffix, suffixes, ARRAY_COUNT(suffixes));
    if (nearest != NULL) {
        return refuse(ret_error, text, "nothing is known by that suffix, but ',%s' is", nearest);
    }
    return refuse(ret_error, text, "one address at a time, nothing after a comma");
}

static int parse_unix(struct span text, struct address *ret_address, struct sentence *ret_error)
{
    struct span path = span_skip(text, sizeof("unix:") - 1);
    size_t comma = find_last(path, ',');
    if (comma < path.bytes) {
        struct span suffix = span_skip(path, comma + 1);
        for (uint32_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
            if (span_equal(suffix, span_of_string(suffixes[i]))) {
                return refuse_suffix(text, suffix, ret_error);
            }
        }
    }
    if (path.bytes == 0) {
        return refuse(ret_error, text, "no path");
    }
    struct address address = {
        .family = ADDRESS_UNIX,
        .name_bytes = sizeof(struct sockaddr_un),
        .name.local.sun_family = AF_UNIX,
    };
    size_t room = sizeof(address.name.local.sun_path);
    if (path.bytes >= room) {
        return refuse(ret_error, text, "the path has %zu bytes, the system takes up to %zu",
                      path.bytes, room - 1);
    }
    if (!copy_string(path, room, address.name.local.sun_path)) {
        return refuse(ret_error, text, "the path holds a NUL");
    }
    *ret_address = address;
    return 0;
}

static int
parse_port(struct span text, struct span port_text, uint16_t *ret_port, struct sentence *ret_error)
{
    uint32_t port = 0;
    if (is_digits(port_text)) {
        for (size_t i = 0; i < port_text.bytes && port <= UINT16_MAX; i++) {
            port = port * 10 + (uint32_t)(port_text.ptr[i] - '0');
        }
        if (port <= UINT16_MAX) {
            *ret_port = (uint16_t)port;
            return 0;
        }
    }
    return refuse(ret_error, text, "the port is not a number from 0 to %d", UINT16_MAX);
}

static struct address ipv4_address(struct in_addr host, uint16_t port)
{
    return (struct address){
        .family = ADDRESS_IPV4,
        .name_bytes = sizeof(struct sockaddr_in),
        .name.ipv4 = {.sin_family = AF_INET, .sin_addr = host, .sin_port = htons(port)},
    };
}

static struct address ipv6_address(struct in6_addr host, uint16_t port, bool is_dual_stack)
{
    return (struct address){
        .family = ADDRESS_IPV6,
        .is_dual_stack = is_dual_stack,
        .name_bytes = sizeof(struct sockaddr_in6),
        .name.ipv6 = {.sin6_family = AF_INET6, .sin6_addr = host, .sin6_port = htons(port)},
    };
}

/* `host` is what stands between the brackets. */
static int parse_ipv6(struct span text,
                      struct span host,
                      uint16_t port,
                      struct address *ret_address,
                      struct sentence *ret_error)
{
    char string[INET6_ADDRSTRLEN];
    struct in6_addr numeric;
    if (!copy_string(host, sizeof(string), string) || inet_pton(AF_INET6, string, &numeric) != 1) {
        return refuse(ret_error, text, "what stands in the brackets is not an IPv6 address");
    }
    *ret_address = ipv6_address(numeric, port, false);
    return 0;
}

static int parse_host(struct span text,
                      struct span host,
                      uint16_t port,
                      struct address *ret_address,
                      struct sentence *ret_error)
{
    if (host.bytes == 0 || span_equal(host, SPAN("*"))) {
        *ret_address = ipv6_address(in6addr_any, port, true);
        return 0;
    }
    if (span_equal(host, SPAN("localhost"))) {
        *ret_address = ipv4_address((struct in_addr){htonl(INADDR_LOOPBACK)}, port);
        return 0;
    }
    if (memchr(host.ptr, ':', host.bytes) != NULL) {
        return refuse(ret_error, text, "an IPv6 address stands in brackets");
    }
    char string[INET_ADDRSTRLEN];
    struct in_addr numeric;
    if (!copy_string(host, sizeof(string), string) || inet_pton(AF_INET, string, &numeric) != 1) {
        return refuse(ret_error, text,
                      "the host is not a numeric address, and names are not looked up");
    }
    *ret_address = ipv4_address(numeric, port);
    return 0;
}

static int
parse_bracketed(struct span text, struct address *ret_address, struct sentence *ret_error)
{
    size_t end = find_last(text, ']');
    if (end == text.bytes) {
        return refuse(ret_error, text, "the bracket is not closed");
    }
    struct span rest = span_skip(text, end + 1);
    if (rest.bytes == 0 || rest.ptr[0] != ':') {
        return refuse(ret_error, text, "no port follows the bracket");
    }
    uint16_t port = 0;
    int rc = parse_port(text, span_skip(rest, 1), &port, ret_error);
    if (rc < 0) {
        return rc;
    }
    return parse_ipv6(text, span_of(text.ptr + 1, end - 1), port, ret_address, ret_error);
}

static int parse_network(struct span text, struct address *ret_address, struct sentence *ret_error)
{
    if (starts_with(text, SPAN("["))) {
        return parse_bracketed(text, ret_address, ret_error);
    }
    if (is_digits(text)) {
        return refuse(ret_error, text, "a port alone; ':PORT' is every address");
    }
    size_t colon = find_last(text, ':');
    if (colon == text.bytes) {
        return refuse(ret_error, text, "no port");
    }
    uint16_t port = 0;
    int rc = parse_port(text, span_skip(text, colon + 1), &port, ret_error);
    if (rc < 0) {
        return rc;
    }
    return parse_host(text, span_of(text.ptr, colon), port, ret_address, ret_error);
}

int address_parse(struct span text, struct address *ret_address, struct sentence *ret_error)
{
    if (text.bytes == 0) {
        sentence_set(ret_error, "found nothing; allowed: %s", ALLOWED);
        return -EINVAL;
    }
    if (starts_with(text, SPAN("unix:"))) {
        return parse_unix(text, ret_address, ret_error);
    }
    if (starts_with(text, SPAN("http://")) || starts_with(text, SPAN("https://"))) {
        return refuse(ret_error, text, "a URL");
    }
    if (starts_with(text, SPAN("/")) || starts_with(text, SPAN("./"))) {
        return refuse(ret_error, text, "a path needs 'unix:' before it");
    }
    size_t comma = find_last(text, ',');
    if (comma < text.bytes) {
        return refuse_suffix(text, span_skip(text, comma + 1), ret_error);
    }
    return parse_network(text, ret_address, ret_error);
}

static void format_ipv6(const struct address *address, struct address_text *ret_text)
{
    uint16_t port = address_port(address);
    if (address->is_dual_stack) {
        (void)snprintf(ret_text->text, sizeof(ret_text->text), "*:%" PRIu16, port); /* fits */
        return;
    }
    char host[INET6_ADDRSTRLEN];
    const char *string = inet_ntop(AF_INET6, &address->name.ipv6.sin6_addr, host, sizeof(host));
    ASSERT(string != NULL); /* the room is that of the longest */
    (void)snprintf(ret_text->text, sizeof(ret_text->text), "[%s]:%" PRIu16, string, port);
}

static void format_ipv4(const struct address *address, struct address_text *ret_text)
{
    char host[INET_ADDRSTRLEN];
    const char *string = inet_ntop(AF_INET, &address->name.ipv4.sin_addr, host, sizeof(host));
    ASSERT(string != NULL);        /* the room is that of the longest */
    (void)snprintf(ret_text->text, /* fits */
                   sizeof(ret_text->text), "%s:%" PRIu16, string, address_port(address));
}

struct address_text address_format(const struct address *address)
{
    struct address_text text = {.text = ""};
    switch (address->family) {
    case ADDRESS_IPV4:
        format_ipv4(address, &text);
        break;
    case ADDRESS_IPV6:
        format_ipv6(address, &text);
        break;
    case ADDRESS_UNIX:
        (void)snprintf(text.text, sizeof(text.text), "unix:%s", address->name.local.sun_path);
        break;
    }
    return text;
}

uint16_t address_port(const struct address *address)
{
    switch (address->family) {
    case ADDRESS_IPV4:
        return ntohs(address->name.ipv4.sin_port);
    case ADDRESS_IPV6:
        return ntohs(address->name.ipv6.sin6_port);
    case ADDRESS_UNIX:
        break;
    }
    return 0;
}

void address_set_port(struct address *address, uint16_t port)
{
    switch (address->family) {
    case ADDRESS_IPV4:
        address->name.ipv4.sin_port = htons(port);
        break;
    case ADDRESS_IPV6:
        address->name.ipv6.sin6_port = htons(port);
        break;
    case ADDRESS_UNIX:
        break;
    }
}

struct address address_ipv4_fallback(const struct address *dual_stack)
{
    ASSERT(dual_stack->is_dual_stack);
    return ipv4_address((struct in_addr){htonl(INADDR_ANY)}, address_port(dual_stack));
}

static bool is_every_address(const struct address *address)
{
    if (address->family == ADDRESS_IPV4) {
        return address->name.ipv4.sin_addr.s_addr == htonl(INADDR_ANY);
    }
    return IN6_IS_ADDR_UNSPECIFIED(&address->name.ipv6.sin6_addr);
}

static bool is_same_host(const struct address *a, const struct address *b)
{
    if (a->family == ADDRESS_IPV4) {
        return a->name.ipv4.sin_addr.s_addr == b->name.ipv4.sin_addr.s_addr;
    }
    return IN6_ARE_ADDR_EQUAL(&a->name.ipv6.sin6_addr, &b->name.ipv6.sin6_addr);
}

bool address_overlaps(const struct address *a, const struct address *b)
{
    if (a->family == ADDRESS_UNIX || b->family == ADDRESS_UNIX) {
        return a->family == b->family &&
               strcmp(a->name.local.sun_path, b->name.local.sun_path) == 0;
    }
    if (address_port(a) != address_port(b) || address_port(a) == 0) {
        return false; /* port 0 is another one each time */
    }
    if (a->family == b->family) {
        return is_every_address(a) || is_every_address(b) || is_same_host(a, b);
    }
    return a->is_dual_stack || b->is_dual_stack;
}
