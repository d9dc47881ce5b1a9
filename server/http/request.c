#include "server/http/request.h"

#include <errno.h>
#include <llhttp.h>

#include "server/base/check.h"
#include "server/http/chars.h"
#include "server/http/fields.h"

/* llhttp is given the request line in this form: see feed(). */
#define PLAIN_TARGET " / HTTP/1.1\r\n"

/* llhttp's callbacks stop it with this; the reason is in struct parse. */
#define STOP (-1)

struct parse {
    struct http_request request;
    struct span name; /* of the field line at hand */
    struct span value;
    enum http_refusal_reason reason;
    bool has_authority; /* the target's, which wins over Host */
    bool has_host;
    bool has_content_length;
    bool has_transfer_encoding;
    bool has_close;
    bool has_keep_alive;
};

static int parse_refuse(struct parse *parse, enum http_refusal_reason reason)
{
    parse->reason = reason;
    return STOP;
}

/* RFC 9112 3.2. Checked also where the target's authority is used in its place. */
static int take_host(struct parse *parse)
{
    if (parse->has_host) {
        return parse_refuse(parse, HTTP_REFUSAL_HOST_REPEATED);
    }
    if (!http_host_is_valid(parse->value)) {
        return parse_refuse(parse, HTTP_REFUSAL_HOST_INVALID);
    }
    parse->has_host = true;
    if (!parse->has_authority) {
        parse->request.host = parse->value;
    }
    return 0;
}

/* Twice is refused even when both agree: RFC 9112 6.3 allows it, nobody needs it. */
static int take_content_length(struct parse *parse)
{
    if (parse->has_content_length ||
        !http_content_length_parse(parse->value, &parse->request.content_length)) {
        return parse_refuse(parse, HTTP_REFUSAL_CONTENT_LENGTH);
    }
    parse->has_content_length = true;
    return 0;
}

/* RFC 9112 6.1. Any other coding, or any list, is where parsers disagree. */
static int take_transfer_encoding(struct parse *parse)
{
    if (parse->has_transfer_encoding || parse->request.version_minor == 0 ||
        !http_equal_nocase(parse->value, SPAN("chunked"))) {
        return parse_refuse(parse, HTTP_REFUSAL_TRANSFER_ENCODING);
    }
    parse->has_transfer_encoding = true;
    return 0;
}

/* RFC 9110 7.6.1; other options ask for nothing of this server. */
static int take_connection(struct parse *parse)
{
    struct span rest = parse->value;
    struct span option;
    while (http_list_next(&rest, &option)) {
        parse->has_close |= http_equal_nocase(option, SPAN("close"));
        parse->has_keep_alive |= http_equal_nocase(option, SPAN("keep-alive"));
    }
    return 0;
}

/* RFC 9110 10.1.1; HTTP/1.0 has no Expect and ignores it. */
static int take_expect(struct parse *parse)
{
    if (parse->request.version_minor == 0) {
        return 0;
    }
    if (!http_equal_nocase(parse->value, SPAN("100-continue"))) {
        return parse_refuse(parse, HTTP_REFUSAL_EXPECTATION);
    }
    parse->request.expect_continue = true;
    return 0;
}

static int take_first(struct span *field, struct span value)
{
    if (!http_field_is_present(*field)) {
        *field = value;
    }
    return 0;
}

static int take_list(struct parse *parse, struct span *field)
{
    parse->request.is_list_repeated |= http_field_is_present(*field);
    return take_first(field, parse->value);
}

/* A second line makes the field unreadable, as its two values joined by a comma would be. */
static int take_single(struct parse *parse, struct span *field)
{
    *field = http_field_is_present(*field) ? span_of(field->ptr, 0) : parse->value;
    return 0;
}

/* `name` is a token: among its bytes and those of `lower`, 0x20 is nothing but a letter's case. */
static bool name_is(struct span name, const char *lower)
{
    for (size_t i = 0; i < name.bytes; i++) {
        if ((name.ptr[i] | 0x20) != lower[i]) {
            return false;
        }
    }
    return true;
}

