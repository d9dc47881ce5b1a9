#include "server/worker/sender.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/worker/worker_state.h"

/* cachestat(2), Linux 6.5: which pages of a range are in the page cache. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* How long a file counts as in the page cache after it was found there. */
#define RESIDENT_NS NS_PER_SEC

struct cachestat_range {
    uint64_t offset;
    uint64_t bytes;
};

struct cachestat_result {
    uint64_t cached_pages;
    uint64_t other[4];
};

static struct engine_token token_of(const struct worker *worker, const struct conn *conn)
{
    return (struct engine_token){
        .index = (uint32_t)(conn - worker->conns),
        .generation = conn->generation,
    };
}

static const struct version *version_of(const struct worker *worker, const struct conn *conn)
{
    return slot_table_version(worker->table, conn->answer.slot_index);
}

static void set_corked(const struct conn *conn, int is_corked)
{
    /* Fails on a unix socket, which has no segments to hold back. */
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_CORK, &is_corked, sizeof(is_corked));
}

/*
 * While bodies go by sendfile(2) the socket does not block, and is corked: the last segment of an
 * answer stays behind until the file was found unchanged (law L7), and heads join their bodies.
 */
static void set_nonblocking(struct conn *conn)
{
    if (!conn->is_nonblocking) {
        ASSERT(fcntl(conn->fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
        set_corked(conn, 1);
        conn->is_nonblocking = true;
    }
}

void sender_set_blocking(struct conn *conn)
{
    if (conn->is_nonblocking) {
        ASSERT(fcntl(conn->fd, F_SETFL, O_RDWR) == 0);
        set_corked(conn, 0);
        conn->is_nonblocking = false;
    }
}

/* Lets the held-back end of an answer go: setting it pushes what is queued, cork or not. */
static void push_last_segment(const struct conn *conn)
{
    const int on = 1;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* unix: nothing held */
}

static enum send_progress start_send_output(struct worker *worker, struct conn *conn, bool has_more)
{
    sender_set_blocking(conn);
    engine_start_send(worker->engine, token_of(worker, conn), conn->fd, conn->output,
                      conn->output_end, has_more);
    conn->is_sending = true;
    return SEND_PENDING;
}

static enum send_progress start_send_memory(struct worker *worker, struct conn *conn)
{
    const struct answer *answer = &conn->answer;
    const uint8_t *body = version_of(worker, conn)->body + answer->offset;
    conn->pieces[0] = (struct iovec){.iov_base = conn->output, .iov_len = conn->output_end};
    conn->pieces[1] = (struct iovec){
        .iov_base = (void *)(uintptr_t)body, /* sendmsg(2) only reads it */
        .iov_len = answer->end_offset - answer->offset,
    };
    conn->message = (struct msghdr){.msg_iov = conn->pieces, .msg_iovlen = 2};
    sender_set_blocking(conn);
    engine_start_send_message(worker->engine, token_of(worker, conn), conn->fd, &conn->message,
                              false);
    conn->is_sending = true;
    return SEND_PENDING;
}

/* Reads the body's next bytes behind what is already in the output buffer. */
static enum send_progress start_read_body(struct worker *worker, struct conn *conn)
{
    struct answer *answer = &conn->answer;
    uint64_t left_bytes = answer->end_offset - answer->offset;
    uint32_t room_bytes = CONN_OUTPUT_BYTES - conn->output_end;
    uint32_t bytes = left_bytes < room_bytes ? (uint32_t)left_bytes : room_bytes;
    struct engine_file file = {
        .is_slot = slot_table_is_installed(worker->table, answer->slot_index),
        .number = answer->slot_index,
    };
    if (!file.is_slot) {
        file.number = (uint32_t)version_of(worker, conn)->fd;
    }
    engine_start_read(worker->engine, token_of(worker, conn), file, conn->output + conn->output_end,
                      bytes, answer->offset);
    conn->is_reading = true;
    return SEND_PENDING;
}

/*
 * Law L7: did the file change in place since the answer began? Size and mtime tell; ctime alone
 * does not, since replacing or removing the file moves it too and the old bytes are still right.
 * Asked of the file only if the watch spoke meanwhile.
 */
static bool is_file_changed(const struct worker *worker, const struct conn *conn, bool is_suspect)
{
    const struct freshness_gate *gate = worker->config.freshness;
    uint64_t begun = atomic_load_explicit(&gate->begun, memory_order_relaxed);
    if (!is_suspect && begun == conn->answer.gate_begun) {
        return false;
    }
    const struct version *version = version_of(worker, conn);
    struct stat status;
    if (fstat(version->fd, &status) != 0) {
        return true; /* cannot tell: do not vouch for it */
    }
    int64_t mtime_ns = status.st_mtim.tv_sec * (int64_t)NS_PER_SEC + status.st_mtim.tv_nsec;
    return (uint64_t)status.st_size != version->identity.size_bytes ||
           mtime_ns != version->identity.mtime_ns;
}

static enum send_progress start_poll(struct worker *worker, struct conn *conn)
{
    engine_start_poll(worker->engine, token_of(worker, conn), conn->fd, POLLOUT);
    conn->is_polling = true;
    return SEND_PENDING;
}

/*
 * Whether a range is in the page cache, so that sendfile(2) will not sleep on the disk: some 30 ns
 * a page. Before Linux 6.5 the first and the last byte stand for the range.
 */
static bool is_range_resident(int fd, uint64_t offset, uint64_t bytes)
{
    const uint64_t page_bytes = 4096;
    struct cachestat_range range = {.offset = offset, .bytes = bytes};
    struct cachestat_result result = {0};
    if (syscall(SYS_cachestat, fd, &range, &result, 0) == 0) {
        uint64_t pages = (offset + bytes - 1) / page_bytes - offset / page_bytes + 1;
        return result.cached_pages >= pages;
    }
    uint8_t byte;
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    return preadv2(fd, &piece, 1, (off_t)offset, RWF_NOWAIT) == 1 &&
           preadv2(fd, &piece, 1, (off_t)(offset + bytes - 1), RWF_NOWAIT) == 1;
}

/* A file that was just sent whole from the cache is hot: it is not looked at again for a second. */
static bool is_resident(const struct worker *worker, const struct conn *conn, uint64_t bytes)
{
    const struct version *version = version_of(worker, conn);
    const struct residency *known = &worker->residencies[conn->answer.slot_index];
    return (known->version == version && worker->now_ns < known->until_ns) ||
           is_range_resident(version->fd, conn->answer.offset, bytes);
}

static void note_resident(struct worker *worker, const struct conn *conn)
{
    const struct version *version = version_of(worker, conn);
    struct residency *known = &worker->residencies[conn->answer.slot_index];
    bool is_known = known->version == version && worker->now_ns < known->until_ns;
    if (!is_known && conn->answer.is_whole && !conn->answer.was_cold) {
        *known = (struct residency){version, worker->now_ns + RESIDENT_NS};
    }
}

static enum send_progress send_error(int error_number)
{
    bool is_file_error = error_number == EIO || error_number == EINVAL || error_number == ENOMEM;
    return is_file_error ? SEND_UNREADABLE : SEND_FAILED;
}

/* Sends what is left of the head at once. */
static enum send_progress push_head(struct conn *conn, uint64_t *ret_sent)
{
    if (conn->output_end == 0) {
        return SEND_DONE;
    }
    ssize_t sent = send(conn->fd, conn->output, conn->output_end, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR ? SEND_PENDING : SEND_FAILED;
    }
    *ret_sent = (uint64_t)sent;
    conn->output_end -= (uint32_t)sent;
    memmove(conn->output, conn->output + sent, conn->output_end);
    return conn->output_end == 0 ? SEND_DONE : SEND_PENDING;
}

/* One piece by sendfile(2), or a read when its pages have to come from the disk first. */
static enum send_progress send_file_piece(struct worker *worker, struct conn *conn)
{
    struct answer *answer = &conn->answer;
    set_nonblocking(conn);
    uint64_t head_sent = 0;
    enum send_progress head = push_head(conn, &head_sent);
    counter_add(&worker->counters.bytes_sent, head_sent);
    if (head != SEND_DONE) {
        return head == SEND_PENDING ? start_poll(worker, conn) : head;
    }

    const struct version *version = version_of(worker, conn);
    uint64_t left_bytes = answer->end_offset - answer->offset;
    uint64_t bytes = left_bytes < SENDFILE_PIECE_BYTES ? left_bytes : SENDFILE_PIECE_BYTES;
    if (!is_resident(worker, conn, bytes)) {
        answer->was_cold = true;
        return start_read_body(worker, conn);
    }
    off_t offset = (off_t)answer->offset;
    int fault = FAULT("sendfile");
    errno = fault;
    ssize_t sent = fault != 0 ? -1 : sendfile(conn->fd, version->fd, &offset, bytes);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR ? start_poll(worker, conn) : send_error(errno);
    }
    if (sent == 0) {
        return SEND_CHANGED; /* the file ends before the length that the head promised */
    }
    counter_add(&worker->counters.bytes_sent, (uint64_t)sent);
    answer->offset += (uint64_t)sent;
    answer->body_bytes_sent += (uint64_t)sent;
    if (answer->offset < answer->end_offset) {
        return start_poll(worker, conn);
    }
    note_resident(worker, conn);
    bool is_suspect = freshness_is_suspect(worker->config.freshness);
    if (is_file_changed(worker, conn, is_suspect)) {
        return SEND_CHANGED;
    }
    push_last_segment(conn);
    return SEND_DONE;
}

enum send_progress sender_start(struct worker *worker, struct conn *conn)
{
    struct answer *answer = &conn->answer;
    answer->head_bytes = conn->output_end;
    switch (answer->source) {
    case BODY_NONE:
        return start_send_output(worker, conn, false);
    case BODY_MEMORY:
        return start_send_memory(worker, conn);
    case BODY_FILE:
        return start_read_body(worker, conn);
    case BODY_SENDFILE:
        answer->head_bytes = 0; /* the head goes ahead by itself */
        return send_file_piece(worker, conn);
    }
    ASSERT(false);
    return SEND_FAILED;
}

enum send_progress sender_on_read(struct worker *worker, struct conn *conn, int32_t result)
{
    struct answer *answer = &conn->answer;
    conn->is_reading = false;
    if (result == -EAGAIN || result == -EINTR) {
        return start_read_body(worker, conn);
    }
    if (result < 0) {
        return SEND_UNREADABLE;
    }
    if (result == 0) {
        return SEND_CHANGED; /* the file ends before the length that the head promised */
    }
    answer->offset += (uint64_t)result;
    conn->output_end += (uint32_t)result;
    bool is_last = answer->offset == answer->end_offset;
    if (is_last && is_file_changed(worker, conn, worker->is_suspect)) {
        return SEND_CHANGED; /* before its last bytes leave */
    }
    return start_send_output(worker, conn, !is_last);
}

enum send_progress sender_on_send(struct worker *worker, struct conn *conn, int32_t result)
{
    struct answer *answer = &conn->answer;
    conn->is_sending = false;
    if (result < 0) {
        return SEND_FAILED;
    }
    uint64_t expected_bytes = conn->output_end;
    if (answer->source == BODY_MEMORY) {
        expected_bytes += answer->end_offset - answer->offset;
    }
    counter_add(&worker->counters.bytes_sent, (uint64_t)result);
    if ((uint32_t)result > answer->head_bytes) {
        answer->body_bytes_sent += (uint32_t)result - answer->head_bytes;
    }
    answer->head_bytes = 0;
    if ((uint64_t)result < expected_bytes) {
        return SEND_FAILED; /* the kernel sends all, or the peer is gone */
    }
    conn->output_end = 0;
    switch (answer->source) {
    case BODY_NONE:
    case BODY_MEMORY:
        return SEND_DONE;
    case BODY_FILE:
    case BODY_SENDFILE:
        break;
    }
    if (answer->offset == answer->end_offset) {
        return SEND_DONE;
    }
    return answer->source == BODY_FILE ? start_read_body(worker, conn)
                                       : send_file_piece(worker, conn);
}

enum send_progress sender_on_poll(struct worker *worker, struct conn *conn, int32_t result)
{
    conn->is_polling = false;
    if (result < 0 || (result & (POLLERR | POLLHUP)) != 0) {
        return SEND_FAILED;
    }
    return send_file_piece(worker, conn);
}
