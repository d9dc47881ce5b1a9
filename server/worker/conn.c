#include "server/worker/conn.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/http/request.h"
#include "server/worker/access_line.h"
#include "server/worker/answer.h"
#include "server/worker/sender.h"
#include "server/worker/worker_state.h"

static struct engine_token token_of(const struct worker *worker, const struct conn *conn)
{
    return (struct engine_token){
        .index = (uint32_t)(conn - worker->conns),
        .generation = conn->generation,
    };
}

static uint64_t state_timeout_ms(const struct worker *worker, enum conn_state state)
{
    const struct settings *settings = worker->config.settings;
    switch (state) {
    case CONN_WAITING:
    case CONN_IDLE:
        return settings->idle_timeout_ms;
    case CONN_RECEIVING:
        return settings->header_timeout_ms;
    case CONN_PARKED:
    case CONN_SENDING:
        return settings->send_timeout_ms;
    case CONN_LINGERING:
    case CONN_CLOSING:
        return LINGER_TIMEOUT_MS;
    case CONN_FREE:
        break;
    }
    ASSERT(false);
    return 0;
}

/* Whether a connection in this state takes one of the places that the limit allows. */
static bool is_open(enum conn_state state)
{
    return state != CONN_FREE && state != CONN_WAITING && state != CONN_CLOSING;
}

static void set_state(struct worker *worker, struct conn *conn, enum conn_state state)
{
    const int idle_change = (state == CONN_IDLE) - (conn->state == CONN_IDLE);
    worker->idle_count += idle_change;
    worker->giving_count += conn->is_served ? idle_change : 0;
    worker->open_count += is_open(state) - is_open(conn->state);
    conn->state = state;
    if (state != CONN_FREE) {
        conn->deadline_ns = worker->now_ns + state_timeout_ms(worker, state) * NS_PER_MS;
    }
}

static bool is_in_flight(const struct conn *conn)
{
    return conn->is_receiving || conn->is_sending || conn->is_reading || conn->is_polling;
}

static void start_receive(struct worker *worker, struct conn *conn)
{
    if (conn->is_receiving || conn->is_peer_done) {
        return;
    }
    sender_set_blocking(conn);
    engine_start_receive(worker->engine, token_of(worker, conn), conn->fd);
    conn->is_receiving = true;
}

static struct conn *take_place(struct worker *worker)
{
    if (worker->first_free_conn != CONN_NONE) {
        struct conn *conn = &worker->conns[worker->first_free_conn];
        worker->first_free_conn = conn->next_parked;
        return conn;
    }
    return worker->conn_top < worker->place_count ? &worker->conns[worker->conn_top++] : NULL;
}

void conn_open(struct worker *worker, int fd)
{
    counter_add(&worker->counters.connections_accepted, 1);
    struct conn *conn = take_place(worker);
    if (conn == NULL) {
        counter_add(&worker->counters.connections_full, 1);
        engine_close_fd(worker->engine, fd);
        return;
    }
    const uint32_t generation = (conn->generation + 1) & ENGINE_GENERATION_MASK;
    *conn = (struct conn){.fd = fd, .generation = generation, .miss_index = MISS_NONE};
    conn->answer.slot_index = SLOT_NONE;
    worker->conn_count++;
    set_state(worker, conn, CONN_WAITING);
    conn->next_parked = CONN_NONE;
    conn->prev_parked = worker->last_waiting_conn;
    if (worker->first_waiting_conn == CONN_NONE) {
        worker->first_waiting_conn = token_of(worker, conn).index;
    } else {
        worker->conns[worker->last_waiting_conn].next_parked = token_of(worker, conn).index;
    }
    worker->last_waiting_conn = token_of(worker, conn).index;
}

