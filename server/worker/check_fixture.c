#include "server/worker/check_fixture.h"

#include "server/base/check.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

static struct engine_token token_at(const struct worker *worker, uint32_t index)
{
    return (struct engine_token){.index = index, .generation = worker->conns[index].generation};
}

/* An operation that was cancelled is in flight no more once the fake has its last event ready. */
static void check_operation(struct rig *rig,
                            struct engine_token token,
                            enum engine_op op,
                            bool is_believed,
                            bool is_cancelled)
{
    const bool is_in_flight = rig_is_in_flight(rig, token, op);
    ASSERT(is_believed == is_in_flight || (is_believed && is_cancelled));
}

/* What is in flight is what the connection says, and nothing is for a place that is free. */
static void check_in_flight(struct rig *rig, uint32_t index)
{
    const struct conn *conn = &rig->worker->conns[index];
    const struct engine_token token = token_at(rig->worker, index);
    const bool is_taken = conn->state != CONN_FREE;
    const bool is_closing = conn->state == CONN_CLOSING;
    check_operation(rig, token, ENGINE_RECEIVE, is_taken && conn->is_receiving,
                    is_closing || conn->is_pausing);
    check_operation(rig, token, ENGINE_SEND, is_taken && conn->is_sending, is_closing);
    check_operation(rig, token, ENGINE_READ, is_taken && conn->is_reading, false);
    check_operation(rig, token, ENGINE_POLL, is_taken && conn->is_polling, is_closing);
}

static void check_state(const struct worker *worker, const struct conn *conn)
{
    const bool is_moving = conn->is_sending || conn->is_reading || conn->is_polling;
    switch (conn->state) {
    case CONN_FREE:
        ASSERT(conn->fd == -1);
        ASSERT(conn->input.buffer == NULL && conn->output == NULL);
        ASSERT(conn->answer.slot_index == SLOT_NONE);
        return;
    case CONN_WAITING:
        ASSERT(!conn->is_receiving && !is_moving);
        break;
    case CONN_IDLE:
        ASSERT(conn->input.buffer == NULL && conn->output == NULL);
        ASSERT(conn->is_receiving && !is_moving);
        break;
    case CONN_RECEIVING:
        ASSERT(!input_is_empty(&conn->input));
        ASSERT(conn->is_receiving && !is_moving);
        break;
    case CONN_PARKED:
        ASSERT(conn->miss_index != MISS_NONE);
        ASSERT(!input_is_empty(&conn->input)); /* the request that waits */
        ASSERT(!is_moving);
        break;
    case CONN_SENDING:
        ASSERT(conn->is_sending + conn->is_reading + conn->is_polling == 1);
        ASSERT(conn->output != NULL);
        break;
    case CONN_LINGERING:
        ASSERT(conn->input.buffer == NULL && conn->output == NULL);
        ASSERT(conn->is_receiving && !is_moving);
        break;
    case CONN_CLOSING:
        ASSERT(conn->is_receiving || is_moving);
        break;
    }
    ASSERT(conn->state == CONN_PARKED || conn->miss_index == MISS_NONE);
    ASSERT(conn->answer.slot_index == SLOT_NONE || conn->state == CONN_SENDING ||
           conn->state == CONN_CLOSING);
    ASSERT(conn->state == CONN_CLOSING || conn->deadline_ns > worker->now_ns || worker->is_ticking);
}

/* Every parked connection is in the chain of its miss once, and nobody else is. */
static uint32_t check_miss(const struct worker *worker, uint32_t miss_index)
{
    uint32_t count = 0;
    uint32_t before = CONN_NONE;
    uint32_t index = worker->misses.misses[miss_index].first_parked;
    while (index != CONN_NONE) {
        const struct conn *conn = &worker->conns[index];
        ASSERT(index < worker->conn_top);
        ASSERT(conn->state == CONN_PARKED);
        ASSERT(conn->miss_index == miss_index);
        ASSERT(conn->prev_parked == before);
        before = index;
        index = conn->next_parked;
        count++;
        ASSERT(count <= worker->place_count); /* no circle */
    }
    return count;
}

