#include "server/http/head.h"

#include <errno.h>

#include "server/base/check.h"
#include "server/http/chars.h"
#include "server/http/fields.h"

#define VERSION_BYTES (sizeof("HTTP/1.1") - 1)

/* The first byte of a TLS record that carries a handshake. */
#define TLS_HANDSHAKE 0x16

/* A first line without its LF that is longer than this has too long a target, whatever follows. */
#define REQUEST_LINE_MAX (HTTP_METHOD_MAX + 1 + HTTP_TARGET_MAX + 1 + VERSION_BYTES + 1)

static_assert(REQUEST_LINE_MAX < HTTP_HEAD_MAX, "a long target is told from a long head");

/* What is known of the bytes looked at so far. */
enum progress {
    PROGRESS_DONE,
    PROGRESS_INCOMPLETE,
    PROGRESS_REFUSED
};

struct scan {
    struct span rest; /* not looked at yet; never reaches behind HTTP_HEAD_MAX */
    enum http_refusal_reason reason;
};

static struct span front_of(struct span span, size_t bytes_max)
{
    return span_of(span.ptr, span.bytes < bytes_max ? span.bytes : bytes_max);
}

static enum progress scan_refuse(struct scan *scan, enum http_refusal_reason reason)
{
    scan->reason = reason;
    return PROGRESS_REFUSED;
}

/* Takes one line that ends with CRLF and has neither byte elsewhere. */
static enum progress scan_line(struct scan *scan, struct span *ret_line)
{
    const uint8_t *start = scan->rest.ptr;
    const uint8_t *lf = memchr(start, '\n', scan->rest.bytes);
    if (lf == NULL) {
        return PROGRESS_INCOMPLETE;
    }
    size_t bytes = (size_t)(lf - start);
    const uint8_t *cr = memchr(start, '\r', bytes);
    if (cr == NULL) {
        return scan_refuse(scan, HTTP_REFUSAL_BARE_LF);
    }
    if (cr != lf - 1) {
        return scan_refuse(scan, HTTP_REFUSAL_BARE_CR);
    }
    *ret_line = span_of(start, bytes - 1);
    scan->rest = span_skip(scan->rest, bytes + 1);
    return PROGRESS_DONE;
}

/* RFC 9112 2.2: empty lines before the request line are ignored. */
static enum progress scan_empty_lines(struct scan *scan)
{
    for (uint32_t count = 0; scan->rest.bytes > 0; count++) {
        uint8_t c = scan->rest.ptr[0];
        if (c == '\n') {
            return scan_refuse(scan, HTTP_REFUSAL_BARE_LF);
        }
        if (c != '\r') {
            return PROGRESS_DONE;
        }
        if (count == HTTP_EMPTY_LINES_MAX) {
            return scan_refuse(scan, HTTP_REFUSAL_EMPTY_LINES);
        }
        if (scan->rest.bytes == 1) {
            return PROGRESS_INCOMPLETE;
        }
        if (scan->rest.ptr[1] != '\n') {
            return scan_refuse(scan, HTTP_REFUSAL_BARE_CR);
        }
        scan->rest = span_skip(scan->rest, 2);
    }
    return PROGRESS_INCOMPLETE;
}

/* Looks at the method without waiting for the line's end: what is no HTTP is refused at once. */
static enum progress scan_method(struct scan *scan, struct span *ret_method)
{
    struct span front = front_of(scan->rest, HTTP_METHOD_MAX + 1);
    size_t bytes = http_chars_count(front, HTTP_CHAR_TOKEN);
    if (bytes > HTTP_METHOD_MAX) {
        return scan_refuse(scan, HTTP_REFUSAL_METHOD);
    }
    if (bytes == scan->rest.bytes) {
        return PROGRESS_INCOMPLETE;
    }
    if (bytes == 0) {
        return scan_refuse(scan, front.ptr[0] == TLS_HANDSHAKE ? HTTP_REFUSAL_TLS
                                                               : HTTP_REFUSAL_NOT_HTTP);
    }
    if (front.ptr[bytes] != ' ') {
        return scan_refuse(scan, HTTP_REFUSAL_NOT_HTTP);
    }
    *ret_method = span_of(front.ptr, bytes);
    return PROGRESS_DONE;
}