static void leave_waiting(struct worker *worker, struct conn *conn)
{
    const uint32_t index = token_of(worker, conn).index;
    if (worker->first_waiting_conn == index) {
        worker->first_waiting_conn = conn->next_parked;
    } else {
        worker->conns[conn->prev_parked].next_parked = conn->next_parked;
    }
    if (worker->last_waiting_conn == index) {
        worker->last_waiting_conn = conn->prev_parked;
    } else {
        worker->conns[conn->next_parked].prev_parked = conn->prev_parked;
    }
}

void conn_admit(struct worker *worker, struct conn *conn)
{
    leave_waiting(worker, conn);
    set_state(worker, conn, CONN_IDLE);
    /* Whoever connects and says nothing has no more time than for a request head. */
    const uint64_t first_head_ns =
        worker->now_ns + worker->config.settings->header_timeout_ms * NS_PER_MS;
    conn->deadline_ns = first_head_ns < conn->deadline_ns ? first_head_ns : conn->deadline_ns;
    start_receive(worker, conn);
}

static void give_output(struct worker *worker, struct conn *conn)
{
    if (conn->output != NULL) {
        buffer_pool_give(&worker->buffers, conn->output);
        conn->output = NULL;
    }
    conn->output_end = 0;
}

/* The answer is over, whole or not: its log line, its slot and its buffer go. */
static void end_answer(struct worker *worker, struct conn *conn)
{
    access_line_finish(worker, conn, conn->answer.body_bytes_sent);
    if (conn->answer.slot_index != SLOT_NONE) {
        slot_table_release(worker->table, conn->answer.slot_index);
    }
    conn->answer = (struct answer){.slot_index = SLOT_NONE, .is_last = conn->answer.is_last};
    give_output(worker, conn);
}

static void leave_miss(struct worker *worker, struct conn *conn)
{
    if (conn->miss_index == MISS_NONE) {
        return;
    }
    if (conn->prev_parked == CONN_NONE) {
        worker->misses.misses[conn->miss_index].first_parked = conn->next_parked;
    } else {
        worker->conns[conn->prev_parked].next_parked = conn->next_parked;
    }
    if (conn->next_parked != CONN_NONE) {
        worker->conns[conn->next_parked].prev_parked = conn->prev_parked;
    }
    conn->miss_index = MISS_NONE;
}

/* Memory may go only when the kernel has nothing of it in flight any more. */
static void free_when_quiet(struct worker *worker, struct conn *conn)
{
    if (is_in_flight(conn)) {
        return;
    }
    end_answer(worker, conn);
    input_reset(&conn->input, &worker->input_store);
    engine_close_fd(worker->engine, conn->fd);
    conn->fd = -1;
    set_state(worker, conn, CONN_FREE);
    conn->next_parked = worker->first_free_conn;
    worker->first_free_conn = (uint32_t)(conn - worker->conns);
    worker->conn_count--;
}

/* A read of a file is left to end by itself. */
static void cancel_operations(struct worker *worker, struct conn *conn)
{
    const struct engine_token token = token_of(worker, conn);
    if (conn->is_receiving && !conn->is_pausing) {
        engine_cancel(worker->engine, ENGINE_RECEIVE, token);
        conn->is_pausing = true;
    }
    if (conn->is_sending) {
        engine_cancel(worker->engine, ENGINE_SEND, token);
    }
    if (conn->is_polling) {
        engine_cancel(worker->engine, ENGINE_POLL, token);
    }
}

/* Common to both ends: `is_abort` keeps the FIN back that shutdown(2) would send. */
static void close_conn(struct worker *worker, struct conn *conn, bool is_abort)
{
    ASSERT(conn->state != CONN_FREE);
    if (conn->state == CONN_CLOSING) {
        return;
    }
    leave_miss(worker, conn);
    if (conn->state == CONN_WAITING) {
        leave_waiting(worker, conn);
    }
    set_state(worker, conn, CONN_CLOSING);
    if (is_abort) {
        cancel_operations(worker, conn);
    } else if (is_in_flight(conn)) {
        /* Ends what is in flight: a pending receive would keep the socket open for ever. */
        (void)shutdown(conn->fd, SHUT_RDWR); /* fails only when the peer has reset it already */
    }
    free_when_quiet(worker, conn);
}