static void check_misses(const struct worker *worker, uint32_t parked_count)
{
    uint32_t pending_count = 0;
    uint32_t chained_count = 0;
    for (uint32_t i = 0; i < MISS_BUCKETS_COUNT; i++) {
        uint32_t miss_index = worker->misses.buckets[i];
        while (miss_index != MISS_NONE) {
            chained_count += check_miss(worker, miss_index);
            pending_count++;
            ASSERT(pending_count <= worker->misses.miss_count);
            miss_index = worker->misses.misses[miss_index].next_index;
        }
    }
    ASSERT(pending_count == worker->misses.pending_count);
    ASSERT(chained_count == parked_count);
    ASSERT(worker->answered.first == NULL); /* answered ones go on in the turn that took them */
}

/* The chain of those that wait for a place. */
static void check_waiting(const struct worker *worker, uint32_t waiting_count)
{
    uint32_t count = 0;
    uint32_t before = CONN_NONE;
    for (uint32_t i = worker->first_waiting_conn; i != CONN_NONE;
         i = worker->conns[i].next_parked) {
        ASSERT(i < worker->conn_top);
        ASSERT(worker->conns[i].state == CONN_WAITING);
        ASSERT(before == CONN_NONE || worker->conns[i].prev_parked == before);
        before = i;
        count++;
        ASSERT(count <= waiting_count);
    }
    ASSERT(count == waiting_count);
    ASSERT(worker->last_waiting_conn == before);
}

/* What the worker counts, counted anew. */
struct counts {
    uint32_t in_state[CONN_CLOSING + 1];
    uint32_t taken;
    uint32_t giving;
    uint32_t buffers;
};

static struct counts count_conns(const struct worker *worker)
{
    struct counts counts = {0};
    for (uint32_t i = 0; i < worker->conn_top; i++) {
        const struct conn *conn = &worker->conns[i];
        counts.in_state[conn->state]++;
        counts.taken += conn->state != CONN_FREE;
        counts.giving += conn->state == CONN_IDLE && conn->is_served;
        counts.buffers += (conn->input.buffer != NULL) + (conn->output != NULL);
    }
    return counts;
}

void rig_check(struct rig *rig)
{
    const struct worker *worker = rig->worker;
    for (uint32_t i = 0; i < worker->conn_top; i++) {
        check_in_flight(rig, i);
        check_state(worker, &worker->conns[i]);
    }
    const struct counts counts = count_conns(worker);
    ASSERT(worker->conn_count == counts.taken);
    ASSERT(worker->open_count ==
           counts.taken - counts.in_state[CONN_WAITING] - counts.in_state[CONN_CLOSING]);
    ASSERT(worker->open_count <= worker->conn_max);
    ASSERT(worker->idle_count == counts.in_state[CONN_IDLE]);
    ASSERT(worker->giving_count == counts.giving);
    ASSERT(worker->buffers.buffer_count - worker->buffers.free_count ==
           counts.buffers + worker->input_store.overflow_count);
    ASSERT(fake_buffers_out(rig->engine) == 0);
    ASSERT(!worker->is_control_owed);
    check_waiting(worker, counts.in_state[CONN_WAITING]);
    check_misses(worker, counts.in_state[CONN_PARKED]);
    slot_table_verify(worker->table);
}

void rig_check_empty(struct rig *rig)
{
    const struct worker *worker = rig->worker;
    ASSERT(worker->conn_count == 0);
    ASSERT(worker->buffers.free_count == worker->buffers.buffer_count);
    ASSERT(worker->input_store.overflow_count == 0);
    ASSERT(worker->misses.pending_count == 0);
    ASSERT(worker->waiting.first == NULL);
    const struct slot_counts slots = slot_table_counts(worker->table);
    ASSERT(slots.live == 0 && slots.retiring == 0);
    for (const struct hand_version *v = rig->control.versions; v != NULL; v = v->next) {
        ASSERT(v->released_count == v->given_count);
        ASSERT(v->evicted_count <= v->given_count);
    }
}
