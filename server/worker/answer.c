#include "server/worker/answer.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "server/base/check.h"
#include "server/http/request.h"
#include "server/http/target.h"
#include "server/serve/plan.h"
#include "server/worker/access_line.h"
#include "server/worker/rotation.h"
#include "server/worker/worker_state.h"

/* How often the loader is asked for one request: the table may turn between answer and look-up. */
#define LOAD_RETRIES_MAX 16

/* A 503 asks to come back after this long. */
#define RETRY_AFTER_SECONDS 1

/* Room for the largest page: a redirect with a long path and query. */
#define REDIRECT_ROOM_MIN (HTTP_PAGE_MAX + 2 * HTTP_ENCODED_PATH_MAX + 2 * HTTP_TARGET_MAX)
static_assert(REDIRECT_ROOM_MIN < CONN_OUTPUT_BYTES, "a page fits a buffer");

static size_t room_bytes(const struct conn *conn)
{
    return CONN_OUTPUT_BYTES - conn->output_end;
}

static char *output_front(struct conn *conn)
{
    return (char *)conn->output + conn->output_end;
}

static struct span date_line(const struct worker *worker)
{
    return span_of(worker->date_line, sizeof(worker->date_line));
}

static void ensure_output(struct worker *worker, struct conn *conn)
{
    if (conn->output == NULL) {
        conn->output = buffer_pool_take(&worker->buffers);
    }
}

static void count_response(struct worker *worker, uint32_t status)
{
    struct worker_counters *counters = &worker->counters;
    _Atomic uint64_t *const classes[] = {&counters->responses_2xx, &counters->responses_3xx,
                                         &counters->responses_4xx, &counters->responses_5xx};
    counter_add(classes[status / 100 - 2], 1);
}

/* What follows the head in a whole answer: a page, or nothing. */
static size_t page_bytes(const char *answer, size_t bytes)
{
    const char *end = memmem(answer, bytes, "\r\n\r\n", 4);
    ASSERT(end != NULL);
    return bytes - (size_t)(end + 4 - answer);
}

/* A page goes whole into the output buffer. `request` is NULL when there was none to parse. */
static enum answer_result write_page(struct worker *worker,
                                     struct conn *conn,
                                     const struct http_request *request,
                                     struct http_page *page)
{
    page->date_line = date_line(worker);
    size_t bytes = http_page_write(output_front(conn), room_bytes(conn), page);
    ASSERT(bytes > 0); /* answer_request() has seen to the room */
    count_response(worker, page->status);
    access_line_write(worker, conn, request, page->status, page_bytes(output_front(conn), bytes));
    conn->output_end += (uint32_t)bytes;
    return ANSWER_WHOLE;
}

/* HTTP/1.0 without keep-alive closes, and the head need not say so. */
static enum http_connection
connection_of(const struct worker *worker, struct conn *conn, const struct http_request *request)
{
    conn->answer.is_last = !request->is_keep_alive || worker->is_draining;
    return http_connection_of(request, conn->answer.is_last);
}

static enum answer_result answer_page(struct worker *worker,
                                      struct conn *conn,
                                      const struct http_request *request,
                                      const struct http_target *target,
                                      uint32_t status)
{
    struct http_page page = {
        .status = status,
        .is_head = request->method == HTTP_METHOD_HEAD,
        .connection = connection_of(worker, conn, request),
        .retry_after_seconds = status == 503 ? RETRY_AFTER_SECONDS : 0,
    };
    char location[PATH_KEY_MAX + 2];
    if (status == 301) { /* a directory asked for without its slash */
        memcpy(location, target->key.ptr, target->key.bytes);
        location[target->key.bytes] = '/';
        page.location_key = span_of(location, target->key.bytes + 1);
        page.location_query = target->query;
    }
    return write_page(worker, conn, request, &page);
}

void answer_refusal(struct worker *worker, struct conn *conn, const struct http_refusal *refusal)
{
    ensure_output(worker, conn);
    struct http_page page = {
        .status = refusal->status,
        .is_head = refusal->is_head,
        .connection = HTTP_CONNECTION_CLOSE,
    };
    conn->answer.is_last = true;
    (void)write_page(worker, conn, NULL, &page); /* always whole */
}

