#include "server/worker/access_line.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "server/http/request.h"
#include "server/worker/worker_state.h"

/* How much of a line each field takes at most, escaped. */
#define REQUEST_LINE_MAX 1536
#define FIELD_MAX        1000
#define ESCAPED_BYTES    4 /* \xHH */

/* Peer, time and status around the request line; quotes and newline around the other fields. */
#define PREFIX_MAX (128 + REQUEST_LINE_MAX)
#define SUFFIX_MAX (8 + 2 * FIELD_MAX)
static_assert(PREFIX_MAX <= ACCESS_LINE_MAX / 2, "a cut request line leaves room for its status");
static_assert(SUFFIX_MAX <= ACCESS_LINE_MAX / 2, "cut fields leave room for their quotes");

/* A line being put together; what does not fit is left out. */
struct line {
    char *text;
    size_t bytes;
    size_t room_bytes;
};

static void add_text(struct line *line, const char *text, size_t bytes)
{
    if (bytes <= line->room_bytes - line->bytes) {
        memcpy(line->text + line->bytes, text, bytes);
        line->bytes += bytes;
    }
}

static void add_escaped(struct line *line, struct span field, size_t escaped_max)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t end = line->bytes + escaped_max;
    for (size_t i = 0; i < field.bytes; i++) {
        uint8_t byte = field.ptr[i];
        bool is_plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
        if (line->bytes + (is_plain ? 1 : ESCAPED_BYTES) > end) {
            return;
        }
        char escaped[ESCAPED_BYTES] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
        add_text(line, is_plain ? (const char *)&byte : escaped, is_plain ? 1 : ESCAPED_BYTES);
    }
}

static void add_field(struct line *line, struct span field)
{
    add_text(line, " \"", 2);
    if (field.bytes == 0) {
        add_text(line, "-", 1);
    } else {
        add_escaped(line, field, FIELD_MAX);
    }
    add_text(line, "\"", 1);
}

/* The peer's address, asked of the kernel once a connection. */
static struct span peer_text(struct conn *conn)
{
    if (conn->peer_text_bytes == 0) {
        struct sockaddr_storage address;
        socklen_t address_bytes = sizeof(address);
        const char *text = NULL;
        if (getpeername(conn->fd, (struct sockaddr *)&address, &address_bytes) == 0) {
            if (address.ss_family == AF_INET) {
                const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)&address;
                text =
                    inet_ntop(AF_INET, &ipv4->sin_addr, conn->peer_text, sizeof(conn->peer_text));
            } else if (address.ss_family == AF_INET6) {
                const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)&address;
                text =
                    inet_ntop(AF_INET6, &ipv6->sin6_addr, conn->peer_text, sizeof(conn->peer_text));
            }
        }
        if (text == NULL) { /* a unix socket, or gone already */
            memcpy(conn->peer_text, "unix:", sizeof("unix:"));
        }
        conn->peer_text_bytes = (uint8_t)strlen(conn->peer_text);
    }
    return span_of(conn->peer_text, conn->peer_text_bytes);
}

/* Everything up to the number of bytes. */
static size_t format_prefix(struct worker *worker,
                            struct conn *conn,
                            const struct http_request *request,
                            uint32_t status,
                            char *text,
                            size_t room_bytes)
{
    struct line line = {.text = text, .room_bytes = room_bytes};
    struct span peer = peer_text(conn);
    add_text(&line, (const char *)peer.ptr, peer.bytes);
    add_text(&line, " - - [", 6);
    add_text(&line, worker->log_time, strlen(worker->log_time));
    add_text(&line, "] \"", 3);
    if (request != NULL) {
        add_escaped(&line, request->line, REQUEST_LINE_MAX);
    }
    char number[24];
    int number_bytes = snprintf(number, sizeof(number), "\" %u ", status);
    add_text(&line, number, (size_t)number_bytes);
    return line.bytes;
}

static size_t format_suffix(const struct http_request *request, char *text, size_t room_bytes)
{
    struct line line = {.text = text, .room_bytes = room_bytes - 1};
    add_field(&line, request == NULL ? (struct span){0} : request->referer);
    add_field(&line, request == NULL ? (struct span){0} : request->user_agent);
    line.text[line.bytes++] = '\n';
    return line.bytes;
}

static void write_line(struct worker *worker,
                       const char *prefix,
                       size_t prefix_bytes,
                       uint64_t body_bytes,
                       const char *suffix,
                       size_t suffix_bytes)
{
    char text[ACCESS_LINE_MAX + 24];
    memcpy(text, prefix, prefix_bytes);
    int number_bytes = snprintf(text + prefix_bytes, 24, "%llu", (unsigned long long)body_bytes);
    size_t bytes = prefix_bytes + (size_t)number_bytes;
    memcpy(text + bytes, suffix, suffix_bytes);
    bytes += suffix_bytes;
    if (!log_ring_write(&worker->log_ring, span_of(text, bytes))) {
        counter_add(&worker->counters.access_log_dropped, 1);
    }
}

void access_line_write(struct worker *worker,
                       struct conn *conn,
                       const struct http_request *request,
                       uint32_t status,
                       uint64_t body_bytes)
{
    if (worker->log_ring.memory == NULL) {
        return;
    }
    char text[ACCESS_LINE_MAX];
    size_t prefix_bytes = format_prefix(worker, conn, request, status, text, sizeof(text) / 2);
    size_t suffix_bytes = format_suffix(request, text + prefix_bytes, sizeof(text) / 2);
    write_line(worker, text, prefix_bytes, body_bytes, text + prefix_bytes, suffix_bytes);
}

void access_line_begin(struct worker *worker,
                       struct conn *conn,
                       const struct http_request *request,
                       uint32_t status)
{
    if (worker->log_ring.memory == NULL) {
        return;
    }
    char *text = (char *)conn->output + CONN_OUTPUT_BYTES;
    size_t prefix_bytes = format_prefix(worker, conn, request, status, text, ACCESS_LINE_MAX / 2);
    conn->log_prefix_bytes = (uint32_t)prefix_bytes;
    conn->log_suffix_bytes =
        (uint32_t)format_suffix(request, text + prefix_bytes, ACCESS_LINE_MAX / 2);
}

void access_line_finish(struct worker *worker, struct conn *conn, uint64_t body_bytes)
{
    if (conn->log_prefix_bytes == 0) {
        return;
    }
    const char *text = (const char *)conn->output + CONN_OUTPUT_BYTES;
    write_line(worker, text, conn->log_prefix_bytes, body_bytes, text + conn->log_prefix_bytes,
               conn->log_suffix_bytes);
    conn->log_prefix_bytes = 0;
    conn->log_suffix_bytes = 0;
}