void conn_close(struct worker *worker, struct conn *conn)
{
    close_conn(worker, conn, false);
}

void conn_abort(struct worker *worker, struct conn *conn)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    /* Fails on no socket of ours; a unix socket ignores it, and the peer sees a short answer. */
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close_conn(worker, conn, true);
}

/* Says the last word and waits for the peer's, so that a reset does not destroy the answer. */
static void finish(struct worker *worker, struct conn *conn)
{
    input_reset(&conn->input, &worker->input_store);
    if (conn->is_peer_done) {
        conn_close(worker, conn);
        return;
    }
    (void)shutdown(conn->fd, SHUT_WR); /* fails only when the peer is gone; the receive tells */
    set_state(worker, conn, CONN_LINGERING);
    start_receive(worker, conn);
}

/* Keeps `data` behind what is already held. False when there is no room for it: closed, counted. */
static bool hold_input(struct worker *worker, struct conn *conn, struct span data)
{
    if (input_hold(&conn->input, &worker->input_store, data)) {
        return true;
    }
    counter_add(&worker->counters.input_full, 1);
    conn_close(worker, conn);
    return false;
}

static void park(struct worker *worker, struct conn *conn)
{
    set_state(worker, conn, CONN_PARKED); /* answer_request() has put it into the miss's chain */
}

/*
 * Answers the requests at the front of `in` until one of them has to wait, a head is incomplete, or
 * the output is full. Returns the bytes that were consumed; what was written is not sent yet.
 */
static size_t answer_requests(struct worker *worker, struct conn *conn, struct span in)
{
    size_t consumed = 0;
    while (consumed < in.bytes && !conn->answer.is_last) {
        struct http_request request;
        struct http_refusal refusal;
        ssize_t head_bytes = http_parse_request(span_skip(in, consumed), &request, &refusal);
        if (head_bytes == 0) {
            break;
        }
        if (head_bytes < 0) {
            counter_add(&worker->counters.requests, 1);
            answer_refusal(worker, conn, &refusal);
            break;
        }
        enum answer_result result = answer_request(worker, conn, &request);
        if (result == ANSWER_PARKED) {
            park(worker, conn);
            break;
        }
        if (result == ANSWER_NO_ROOM) {
            break;
        }
        counter_add(&worker->counters.requests, 1);
        consumed += (size_t)head_bytes;
        if (result == ANSWER_BODY) {
            break;
        }
    }
    return consumed;
}

/* What follows a step of the sender. True: the answer is over and the connection can go on. */
static bool on_progress(struct worker *worker, struct conn *conn, enum send_progress progress)
{
    switch (progress) {
    case SEND_PENDING:
        return false;
    case SEND_DONE:
        end_answer(worker, conn);
        if (conn->answer.is_last) {
            finish(worker, conn);
            return false;
        }
        conn->is_served = true;
        set_state(worker, conn, CONN_IDLE);
        return true;
    case SEND_FAILED:
        counter_add(&worker->counters.aborted_peer, 1);
        conn_close(worker, conn);
        return false;
    case SEND_CHANGED:
        counter_add(&worker->counters.aborted_changed, 1);
        conn_abort(worker, conn);
        return false;
    case SEND_UNREADABLE:
        counter_add(&worker->counters.aborted_read, 1);
        conn_abort(worker, conn);
        return false;
    }
    ASSERT(false);
    return false;
}

/* No request is under way and none can be completed: waits for more, or for the peer to leave. */
static void await_input(struct worker *worker, struct conn *conn, bool is_input_held)
{
    if (conn->is_peer_done) {
        conn_close(worker, conn); /* an unfinished head will never be finished */
        return;
    }
    if (!is_input_held) {
        input_reset(&conn->input, &worker->input_store);
        if (worker->is_draining) {
            conn_close(worker, conn);
            return;
        }
    } else if (conn->state == CONN_IDLE) {
        set_state(worker, conn, CONN_RECEIVING);
    }
    start_receive(worker, conn);
}