void answer_status(struct worker *worker, struct conn *conn, uint32_t status)
{
    ensure_output(worker, conn);
    struct http_page page = {.status = status, .connection = HTTP_CONNECTION_CLOSE};
    conn->answer.is_last = true;
    (void)write_page(worker, conn, NULL, &page); /* always whole */
}

/*
 * Law L6, while a change is signalled that has not been taken in: the path must still lead to this
 * very state of this very file.
 */
static bool is_confirmed(struct worker *worker, const struct version *version)
{
    counter_add(&worker->counters.confirms, 1);
    struct stat status;
    if (stat(version->file_path, &status) != 0) {
        return false;
    }
    struct file_identity now = {
        .device = status.st_dev,
        .inode = status.st_ino,
        .size_bytes = (uint64_t)status.st_size,
        .mtime_ns = status.st_mtim.tv_sec * (int64_t)NS_PER_SEC + status.st_mtim.tv_nsec,
        .ctime_ns = status.st_ctim.tv_sec * (int64_t)NS_PER_SEC + status.st_ctim.tv_nsec,
    };
    return file_identity_equal(&now, &version->identity);
}

/*
 * Parks the connection until the loader answers for `key`. An answer to a question put before this
 * request was received may be older than the request: then it is only believed when it can be
 * confirmed. A question put again is younger than the request, whoever puts it.
 */
static enum answer_result park(struct worker *worker,
                               struct conn *conn,
                               const struct http_request *request,
                               const struct http_target *target)
{
    if (conn->output_end > 0) {
        return ANSWER_NO_ROOM; /* what was answered before goes out first, without waiting */
    }
    const bool is_pending = miss_list_find(&worker->misses, target->key) != NULL;
    struct miss *miss = rotation_ask(worker, target->key);
    if (miss == NULL) {
        counter_add(&worker->counters.misses_full, 1);
        conn->retries = 0;
        conn->is_joined = false;
        return answer_page(worker, conn, request, target, 503);
    }
    conn->is_joined = conn->retries++ == 0 && is_pending;
    uint32_t index = (uint32_t)(conn - worker->conns);
    conn->miss_index = (uint32_t)(miss - worker->misses.misses);
    conn->prev_parked = CONN_NONE;
    conn->next_parked = miss->first_parked;
    if (miss->first_parked != CONN_NONE) {
        worker->conns[miss->first_parked].prev_parked = index;
    }
    miss->first_parked = index;
    return ANSWER_PARKED;
}

/* Where a body comes from: memory first, then sendfile(2) for large ones, then reads. */
static enum body_source choose_source(struct worker *worker,
                                      const struct version *version,
                                      uint32_t slot_index,
                                      uint64_t body_bytes)
{
    struct worker_counters *counters = &worker->counters;
    if (version->body != NULL) {
        counter_add(&counters->bodies_memory, 1);
        return BODY_MEMORY;
    }
    uint64_t sendfile_bytes = worker->config.settings->sendfile_bytes;
    if (sendfile_bytes > 0 && body_bytes >= sendfile_bytes) {
        counter_add(&counters->bodies_sendfile, 1);
        return BODY_SENDFILE;
    }
    bool is_slot = slot_table_is_installed(worker->table, slot_index);
    counter_add(is_slot ? &counters->bodies_slot : &counters->bodies_plain, 1);
    return BODY_FILE;
}