static enum http_method method_of(struct span name)
{
    if (span_equal(name, SPAN("GET"))) {
        return HTTP_METHOD_GET;
    }
    if (span_equal(name, SPAN("HEAD"))) {
        return HTTP_METHOD_HEAD;
    }
    if (span_equal(name, SPAN("OPTIONS"))) {
        return HTTP_METHOD_OPTIONS;
    }
    return HTTP_METHOD_OTHER;
}

/* RFC 9112 2.3: `HTTP/` DIGIT `.` DIGIT, in capitals. */
static enum http_refusal_reason read_version(struct span version, uint32_t *ret_minor)
{
    if (version.bytes != VERSION_BYTES || memcmp(version.ptr, "HTTP/", 5) != 0) {
        return HTTP_REFUSAL_VERSION;
    }
    uint8_t major = version.ptr[5];
    uint8_t minor = version.ptr[7];
    if (major < '0' || major > '9' || version.ptr[6] != '.' || minor < '0' || minor > '9') {
        return HTTP_REFUSAL_VERSION;
    }
    if (major != '1') {
        return HTTP_REFUSAL_VERSION_UNKNOWN;
    }
    *ret_minor = minor == '0' ? 0 : 1;
    return HTTP_REFUSAL_NONE;
}

/* RFC 9112 3.2.2: `http://authority/path?query`. */
static enum http_refusal_reason read_absolute_form(struct http_head *head)
{
    static const struct span schemes[] = {
        {(const uint8_t *)"http://", 7},
        {(const uint8_t *)"https://", 8},
    };
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t scheme_bytes = schemes[i].bytes;
        if (head->target.bytes <= scheme_bytes ||
            !http_equal_nocase(span_of(head->target.ptr, scheme_bytes), schemes[i])) {
            continue;
        }
        struct span rest = span_skip(head->target, scheme_bytes);
        size_t bytes = 0;
        while (bytes < rest.bytes && rest.ptr[bytes] != '/' && rest.ptr[bytes] != '?') {
            bytes++;
        }
        head->authority = span_of(rest.ptr, bytes);
        head->path = span_skip(rest, bytes);
        return http_host_is_valid(head->authority) ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_TARGET;
    }
    return HTTP_REFUSAL_TARGET;
}

/* RFC 9112 3.2: which of the four forms the target has, and whether it goes with the method. */
static enum http_refusal_reason read_target_form(struct http_head *head)
{
    if (head->method == HTTP_METHOD_OTHER && span_equal(head->method_name, SPAN("CONNECT"))) {
        return HTTP_REFUSAL_METHOD; /* the authority form is for proxies */
    }
    if (head->target.ptr[0] == '/') {
        head->path = head->target;
        return HTTP_REFUSAL_NONE;
    }
    if (span_equal(head->target, SPAN("*"))) {
        head->path = head->target;
        return head->method == HTTP_METHOD_OPTIONS ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_TARGET;
    }
    return read_absolute_form(head);
}

/* RFC 9112 3: one space between the three parts and none anywhere else. */
static enum http_refusal_reason read_request_line(struct http_head *head)
{
    struct span rest = span_skip(head->line, head->method_name.bytes + 1);
    size_t target_bytes = http_chars_count(rest, HTTP_CHAR_TARGET);
    head->target = span_of(rest.ptr, target_bytes);
    if (target_bytes > HTTP_TARGET_MAX) {
        return HTTP_REFUSAL_TARGET_TOO_LONG;
    }
    if (target_bytes == rest.bytes || target_bytes == 0) {
        return HTTP_REFUSAL_REQUEST_LINE; /* HTTP/0.9, or two spaces */
    }
    if (rest.ptr[target_bytes] != ' ') {
        return rest.ptr[target_bytes] == '#' ? HTTP_REFUSAL_FRAGMENT : HTTP_REFUSAL_TARGET;
    }
    enum http_refusal_reason reason =
        read_version(span_skip(rest, target_bytes + 1), &head->version_minor);
    return reason != HTTP_REFUSAL_NONE ? reason : read_target_form(head);
}

