#include "server/http/response.h"

#include "server/base/check.h"
#include "server/http/etag.h"
#include "server/http/status.h"
#include "server/http/writer.h"

#define PUT(writer, literal) http_writer_put((writer), SPAN(literal))

/* A page is these with the status and a sentence between them. It follows the reader's light or
 * dark. */
#define PAGE_START                                                                                 \
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"                              \
    "<meta name=\"viewport\" content=\"width=device-width\">\n"                                    \
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>"
#define PAGE_HEADING                                                                               \
    "</title>\n<style>body{font:1em/1.6 system-ui,sans-serif;max-width:34em;margin:18vh auto;"     \
    "padding:0 1.5em}h1{font-size:1.6em;font-weight:600}p{opacity:.75}</style>\n<h1>"
#define PAGE_SENTENCE "</h1>\n<p>"
#define PAGE_END      "</p>\n"

static_assert(HTTP_ANSWER_HEAD_MAX >= 330 + HTTP_MIME_BYTES_MAX + HTTP_ETAG_MAX,
              "a 206, the longest of the heads, with three numbers of 20 digits");

enum http_connection http_connection_of(const struct http_request *request, bool is_closing)
{
    if (is_closing || !request->is_keep_alive) {
        return HTTP_CONNECTION_CLOSE;
    }
    return request->version_minor == 0 ? HTTP_CONNECTION_KEEP_ALIVE : HTTP_CONNECTION_IMPLIED;
}

static void put_validators(struct http_writer *writer, const struct http_validators *validators)
{
    char date[HTTP_DATE_BYTES + 1];
    http_date_format(validators->last_modified_seconds, date);
    PUT(writer, "Last-Modified: ");
    http_writer_put(writer, span_of(date, HTTP_DATE_BYTES));
    PUT(writer, "\r\nETag: ");
    http_writer_put(writer, validators->etag);
    PUT(writer, "\r\n");
}

/* What a 200 and a 206 have in common behind their status lines. */
static void put_representation(struct http_writer *writer,
                               const struct http_representation *representation,
                               uint64_t content_bytes)
{
    PUT(writer, "Server: turntable\r\nContent-Type: ");
    http_writer_put(writer, representation->content_type);
    PUT(writer, "\r\nContent-Length: ");
    http_writer_put_number(writer, content_bytes);
    PUT(writer, "\r\n");
    put_validators(writer, &representation->validators);
    PUT(writer, "Accept-Ranges: bytes\r\n");
}

size_t http_version_head_write(char *buffer,
                               size_t buffer_bytes,
                               const struct http_representation *representation)
{
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = buffer_bytes};
    PUT(&writer, "HTTP/1.1 200 OK\r\n");
    put_representation(&writer, representation, representation->size_bytes);
    return http_writer_finish(&writer);
}

size_t http_not_modified_head_write(char *buffer,
                                    size_t buffer_bytes,
                                    const struct http_representation *representation)
{
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = buffer_bytes};
    PUT(&writer, "HTTP/1.1 304 Not Modified\r\nServer: turntable\r\n");
    put_validators(&writer, &representation->validators);
    return http_writer_finish(&writer);
}

size_t http_partial_head_write(char *buffer,
                               size_t buffer_bytes,
                               const struct http_representation *representation,
                               const struct http_range *range)
{
    ASSERT(range->start_offset < range->end_offset);
    ASSERT(range->end_offset <= representation->size_bytes);
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = buffer_bytes};
    PUT(&writer, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes ");
    http_writer_put_number(&writer, range->start_offset);
    PUT(&writer, "-");
    http_writer_put_number(&writer, range->end_offset - 1);
    PUT(&writer, "/");
    http_writer_put_number(&writer, representation->size_bytes);
    PUT(&writer, "\r\n");
    put_representation(&writer, representation, range->end_offset - range->start_offset);
    return http_writer_finish(&writer);
}

void http_date_line_write(int64_t now_seconds, char out[static HTTP_DATE_LINE_BYTES])
{
    char date[HTTP_DATE_BYTES + 1];
    http_date_format(now_seconds, date);
    struct http_writer writer = {.buffer = out, .capacity_bytes = HTTP_DATE_LINE_BYTES};
    PUT(&writer, "Date: ");
    http_writer_put(&writer, span_of(date, HTTP_DATE_BYTES));
    PUT(&writer, "\r\n");
    ASSERT(http_writer_finish(&writer) == HTTP_DATE_LINE_BYTES);
}