/* Pauses receiving while an answer is under way and more requests are waiting than are useful. */
static void pause_if_flooded(struct worker *worker, struct conn *conn)
{
    if (input_front(&conn->input).bytes > INPUT_PAUSE_BYTES && conn->is_receiving &&
        !conn->is_pausing) {
        engine_cancel(worker->engine, ENGINE_RECEIVE, token_of(worker, conn));
        conn->is_pausing = true;
    }
}

static bool is_ready(const struct conn *conn)
{
    return conn->state == CONN_IDLE || conn->state == CONN_RECEIVING;
}

/*
 * Goes on with the requests that are held and those in `data` (borrowed: what is not consumed is
 * copied), as far as possible without waiting.
 */
static void go_on(struct worker *worker, struct conn *conn, struct span data)
{
    bool is_direct = input_is_empty(&conn->input);
    if (!is_direct && !hold_input(worker, conn, data)) {
        return;
    }
    while (is_ready(conn)) {
        struct span in = is_direct ? data : input_front(&conn->input);
        size_t consumed = answer_requests(worker, conn, in);
        if (is_direct) {
            data = span_skip(data, consumed);
        } else {
            input_consume(&conn->input, &worker->input_store, consumed);
        }
        if (conn->output_end == 0) {
            break; /* incomplete, or parked */
        }
        set_state(worker, conn, CONN_SENDING);
        if (!on_progress(worker, conn, sender_start(worker, conn))) {
            break;
        }
    }
    if (conn->state == CONN_FREE || conn->state == CONN_CLOSING || conn->state == CONN_LINGERING) {
        return;
    }
    if (is_direct && !hold_input(worker, conn, data)) {
        return;
    }
    if (is_ready(conn)) {
        await_input(worker, conn, !input_is_empty(&conn->input));
    } else {
        pause_if_flooded(worker, conn);
    }
}

static void take_data(struct worker *worker, struct conn *conn, struct span data)
{
    if (conn->state == CONN_LINGERING) {
        conn->lingered_bytes += (uint32_t)data.bytes;
        if (conn->lingered_bytes > LINGER_BYTES_MAX) {
            conn_close(worker, conn);
        }
        return;
    }
    if (is_ready(conn)) {
        go_on(worker, conn, data);
        return;
    }
    if (hold_input(worker, conn, data)) {
        pause_if_flooded(worker, conn);
    }
}

/* The peer will send no more; answers under way are still sent. */
static void on_end_of_input(struct worker *worker, struct conn *conn)
{
    conn->is_peer_done = true;
    if (is_ready(conn) || conn->state == CONN_LINGERING) {
        conn_close(worker, conn);
    }
}

void conn_on_receive(struct worker *worker, struct conn *conn, const struct engine_event *event)
{
    if (!event->has_more) {
        conn->is_receiving = false;
        conn->is_pausing = false;
    }
    if (conn->state == CONN_CLOSING) {
        free_when_quiet(worker, conn);
        return;
    }
    if (event->result > 0) {
        take_data(worker, conn, span_of(event->data, (size_t)event->result));
    } else if (event->result == 0) {
        on_end_of_input(worker, conn);
    } else if (event->result != -ENOBUFS && event->result != -ECANCELED &&
               event->result != -EAGAIN && event->result != -EINTR) {
        if (conn->state == CONN_SENDING || conn->state == CONN_PARKED) {
            counter_add(&worker->counters.aborted_peer, 1);
        }
        conn_close(worker, conn);
    }
    /* Ended for want of buffers, or by the kernel's choice: armed again while input is wanted. */
    if (is_ready(conn) || conn->state == CONN_LINGERING) {
        start_receive(worker, conn);
    }
}