/* By length first: most fields of a browser are none of these and cost one jump. */
static int take_field(struct parse *parse)
{
    struct http_request *request = &parse->request;
    struct span name = parse->name;
    switch (name.bytes) {
    case sizeof("Host") - 1:
        return name_is(name, "host") ? take_host(parse) : 0;
    case sizeof("Range") - 1:
        return name_is(name, "range") ? take_single(parse, &request->range) : 0;
    case sizeof("Expect") - 1:
        return name_is(name, "expect") ? take_expect(parse) : 0;
    case sizeof("Referer") - 1:
        return name_is(name, "referer") ? take_first(&request->referer, parse->value) : 0;
    case sizeof("If-Match") - 1:
        if (name_is(name, "if-match")) {
            return take_list(parse, &request->if_match);
        }
        return name_is(name, "if-range") ? take_single(parse, &request->if_range) : 0;
    case sizeof("Connection") - 1:
        if (name_is(name, "connection")) {
            return take_connection(parse);
        }
        return name_is(name, "user-agent") ? take_first(&request->user_agent, parse->value) : 0;
    case sizeof("If-None-Match") - 1:
        return name_is(name, "if-none-match") ? take_list(parse, &request->if_none_match) : 0;
    case sizeof("Content-Length") - 1:
        return name_is(name, "content-length") ? take_content_length(parse) : 0;
    case sizeof("Accept-Encoding") - 1:
        return name_is(name, "accept-encoding") ? take_list(parse, &request->accept_encoding) : 0;
    case sizeof("If-Modified-Since") - 1:
        if (name_is(name, "transfer-encoding")) {
            return take_transfer_encoding(parse);
        }
        return name_is(name, "if-modified-since") ? take_single(parse, &request->if_modified_since)
                                                  : 0;
    case sizeof("If-Unmodified-Since") - 1:
        return name_is(name, "if-unmodified-since")
                   ? take_single(parse, &request->if_unmodified_since)
                   : 0;
    default:
        return 0;
    }
}

/* RFC 9112 5.1. Old versions of llhttp, and its loose mode, let spaces and empty names pass. */
static int on_field_name(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct parse *parse = llhttp->data;
    parse->name = span_of(at, bytes);
    parse->value = span_of(at + bytes, 0); /* an empty value may come without a call */
    if (bytes == 0 || http_chars_count(parse->name, HTTP_CHAR_TOKEN) != bytes) {
        return parse_refuse(parse, HTTP_REFUSAL_FIELD_NAME);
    }
    return 0;
}

/* Called once a field: the lines lie in one piece, and none is folded. */
static int on_field_value(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct parse *parse = llhttp->data;
    parse->value = http_trim(span_of(at, bytes));
    return 0;
}

static int on_field_complete(llhttp_t *llhttp)
{
    struct parse *parse = llhttp->data;
    parse->request.field_count++;
    return take_field(parse);
}

/* All is known: what follows is not ours to read. */
static int on_fields_complete(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_header_field = on_field_name,
    .on_header_value = on_field_value,
    .on_header_value_complete = on_field_complete,
    .on_headers_complete = on_fields_complete,
};

/*
 * Runs llhttp over the head. It gets the method and the field lines as they were sent, but a plain
 * target and version: head.c has read those by our own rules, which are the same for every llhttp
 * (bytes above 0x7f, for one, are refused by some versions and not by others).
 */
static llhttp_errno_t feed(llhttp_t *llhttp, const struct http_head *head)
{
    char line[HTTP_METHOD_MAX + sizeof(PLAIN_TARGET)];
    size_t method_bytes = head->method_name.bytes;
    memcpy(line, head->method_name.ptr, method_bytes);
    memcpy(line + method_bytes, PLAIN_TARGET, sizeof(PLAIN_TARGET) - 1);
    llhttp_errno_t error = llhttp_execute(llhttp, line, method_bytes + sizeof(PLAIN_TARGET) - 1);
    if (error != HPE_OK) {
        return error;
    }
    return llhttp_execute(llhttp, (const char *)head->fields.ptr, head->fields.bytes);
}

