#include "server/engine/uring/completions.h"

#include <errno.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/engine/uring/submission.h"
#include "server/engine/uring/watches.h"

/* How long destroying waits before it cancels once more; what is left then is a disk's. */
#define DRAIN_ROUND_NS 100000000

static void
take_receive(struct uring *uring, const struct io_uring_cqe *completion, struct engine_event *event)
{
    const bool has_buffer = (completion->flags & IORING_CQE_F_BUFFER) != 0;
    const uint16_t buffer_id = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
    if (__builtin_expect(completion->res > 0, 1)) {
        DEBUG_ASSERT(has_buffer && buffer_id < uring->buffers.count);
        event->buffer_id = buffer_id;
        event->data = receive_buffers_at(&uring->buffers, buffer_id);
        return;
    }
    if (has_buffer) {
        receive_buffers_return(&uring->buffers, buffer_id); /* taken, and nothing came */
    }
    if (completion->res == -ENOBUFS) {
        uring->counters.buffer_shortages++;
    }
}

/* The kernel may end a watch without an error (its queue was full): then it goes on anew. */
static void take_watch(struct uring *uring, uint64_t user_data, struct engine_event *event)
{
    if (event->has_more) {
        return;
    }
    struct uring_watch *watch = watches_find(uring, user_data);
    ASSERT(watch != NULL);
    if (event->result >= 0 && !watch->is_cancelled) {
        watches_arm(uring, watch);
        event->has_more = true;
        return;
    }
    watch->user_data = 0;
}

/* False when the completion is nobody's: a failed cancel or close, or one that is unknown. */
static bool take_completion(struct uring *uring,
                            const struct io_uring_cqe *completion,
                            struct engine_event *event)
{
    const uint64_t user_data = completion->user_data;
    const uint8_t kind = user_data_kind(user_data);
    if (__builtin_expect(kind < USER_DATA_FIRST_OP || kind > USER_DATA_LAST_OP, 0)) {
        uring->counters.stale_events += kind != USER_DATA_QUIET;
        return false;
    }
    event->op = (enum engine_op)(kind - USER_DATA_FIRST_OP);
    event->token = user_data_token(user_data);
    event->result = completion->res;
    event->has_more = (completion->flags & IORING_CQE_F_MORE) != 0;
    event->buffer_id = ENGINE_BUFFER_NONE;
    event->data = NULL;
    uring->in_flight -= !event->has_more && event->op != ENGINE_FILE_RELEASED;
    switch (event->op) {
    case ENGINE_RECEIVE:
        take_receive(uring, completion, event);
        break;
    case ENGINE_WATCH:
        take_watch(uring, user_data, event);
        break;
    case ENGINE_TIMEOUT:
        event->result = event->result == -ETIME ? 0 : event->result;
        break;
    case ENGINE_ACCEPT:
    case ENGINE_SEND:
    case ENGINE_READ:
    case ENGINE_POLL:
    case ENGINE_FILE_RELEASED:
        break;
    }
    return true;
}

uint32_t completions_take(struct uring *uring,
                          struct engine_event *ret_events,
                          uint32_t event_max,
                          uint32_t *ret_taken)
{
    const struct io_uring_cq *queue = &uring->ring.io.cq;
    const uint32_t first = *queue->khead;
    const uint32_t end = io_uring_smp_load_acquire(queue->ktail);
    uint32_t head = first;
    uint32_t event_count = 0;
    while (head != end && event_count < event_max) {
        const struct io_uring_cqe *completion = &queue->cqes[head & queue->ring_mask];
        event_count += take_completion(uring, completion, &ret_events[event_count]);
        head++;
    }
    io_uring_smp_store_release(queue->khead, head);
    *ret_taken = head - first;
    return event_count;
}

/*
 * One entry, or none when events are ready and nothing is to be submitted. Starving is impossible:
 * task work runs at an entry with GETEVENTS, which happens at the latest when the queue is empty,
 * and without an entry only what is already in the queue can be taken. A caller that cannot take
 * what is there gets no more on top of it.
 */
int completions_wait(struct engine *engine, struct engine_event *ret_events, uint32_t event_max)
{
    ASSERT(event_max > 0);
    struct uring *uring = container_of(engine, struct uring, engine);
    for (;;) {
        const uint32_t ready = io_uring_cq_ready(&uring->ring.io);
        if (uring->dead != 0) {
            return uring->dead;
        }
        if (ready == 0 || ring_has_entries(&uring->ring)) {
            const uint32_t flags = ready < event_max ? IORING_ENTER_GETEVENTS : 0;
            const int result = submission_enter(uring, flags != 0 ? 1 : 0, flags);
            if (result < 0) {
                return result;
            }
        }
        uint32_t taken;
        const uint32_t event_count = completions_take(uring, ret_events, event_max, &taken);
        uring->counters.events += event_count;
        if (event_count > 0 || taken == 0) {
            return (int)event_count; /* 0: a signal, or the kernel wants a retry */
        }
    }
}

/* Nobody takes events any more: counts what ended, and closes connections that nobody will know. */
static void drain_completions(struct uring *uring)
{
    const struct io_uring_cq *queue = &uring->ring.io.cq;
    uint32_t head = *queue->khead;
    const uint32_t end = io_uring_smp_load_acquire(queue->ktail);
    for (; head != end; head++) {
        const struct io_uring_cqe *completion = &queue->cqes[head & queue->ring_mask];
        const uint8_t kind = user_data_kind(completion->user_data);
        if (kind == ENGINE_ACCEPT + USER_DATA_FIRST_OP && completion->res >= 0) {
            (void)close(completion->res); /* nothing was sent on it */
        }
        const bool is_operation = kind >= USER_DATA_FIRST_OP && kind <= USER_DATA_LAST_OP &&
                                  kind != ENGINE_FILE_RELEASED + USER_DATA_FIRST_OP;
        uring->in_flight -= is_operation && (completion->flags & IORING_CQE_F_MORE) == 0;
    }
    io_uring_smp_store_release(queue->khead, head);
}

void completions_drain(struct uring *uring)
{
    while (uring->dead == 0) {
        struct io_uring_sqe *entry = submission_next(uring);
        io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS; /* only what it ends shall wake this thread */
        entry->user_data = user_data_quiet();
        struct __kernel_timespec limit = {.tv_nsec = DRAIN_ROUND_NS};
        struct io_uring_cqe *ignored;
        const int result =
            io_uring_submit_and_wait_timeout(&uring->ring.io, &ignored, 1, &limit, NULL);
        drain_completions(uring);
        if (uring->in_flight == 0 && !ring_has_entries(&uring->ring)) {
            return;
        }
        if (result < 0 && result != -ETIME && !submission_is_passing(result)) {
            return;
        }
    }
}