static void
put_tail(struct http_writer *writer, struct span date_line, enum http_connection connection)
{
    http_writer_put(writer, date_line);
    switch (connection) {
    case HTTP_CONNECTION_IMPLIED:
        break;
    case HTTP_CONNECTION_KEEP_ALIVE:
        PUT(writer, "Connection: keep-alive\r\n");
        break;
    case HTTP_CONNECTION_CLOSE:
        PUT(writer, "Connection: close\r\n");
        break;
    }
    PUT(writer, "\r\n");
}

size_t http_tail_write(struct span date_line,
                       enum http_connection connection,
                       char out[static HTTP_TAIL_MAX])
{
    ASSERT(date_line.bytes == HTTP_DATE_LINE_BYTES);
    struct http_writer writer = {.buffer = out, .capacity_bytes = HTTP_TAIL_MAX};
    put_tail(&writer, date_line, connection);
    size_t bytes = http_writer_finish(&writer);
    ASSERT(bytes > 0);
    return bytes;
}

/* Relative (RFC 9110 10.2.2): behind a balancer only the client knows scheme and host. */
static void put_location(struct http_writer *writer, const struct http_page *page)
{
    PUT(writer, "Location: ");
    size_t path_bytes = http_target_encode_path(page->location_key, writer->buffer + writer->bytes,
                                                writer->capacity_bytes - writer->bytes);
    if (path_bytes == 0) {
        writer->has_overflowed = true;
        return;
    }
    writer->bytes += path_bytes;
    if (page->location_query.ptr != NULL) {
        PUT(writer, "?");
        http_writer_put(writer, page->location_query);
    }
    PUT(writer, "\r\n");
}

/* The fields that go with one status only. */
static void put_status_fields(struct http_writer *writer, const struct http_page *page)
{
    if (page->status == 301) {
        put_location(writer, page);
    }
    if (page->status == 405) {
        PUT(writer, "Allow: GET, HEAD\r\n"); /* RFC 9110 15.5.6: a must */
    }
    if (page->status == 416) {
        PUT(writer, "Content-Range: bytes */");
        http_writer_put_number(writer, page->size_bytes);
        PUT(writer, "\r\n");
    }
    if (page->status == 503 && page->retry_after_seconds > 0) {
        PUT(writer, "Retry-After: ");
        http_writer_put_number(writer, page->retry_after_seconds);
        PUT(writer, "\r\n");
    }
}

static void put_status(struct http_writer *writer, const struct http_page *page)
{
    http_writer_put_number(writer, page->status);
    PUT(writer, " ");
    http_writer_put(writer, span_of_string(http_status_reason(page->status)));
}

static size_t body_bytes(const struct http_page *page)
{
    size_t status_bytes = 4 + strlen(http_status_reason(page->status)); /* "404 Not Found" */
    return sizeof(PAGE_START PAGE_HEADING PAGE_SENTENCE PAGE_END) - 1 + 2 * status_bytes +
           strlen(http_status_sentence(page->status));
}

static void put_body(struct http_writer *writer, const struct http_page *page)
{
    PUT(writer, PAGE_START);
    put_status(writer, page);
    PUT(writer, PAGE_HEADING);
    put_status(writer, page);
    PUT(writer, PAGE_SENTENCE);
    http_writer_put(writer, span_of_string(http_status_sentence(page->status)));
    PUT(writer, PAGE_END);
}

size_t http_page_write(char *buffer, size_t buffer_bytes, const struct http_page *page)
{
    ASSERT(page->status == 301 || page->status >= 400);
    ASSERT(page->date_line.bytes == HTTP_DATE_LINE_BYTES);
    struct http_writer writer = {.buffer = buffer, .capacity_bytes = buffer_bytes};
    PUT(&writer, "HTTP/1.1 ");
    put_status(&writer, page);
    PUT(&writer,
        "\r\nServer: turntable\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: ");
    http_writer_put_number(&writer, body_bytes(page));
    PUT(&writer, "\r\n");
    put_status_fields(&writer, page);
    put_tail(&writer, page->date_line, page->connection);
    if (!page->is_head) {
        put_body(&writer, page);
    }
    return http_writer_finish(&writer);
}