static enum progress scan_request_line(struct scan *scan, struct http_head *head)
{
    enum progress progress = scan_method(scan, &head->method_name);
    if (progress != PROGRESS_DONE) {
        return progress;
    }
    struct scan first = {.rest = front_of(scan->rest, REQUEST_LINE_MAX)};
    progress = scan_line(&first, &head->line);
    if (progress == PROGRESS_REFUSED) {
        return scan_refuse(scan, first.reason);
    }
    if (progress == PROGRESS_INCOMPLETE) {
        return scan->rest.bytes < REQUEST_LINE_MAX
                   ? PROGRESS_INCOMPLETE
                   : scan_refuse(scan, HTTP_REFUSAL_TARGET_TOO_LONG);
    }
    scan->rest = span_skip(scan->rest, head->line.bytes + 2);
    head->method = method_of(head->method_name);
    enum http_refusal_reason reason = read_request_line(head);
    return reason == HTTP_REFUSAL_NONE ? PROGRESS_DONE : scan_refuse(scan, reason);
}

static enum progress scan_fields(struct scan *scan, struct http_head *head)
{
    const uint8_t *start = scan->rest.ptr;
    for (uint32_t count = 0;; count++) {
        struct span line;
        enum progress progress = scan_line(scan, &line);
        if (progress != PROGRESS_DONE) {
            return progress;
        }
        if (line.bytes == 0) {
            break;
        }
        /* obs-fold (RFC 9112 5.2), or before the first field what 2.2 forbids. */
        if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
            return scan_refuse(scan, HTTP_REFUSAL_FOLD);
        }
        if (count == HTTP_HEADERS_MAX) {
            return scan_refuse(scan, HTTP_REFUSAL_TOO_MANY_FIELDS);
        }
    }
    head->fields = span_of(start, (size_t)(scan->rest.ptr - start));
    return PROGRESS_DONE;
}

ssize_t
http_head_scan(struct span in, struct http_head *ret_head, enum http_refusal_reason *ret_reason)
{
    bool is_full = in.bytes >= HTTP_HEAD_MAX;
    struct scan scan = {.rest = front_of(in, HTTP_HEAD_MAX)};
    struct http_head head = {.version_minor = 0};

    enum progress progress = scan_empty_lines(&scan);
    if (progress == PROGRESS_DONE) {
        progress = scan_request_line(&scan, &head);
    }
    if (progress == PROGRESS_DONE) {
        progress = scan_fields(&scan, &head);
    }
    if (progress == PROGRESS_INCOMPLETE && is_full) {
        progress = scan_refuse(&scan, HTTP_REFUSAL_HEAD_TOO_LONG);
    }
    switch (progress) {
    case PROGRESS_INCOMPLETE:
        return 0;
    case PROGRESS_REFUSED:
        *ret_reason = scan.reason;
        return -EBADMSG;
    case PROGRESS_DONE:
        break;
    }
    *ret_head = head;
    return scan.rest.ptr - in.ptr;
}

bool http_head_may_be_complete(struct span in, size_t scanned_bytes)
{
    /* Only a method is judged byte by byte; the rest line by line, or when a limit is passed. */
    const size_t empty_bytes = HTTP_EMPTY_LINES_MAX * 2;
    if (scanned_bytes <= empty_bytes + HTTP_METHOD_MAX + 1 || in.bytes >= HTTP_HEAD_MAX) {
        return true;
    }
    if (in.bytes >= REQUEST_LINE_MAX && scanned_bytes < empty_bytes + REQUEST_LINE_MAX) {
        return true;
    }
    return memchr(in.ptr + scanned_bytes, '\n', in.bytes - scanned_bytes) != NULL;
}
