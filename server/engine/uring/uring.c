#include "server/engine/uring/uring.h"

#include <errno.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/engine/uring/completions.h"
#include "server/engine/uring/obstacle.h"
#include "server/engine/uring/submission.h"
#include "server/engine/uring/watches.h"

#define ENTRIES_MIN 64
#define ENTRIES_MAX 32768

/* Slots whose tags are built at a time; a batch of a loop is seldom larger. */
#define UPDATE_CHUNK 128

/* The kernel finishes a short send itself, and a peer that is gone is an error, not a signal. */
#define SEND_FLAGS (MSG_WAITALL | MSG_NOSIGNAL)

static struct uring *uring_of(struct engine *engine)
{
    return container_of(engine, struct uring, engine);
}

static void
start(struct uring *uring, struct io_uring_sqe *entry, enum engine_op op, struct engine_token token)
{
    entry->user_data = user_data_of(op, token);
    uring->in_flight++;
}

/* An operation that reports only its failure, and that nobody waits for. */
static void start_quietly(struct io_uring_sqe *entry)
{
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = user_data_quiet();
}

static void start_accept(struct engine *engine, struct engine_token token, int listen_fd)
{
    struct uring *uring = uring_of(engine);
    struct io_uring_sqe *entry = submission_next(uring);
    io_uring_prep_multishot_accept(entry, listen_fd, NULL, NULL, SOCK_CLOEXEC);
    start(uring, entry, ENGINE_ACCEPT, token);
}

