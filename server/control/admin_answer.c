#include "server/control/admin_answer.h"

#include <stdlib.h>
#include <string.h>

#include "server/http/response.h"
#include "server/http/status.h"

#define TEXT_CONTENT_TYPE "text/plain; charset=utf-8"

/* What is said of the body in the head. */
struct body {
    uint32_t status;
    const char *content_type;
    const char *text; /* NULL: there was no memory for it */
    size_t bytes;
};

/* Closes a memory stream. False: it is not whole, for want of memory. */
static bool stream_close(FILE *stream)
{
    bool has_failed = ferror(stream) != 0;
    return fclose(stream) == 0 && !has_failed;
}

static void head_write(const struct admin_config *config, const struct body *body, FILE *out)
{
    char date_line[HTTP_DATE_LINE_BYTES];
    http_date_line_write(clock_wall_seconds(config->clock), date_line);
    (void)fprintf(out,
                  "HTTP/1.1 %u %s\r\n"
                  "Content-Type: %s\r\n"
                  "Content-Length: %zu\r\n"
                  "Cache-Control: no-store\r\n"
                  "%s"
                  "%.*s"
                  "Connection: close\r\n"
                  "\r\n",
                  body->status, http_status_reason(body->status), body->content_type, body->bytes,
                  body->status == 405 ? "Allow: GET, HEAD\r\n" : "", (int)sizeof(date_line),
                  date_line);
}

static struct admin_answer
answer_make(const struct admin_config *config, const struct body *body, bool is_head)
{
    struct admin_answer answer = {0};
    FILE *out = body->text == NULL ? NULL : open_memstream(&answer.text, &answer.bytes);
    if (out == NULL) {
        return (struct admin_answer){0};
    }
    head_write(config, body, out);
    if (!is_head) {
        (void)fwrite(body->text, 1, body->bytes, out); /* stream_close() finds out */
    }
    if (!stream_close(out)) {
        free(answer.text);
        return (struct admin_answer){0};
    }
    return answer;
}

struct admin_answer
admin_answer_error(const struct admin_config *config, uint32_t status, bool is_head)
{
    char text[128];
    int bytes = snprintf(text, sizeof(text), "%u %s\n", status, http_status_reason(status));
    struct body body = {
        .status = status,
        .content_type = TEXT_CONTENT_TYPE,
        .text = text,
        .bytes = (size_t)bytes,
    };
    return answer_make(config, &body, is_head);
}

static struct admin_answer
answer_page(const struct admin_config *config, const struct admin_page *page, bool is_head)
{
    struct body body = {.content_type = page->content_type};
    char *text = NULL;
    FILE *out = open_memstream(&text, &body.bytes);
    if (out == NULL) {
        return (struct admin_answer){0};
    }
    body.status = page->render(config->context, out);
    if (stream_close(out)) {
        body.text = text;
    }
    struct admin_answer answer = answer_make(config, &body, is_head);
    free(text);
    return answer;
}

static const struct admin_page *page_find(const struct admin_config *config, struct span target)
{
    if (target.bytes == 0) {
        return NULL;
    }
    const uint8_t *query = memchr(target.ptr, '?', target.bytes);
    struct span path =
        span_of(target.ptr, query == NULL ? target.bytes : (size_t)(query - target.ptr));
    for (uint32_t i = 0; i < config->page_count; i++) {
        if (span_equal(path, span_of_string(config->pages[i].path))) {
            return &config->pages[i];
        }
    }
    return NULL;
}

struct admin_answer admin_answer_request(const struct admin_config *config,
                                         const struct http_request *request)
{
    bool is_head = request->method == HTTP_METHOD_HEAD;
    if (request->method != HTTP_METHOD_GET && !is_head) {
        return admin_answer_error(config, 405, false);
    }
    const struct admin_page *page = page_find(config, request->path);
    if (page == NULL) {
        return admin_answer_error(config, 404, is_head);
    }
    return answer_page(config, page, is_head);
}