/* After a step of the answer under way. */
static void on_step(struct worker *worker, struct conn *conn, enum send_progress progress)
{
    if (progress == SEND_PENDING) { /* bytes moved: the peer is not stalled */
        conn->deadline_ns = worker->now_ns + state_timeout_ms(worker, CONN_SENDING) * NS_PER_MS;
    }
    if (on_progress(worker, conn, progress)) {
        go_on(worker, conn, (struct span){0});
    }
}

void conn_on_send(struct worker *worker, struct conn *conn, int32_t result)
{
    if (conn->state == CONN_CLOSING) {
        conn->is_sending = false;
        free_when_quiet(worker, conn);
        return;
    }
    on_step(worker, conn, sender_on_send(worker, conn, result));
}

void conn_on_read(struct worker *worker, struct conn *conn, int32_t result)
{
    if (conn->state == CONN_CLOSING) {
        conn->is_reading = false;
        free_when_quiet(worker, conn);
        return;
    }
    on_step(worker, conn, sender_on_read(worker, conn, result));
}

void conn_on_poll(struct worker *worker, struct conn *conn, int32_t result)
{
    if (conn->state == CONN_CLOSING) {
        conn->is_polling = false;
        free_when_quiet(worker, conn);
        return;
    }
    on_step(worker, conn, sender_on_poll(worker, conn, result));
}

void conn_resume(struct worker *worker, struct conn *conn, uint32_t status)
{
    ASSERT(conn->state == CONN_PARKED);
    conn->miss_index = MISS_NONE; /* the whole chain leaves at once */
    conn->loaded_status = (uint16_t)status;
    set_state(worker, conn, CONN_IDLE);
    go_on(worker, conn, (struct span){0});
}

/* A peer that takes bytes, however slowly, moves what it has acknowledged. */
static bool has_peer_taken_bytes(struct conn *conn)
{
    struct tcp_info info;
    socklen_t info_bytes = sizeof(info);
    uint64_t acked_bytes = conn->acked_bytes;
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &info_bytes) == 0) {
        acked_bytes = info.tcpi_bytes_acked;
    } else { /* a unix socket: what is left to take tells as much */
        int queued_bytes = 0;
        (void)ioctl(conn->fd, TIOCOUTQ, &queued_bytes); /* on failure 0: not moving */
        acked_bytes = (uint64_t)(uint32_t)queued_bytes;
    }
    bool has_moved = acked_bytes != conn->acked_bytes;
    conn->acked_bytes = acked_bytes;
    return has_moved;
}

void conn_on_deadline(struct worker *worker, struct conn *conn)
{
    switch (conn->state) {
    case CONN_WAITING:
    case CONN_IDLE:
        counter_add(&worker->counters.timeouts_idle, 1);
        conn_close(worker, conn);
        return;
    case CONN_RECEIVING:
        counter_add(&worker->counters.timeouts_header, 1);
        input_reset(&conn->input, &worker->input_store);
        answer_status(worker, conn, 408);
        set_state(worker, conn, CONN_SENDING);
        on_step(worker, conn, sender_start(worker, conn));
        return;
    case CONN_PARKED:
        leave_miss(worker, conn);
        conn->is_joined = false; /* this answer is ours */
        conn_resume(worker, conn, 503);
        return;
    case CONN_SENDING:
        if (has_peer_taken_bytes(conn)) {
            set_state(worker, conn, CONN_SENDING);
            return;
        }
        counter_add(&worker->counters.timeouts_send, 1);
        counter_add(&worker->counters.aborted_stalled, 1);
        conn_abort(worker, conn);
        return;
    case CONN_LINGERING:
        conn_close(worker, conn);
        return;
    case CONN_CLOSING: /* a read from a slow disk: it ends when it ends */
    case CONN_FREE:
        return;
    }
}

void conn_drain(struct worker *worker, struct conn *conn)
{
    if (conn->state == CONN_WAITING || is_ready(conn)) {
        conn_close(worker, conn);
    }
}