static void start_receive(struct engine *engine, struct engine_token token, int fd)
{
    struct uring *uring = uring_of(engine);
    struct io_uring_sqe *entry = submission_next(uring);
    io_uring_prep_recv_multishot(entry, fd, NULL, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = RECEIVE_BUFFERS_GROUP;
    start(uring, entry, ENGINE_RECEIVE, token);
}

static int send_flags(bool has_more)
{
    return SEND_FLAGS | (has_more ? MSG_MORE : 0);
}

static void start_send(struct engine *engine,
                       struct engine_token token,
                       int fd,
                       const void *memory,
                       uint32_t bytes,
                       bool has_more)
{
    DEBUG_ASSERT(bytes > 0);
    struct uring *uring = uring_of(engine);
    struct io_uring_sqe *entry = submission_next(uring);
    io_uring_prep_send(entry, fd, memory, bytes, send_flags(has_more));
    start(uring, entry, ENGINE_SEND, token);
}

static void start_send_message(struct engine *engine,
                               struct engine_token token,
                               int fd,
                               const struct msghdr *message,
                               bool has_more)
{
    struct uring *uring = uring_of(engine);
    struct io_uring_sqe *entry = submission_next(uring);
    io_uring_prep_sendmsg(entry, fd, message, (unsigned)send_flags(has_more));
    start(uring, entry, ENGINE_SEND, token);
}

static void start_read(struct engine *engine,
                       struct engine_token token,
                       struct engine_file file,
                       void *memory,
                       uint32_t bytes,
                       uint64_t offset)
{
    struct uring *uring = uring_of(engine);
    struct io_uring_sqe *entry = submission_next(uring);
    io_uring_prep_read(entry, (int)file.number, memory, bytes, offset);
    if (file.is_slot) {
        entry->flags |= IOSQE_FIXED_FILE;
    }
    start(uring, entry, ENGINE_READ, token);
}

static void start_poll(struct engine *engine, struct engine_token token, int fd, uint32_t events)
{
    struct uring *uring = uring_of(engine);
    struct io_uring_sqe *entry = submission_next(uring);
    io_uring_prep_poll_add(entry, fd, events);
    start(uring, entry, ENGINE_POLL, token);
}

static void start_watch(struct engine *engine, struct engine_token token, int fd)
{
    struct uring *uring = uring_of(engine);
    struct uring_watch *watch = watches_find(uring, 0);
    ASSERT(watch != NULL); /* more than URING_WATCHES_MAX */
    *watch = (struct uring_watch){.user_data = user_data_of(ENGINE_WATCH, token), .fd = fd};
    watches_arm(uring, watch);
}

static void start_timeout(struct engine *engine, struct engine_token token, uint64_t timeout_ns)
{
    DEBUG_ASSERT(timeout_ns > 0);
    struct uring *uring = uring_of(engine);
    struct io_uring_sqe *entry = submission_next(uring);
    /* The kernel reads the time when the entry is submitted, so it needs a place until then. */
    const ptrdiff_t entry_index = entry == &uring->scratch ? 0 : entry - uring->ring.io.sq.sqes;
    struct __kernel_timespec *timeout = &uring->timeouts[entry_index];
    *timeout = (struct __kernel_timespec){.tv_sec = (long long)(timeout_ns / NS_PER_SEC),
                                          .tv_nsec = (long long)(timeout_ns % NS_PER_SEC)};
    io_uring_prep_timeout(entry, timeout, 0, 0);
    start(uring, entry, ENGINE_TIMEOUT, token);
}

static void cancel(struct engine *engine, enum engine_op op, struct engine_token token)
{
    struct uring *uring = uring_of(engine);
    const uint64_t user_data = user_data_of(op, token);
    if (op == ENGINE_WATCH) {
        struct uring_watch *watch = watches_find(uring, user_data);
        if (watch != NULL) {
            watch->is_cancelled =
                true; /* its end may be in the queue already: not to be re-armed */
        }
    }
    struct io_uring_sqe *entry = submission_next(uring);
    io_uring_prep_cancel64(entry, user_data, 0);
    start_quietly(entry);
}

static void close_fd(struct engine *engine, int fd)
{
    struct io_uring_sqe *entry = submission_next(uring_of(engine));
    io_uring_prep_close(entry, fd);
    start_quietly(entry);
}

/* One call to the kernel: it stops at the first descriptor that is bad. */
static int update_chunk(struct uring *uring,
                        uint32_t first_slot,
                        const int32_t *fds,
                        const uint32_t *serials,
                        uint32_t count)
{
    uint64_t tags[UPDATE_CHUNK];
    for (uint32_t i = 0; i < count; i++) {
        const struct engine_token token = {.index = first_slot + i, .generation = serials[i]};
        tags[i] = fds[i] >= 0 ? user_data_of(ENGINE_FILE_RELEASED, token) : 0;
    }
    const int fault = FAULT("uring_update");
    return fault != 0 ? -fault
                      : io_uring_register_files_update_tag(&uring->ring.io, first_slot, fds,
                                                           (const __u64 *)tags, count);
}

static int update_files(struct engine *engine,
                        uint32_t first_slot,
                        const int32_t *fds,
                        const uint32_t *serials,
                        uint32_t count)
{
    struct uring *uring = uring_of(engine);
    uint32_t done = 0;
    while (done < count) {
        const uint32_t chunk = count - done < UPDATE_CHUNK ? count - done : UPDATE_CHUNK;
        const int result =
            update_chunk(uring, first_slot + done, fds + done, serials + done, chunk);
        if (result < 0) {
            return done > 0 ? (int)done : result;
        }
        done += (uint32_t)result;
        if ((uint32_t)result < chunk) {
            break;
        }
    }
    return (int)done;
}

static void return_buffer(struct engine *engine, uint16_t buffer_id)
{
    struct uring *uring = uring_of(engine);
    DEBUG_ASSERT(buffer_id < uring->buffers.count);
    receive_buffers_return(&uring->buffers, buffer_id);
}

static const struct engine_counters *counters(const struct engine *engine)
{
    return &((const struct uring *)engine)->counters;
}

static void destroy(struct engine *engine)
{
    struct uring *uring = uring_of(engine);
    completions_drain(uring);
    /* Fails only where there is no table. Before 6.13 it waits for users: there are none left. */
    (void)io_uring_unregister_files(&uring->ring.io);
    receive_buffers_deinit(&uring->buffers, &uring->ring);
    ring_deinit(&uring->ring);
    alloc_free(uring->timeouts);
    alloc_free(uring);
}

static const struct engine_verbs uring_verbs = {
    .name = "uring",
    .start_accept = start_accept,
    .start_receive = start_receive,
    .start_send = start_send,
    .start_send_message = start_send_message,
    .start_read = start_read,
    .start_poll = start_poll,
    .start_watch = start_watch,
    .start_timeout = start_timeout,
    .cancel = cancel,
    .close_fd = close_fd,
    .update_files = update_files,
    .return_buffer = return_buffer,
    .wait = completions_wait,
    .counters = counters,
    .destroy = destroy,
};

static bool is_power_of_two_within(uint32_t number, uint32_t min, uint32_t max)
{
    return number >= min && number <= max && (number & (number - 1)) == 0;
}

static bool config_is_valid(const struct engine_config *config)
{
    return is_power_of_two_within(config->entry_count, ENTRIES_MIN, ENTRIES_MAX) &&
           config->slot_count <= URING_SLOTS_MAX &&
           is_power_of_two_within(config->receive_buffer_count, RECEIVE_BUFFERS_MIN,
                                  RECEIVE_BUFFERS_MAX) &&
           config->receive_buffer_bytes >= RECEIVE_BUFFERS_BYTES_MIN &&
           config->receive_buffer_bytes <= RECEIVE_BUFFERS_BYTES_MAX;
}

/* A burst: every receive buffer filled and every entry of a few batches completed in one wait. */
static uint32_t completions_for(const struct engine_config *config)
{
    const uint32_t by_entries = 4 * config->entry_count;
    const uint32_t by_buffers = 2 * config->receive_buffer_count;
    return by_entries > by_buffers ? by_entries : by_buffers;
}

static int
set_up(struct uring *uring, const struct engine_config *config, enum obstacle_step *ret_step)
{
    *ret_step = OBSTACLE_SETUP;
    int result = ring_init(&uring->ring, config->entry_count, completions_for(config));
    if (result < 0) {
        return result;
    }
    if (config->slot_count > 0) {
        *ret_step = OBSTACLE_FILES;
        result = ring_register_files(&uring->ring, config->slot_count);
        if (result < 0) {
            goto deinit_ring;
        }
    }
    *ret_step = OBSTACLE_BUFFERS;
    result = receive_buffers_init(&uring->buffers, &uring->ring, config->receive_buffer_count,
                                  config->receive_buffer_bytes);
    if (result < 0) {
        goto deinit_ring;
    }
    return 0;

deinit_ring:
    ring_deinit(&uring->ring);
    return result;
}

int uring_create(const struct engine_config *config,
                 struct engine **ret_engine,
                 const char **ret_what)
{
    if (!config_is_valid(config)) {
        *ret_what = obstacle_summary(OBSTACLE_CONFIG, EINVAL);
        return -EINVAL;
    }
    enum obstacle_step step = OBSTACLE_MEMORY;
    int result = -ENOMEM;
    struct __kernel_timespec *timeouts = NULL;
    struct uring *uring = alloc_zeroed(1, sizeof(*uring));
    if (uring == NULL) {
        goto explain;
    }
    timeouts = alloc_zeroed(config->entry_count, sizeof(*timeouts));
    if (timeouts == NULL) {
        goto free_uring;
    }
    result = set_up(uring, config, &step);
    if (result < 0) {
        goto free_timeouts;
    }
    uring->engine.verbs = &uring_verbs;
    uring->timeouts = timeouts;
    *ret_engine = &uring->engine;
    return 0;

free_timeouts:
    alloc_free(timeouts);
free_uring:
    alloc_free(uring);
explain:
    *ret_what = obstacle_summary(step, -result);
    return result;
}