static enum answer_result answer_file(struct worker *worker,
                                      struct conn *conn,
                                      const struct http_request *request,
                                      uint32_t slot_index)
{
    const struct version *version = slot_table_version(worker->table, slot_index);
    enum http_connection connection = connection_of(worker, conn, request);
    struct plan plan = plan_write(request, version, connection, date_line(worker),
                                  worker->date_seconds, output_front(conn), room_bytes(conn));
    count_response(worker, plan.status);
    uint64_t body_bytes = plan.end_offset - plan.start_offset;
    if (body_bytes == 0) {
        access_line_write(worker, conn, request, plan.status,
                          page_bytes(output_front(conn), plan.head_bytes));
        conn->output_end += plan.head_bytes;
        return ANSWER_WHOLE;
    }
    conn->output_end += plan.head_bytes;
    enum body_source source = choose_source(worker, version, slot_index, body_bytes);
    if (source == BODY_MEMORY && body_bytes <= BODY_COPY_MAX && body_bytes <= room_bytes(conn)) {
        memcpy(output_front(conn), version->body + plan.start_offset, body_bytes);
        conn->output_end += (uint32_t)body_bytes;
        access_line_write(worker, conn, request, plan.status, body_bytes);
        return ANSWER_WHOLE;
    }
    slot_table_acquire(worker->table, slot_index);
    conn->answer.source = source;
    conn->answer.slot_index = slot_index;
    conn->answer.offset = plan.start_offset;
    conn->answer.end_offset = plan.end_offset;
    conn->answer.is_whole = body_bytes == version->identity.size_bytes;
    conn->answer.gate_begun =
        atomic_load_explicit(&worker->config.freshness->begun, memory_order_relaxed);
    access_line_begin(worker, conn, request, plan.status);
    return ANSWER_BODY;
}

/* Whether the loader's answer, or what the map holds by now, is as young as the request (L6). */
static bool is_answer_fresh(struct worker *worker,
                            const struct conn *conn,
                            uint32_t status,
                            uint32_t slot_index)
{
    if (status != 200) {
        return !conn->is_joined;
    }
    if (slot_index == SLOT_NONE) {
        return false; /* evicted again before we came to it */
    }
    return !conn->is_joined || !worker->is_suspect ||
           is_confirmed(worker, slot_table_version(worker->table, slot_index));
}

/* The loader has answered for this request: its verdict, or the map, which it has filled. */
static enum answer_result answer_loaded(struct worker *worker,
                                        struct conn *conn,
                                        const struct http_request *request,
                                        const struct http_target *target,
                                        uint32_t status)
{
    conn->loaded_status = 0;
    uint32_t slot_index = status == 200 ? slot_table_find(worker->table, target->key) : SLOT_NONE;
    if (!is_answer_fresh(worker, conn, status, slot_index)) {
        if (conn->retries <= LOAD_RETRIES_MAX) {
            return park(worker, conn, request, target);
        }
        status = 503;
    }
    conn->retries = 0;
    conn->is_joined = false;
    return status == 200 ? answer_file(worker, conn, request, slot_index)
                         : answer_page(worker, conn, request, target, status);
}

enum answer_result
answer_request(struct worker *worker, struct conn *conn, const struct http_request *request)
{
    ensure_output(worker, conn);
    if (conn->output_end > 0 && room_bytes(conn) < REDIRECT_ROOM_MIN) {
        return ANSWER_NO_ROOM;
    }
    struct http_target target = {0};
    if (request->method != HTTP_METHOD_GET && request->method != HTTP_METHOD_HEAD) {
        return answer_page(worker, conn, request, &target, 405);
    }
    char key[HTTP_PATH_MAX + 1];
    uint32_t status = http_target_decode(request->path, key, sizeof(key), &target);
    if (status == 0 && target.key.bytes > PATH_KEY_MAX) {
        status = 414;
    }
    if (status == 0 && target.is_hidden) {
        status = 404;
    }
    if (status != 0) {
        return answer_page(worker, conn, request, &target, status);
    }
    if (conn->loaded_status != 0) {
        return answer_loaded(worker, conn, request, &target, conn->loaded_status);
    }
    uint32_t slot_index = slot_table_find(worker->table, target.key);
    if (slot_index == SLOT_NONE ||
        (worker->is_suspect &&
         !is_confirmed(worker, slot_table_version(worker->table, slot_index)))) {
        return park(worker, conn, request, &target);
    }
    return answer_file(worker, conn, request, slot_index);
}