/* llhttp stops inside a value, before our own look at it. */
static enum http_refusal_reason reason_of(int error, const struct parse *parse)
{
    switch (error) {
    case HPE_INVALID_METHOD:
    case HPE_INVALID_CONSTANT: /* a method of RTSP or ICE */
    case HPE_INVALID_VERSION:  /* PRI, that is only for HTTP/2 */
        return HTTP_REFUSAL_METHOD;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return parse->has_transfer_encoding ? HTTP_REFUSAL_LENGTH_CONFLICT
                                            : HTTP_REFUSAL_CONTENT_LENGTH;
    case HPE_INVALID_TRANSFER_ENCODING:
        return parse->has_content_length ? HTTP_REFUSAL_LENGTH_CONFLICT
                                         : HTTP_REFUSAL_TRANSFER_ENCODING;
    case HPE_INVALID_HEADER_TOKEN:
        return HTTP_REFUSAL_FIELD_VALUE;
    default:
        return HTTP_REFUSAL_OTHER;
    }
}

/* The rules that need the whole head. */
static enum http_refusal_reason settle(struct parse *parse)
{
    struct http_request *request = &parse->request;
    if (parse->has_transfer_encoding && parse->has_content_length) {
        return HTTP_REFUSAL_LENGTH_CONFLICT;
    }
    if (!parse->has_host && request->version_minor > 0) {
        return HTTP_REFUSAL_HOST_MISSING;
    }
    request->is_chunked = parse->has_transfer_encoding;
    request->has_body = request->is_chunked || request->content_length > 0;
    bool is_persistent = request->version_minor > 0 || parse->has_keep_alive;
    request->is_keep_alive = is_persistent && !parse->has_close && !request->has_body;
    return HTTP_REFUSAL_NONE;
}

static enum http_refusal_reason parse_fields(const struct http_head *head, struct parse *parse)
{
    llhttp_t llhttp;
    llhttp_init(&llhttp, HTTP_REQUEST, &callbacks);
    llhttp.data = parse;
    llhttp_errno_t error = feed(&llhttp, head);
    if (parse->reason != HTTP_REFUSAL_NONE) {
        return parse->reason;
    }
    return error == HPE_PAUSED ? settle(parse) : reason_of(error, parse);
}

static ssize_t
refuse(struct span in, enum http_refusal_reason reason, struct http_refusal *ret_refusal)
{
    while (in.bytes > 0 && (in.ptr[0] == '\r' || in.ptr[0] == '\n')) {
        in = span_skip(in, 1);
    }
    *ret_refusal = (struct http_refusal){
        .reason = reason,
        .status = http_refusal_status(reason),
        .word = http_refusal_word(reason),
        .is_head = in.bytes >= 5 && memcmp(in.ptr, "HEAD ", 5) == 0,
    };
    return -EBADMSG;
}

ssize_t http_parse_request(struct span in,
                           struct http_request *ret_request,
                           struct http_refusal *ret_refusal)
{
    struct http_head head;
    enum http_refusal_reason reason;
    ssize_t head_bytes = http_head_scan(in, &head, &reason);
    if (head_bytes == 0) {
        return 0;
    }
    if (head_bytes < 0) {
        return refuse(in, reason, ret_refusal);
    }

    struct parse parse = {
        .request =
            {
                .method = head.method,
                .line = head.line,
                .method_name = head.method_name,
                .target = head.target,
                .path = head.path,
                .host = head.authority,
                .version_minor = head.version_minor,
                .is_asterisk = head.method == HTTP_METHOD_OPTIONS && head.target.ptr[0] == '*',
            },
        .has_authority = head.authority.ptr != NULL,
    };
    reason = parse_fields(&head, &parse);
    if (reason != HTTP_REFUSAL_NONE) {
        return refuse(in, reason, ret_refusal);
    }
    *ret_request = parse.request;
    return head_bytes;
}
