/*
 * The engine: how a worker does I/O. A table of verbs, each starting one operation or doing one
 * thing at once; what was started comes back as an event of engine_wait(). `uring` implements it on
 * io_uring, `fake` plays scripts in tests.
 *
 * One engine belongs to one worker thread, which creates, uses and destroys it. It knows
 * descriptors, slots and bytes; nothing of HTTP, versions or connections.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "server/base/span.h"

struct engine;

/* Which operation an event ends or continues. */
enum engine_op {
    ENGINE_ACCEPT,        /* result: connected descriptor, or -errno; repeats while `has_more` */
    ENGINE_RECEIVE,       /* result: bytes in `data`, 0 at end of stream, -errno (-ENOBUFS: no
                             buffer was free, start again); repeats while `has_more` */
    ENGINE_SEND,          /* result: bytes sent: all of them, or -errno (short only at peer loss) */
    ENGINE_READ,          /* result: bytes read (0 at end of file), or -errno */
    ENGINE_POLL,          /* result: poll(2) events, or -errno; one shot */
    ENGINE_WATCH,         /* result: poll(2) events, or -errno; repeats while `has_more` */
    ENGINE_TIMEOUT,       /* result: 0, it passed; or -ECANCELED */
    ENGINE_FILE_RELEASED, /* the file put into slot `index` with serial `generation` is dropped */
};

/* Bits of a token's generation; wraps. */
#define ENGINE_GENERATION_BITS 24
#define ENGINE_GENERATION_MASK ((UINT32_C(1) << ENGINE_GENERATION_BITS) - 1)

/* Whose operation it is: an index of the caller's, and which use of that index (24 bits). */
struct engine_token {
    uint32_t index;
    uint32_t generation;
};

#define ENGINE_BUFFER_NONE UINT16_MAX

struct engine_event {
    enum engine_op op;
    struct engine_token token;
    int32_t result;
    bool has_more;       /* a repeating operation goes on; false: it has ended */
    uint16_t buffer_id;  /* ENGINE_RECEIVE: give back with engine_return_buffer(); or NONE */
    const uint8_t *data; /* ENGINE_RECEIVE: `result` bytes, until the buffer is given back */
};

/* Where ENGINE_READ reads: a slot of the registered table, or an ordinary descriptor. */
struct engine_file {
    bool is_slot;
    uint32_t number;
};

struct engine_config {
    uint32_t entry_count;          /* submission entries, a power of two, 64..32768 */
    uint32_t slot_count;           /* registered-file slots; 0: no table */
    uint32_t receive_buffer_count; /* power of two, 16..32768 */
    uint32_t receive_buffer_bytes; /* 512..65536 */
};

struct engine_counters {
    uint64_t waits;            /* kernel entries */
    uint64_t events;           /* completions handed out */
    uint64_t buffer_shortages; /* ENOBUFS: receive ended for want of a buffer */
    uint64_t overflows;        /* completion queue overflowed into kernel memory */
    uint64_t stale_events;     /* completions of no known operation */
    uint64_t submit_retries;   /* EAGAIN, EBUSY or a full queue while submitting */
};

/* The verbs; see the functions below for their contracts. */
struct engine_verbs {
    const char *name;
    void (*start_accept)(struct engine *, struct engine_token, int listen_fd);
    void (*start_receive)(struct engine *, struct engine_token, int fd);
    void (*start_send)(
        struct engine *, struct engine_token, int fd, const void *, uint32_t bytes, bool has_more);
    void (*start_send_message)(
        struct engine *, struct engine_token, int fd, const struct msghdr *, bool has_more);
    void (*start_read)(struct engine *,
                       struct engine_token,
                       struct engine_file,
                       void *,
                       uint32_t bytes,
                       uint64_t offset);
    void (*start_poll)(struct engine *, struct engine_token, int fd, uint32_t events);
    void (*start_watch)(struct engine *, struct engine_token, int fd);
    void (*start_timeout)(struct engine *, struct engine_token, uint64_t timeout_ns);
    void (*cancel)(struct engine *, enum engine_op, struct engine_token);
    void (*close_fd)(struct engine *, int fd);
    int (*update_files)(struct engine *,
                        uint32_t first_slot,
                        const int32_t *fds,
                        const uint32_t *serials,
                        uint32_t count);
    void (*return_buffer)(struct engine *, uint16_t buffer_id);
    int (*wait)(struct engine *, struct engine_event *ret_events, uint32_t event_max);
    const struct engine_counters *(*counters)(const struct engine *);
    void (*destroy)(struct engine *);
};

/* First member of every implementation. */
struct engine {
    const struct engine_verbs *verbs;
};

/** Accepts on `listen_fd` until an event comes without `has_more`. Sockets block, close-on-exec. */
static inline void
engine_start_accept(struct engine *engine, struct engine_token token, int listen_fd)
{
    engine->verbs->start_accept(engine, token, listen_fd);
}

/** Receives into the engine's buffers until an event comes without `has_more`. */
static inline void engine_start_receive(struct engine *engine, struct engine_token token, int fd)
{
    engine->verbs->start_receive(engine, token, fd);
}

/**
 * Sends all of `bytes` (> 0); never raises SIGPIPE. Memory stays put until the event.
 *
 * has_more   more of the same answer follows at once (MSG_MORE)
 */
static inline void engine_start_send(struct engine *engine,
                                     struct engine_token token,
                                     int fd,
                                     const void *memory,
                                     uint32_t bytes,
                                     bool has_more)
{
    engine->verbs->start_send(engine, token, fd, memory, bytes, has_more);
}

/** The same for gathered memory; `message` and what it points to stay put until the event. */
static inline void engine_start_send_message(struct engine *engine,
                                             struct engine_token token,
                                             int fd,
                                             const struct msghdr *message,
                                             bool has_more)
{
    engine->verbs->start_send_message(engine, token, fd, message, has_more);
}

/** Reads up to `bytes` at `offset`; a short result is not an error. */
static inline void engine_start_read(struct engine *engine,
                                     struct engine_token token,
                                     struct engine_file file,
                                     void *memory,
                                     uint32_t bytes,
                                     uint64_t offset)
{
    engine->verbs->start_read(engine, token, file, memory, bytes, offset);
}

/** Waits once for poll(2) `events` on `fd`. */
static inline void
engine_start_poll(struct engine *engine, struct engine_token token, int fd, uint32_t events)
{
    engine->verbs->start_poll(engine, token, fd, events);
}

/**
 * Reports each time `fd` (an eventfd or another pollable descriptor) becomes readable anew, until
 * cancelled; the engine does not read it. Few per engine (URING_WATCHES_MAX).
 */
static inline void engine_start_watch(struct engine *engine, struct engine_token token, int fd)
{
    engine->verbs->start_watch(engine, token, fd);
}

/** One timeout, `timeout_ns` (> 0) from now. */
static inline void
engine_start_timeout(struct engine *engine, struct engine_token token, uint64_t timeout_ns)
{
    engine->verbs->start_timeout(engine, token, timeout_ns);
}

/** Asks for the end of an operation; its last event still comes (-ECANCELED, or what was ready). */
static inline void
engine_cancel(struct engine *engine, enum engine_op op, struct engine_token token)
{
    engine->verbs->cancel(engine, op, token);
}

/** Closes a descriptor on which nothing is in flight, at the next engine_wait(). No event. */
static inline void engine_close_fd(struct engine *engine, int fd)
{
    engine->verbs->close_fd(engine, fd);
}

/**
 * Changes `count` neighbouring slots at once: an fd >= 0 is put with its serial (its release is
 * reported as ENGINE_FILE_RELEASED), -1 clears, -2 leaves the slot as it is.
 *
 * serials   1..2^24-1 where fd >= 0, else 0
 * returns   slots done, counted from the first; the one after them has been emptied by the kernel;
 *           or -errno when none was
 */
[[gnu::warn_unused_result]] static inline int engine_update_files(struct engine *engine,
                                                                  uint32_t first_slot,
                                                                  const int32_t *fds,
                                                                  const uint32_t *serials,
                                                                  uint32_t count)
{
    return engine->verbs->update_files(engine, first_slot, fds, serials, count);
}

/** Gives a receive buffer back to the kernel. */
static inline void engine_return_buffer(struct engine *engine, uint16_t buffer_id)
{
    engine->verbs->return_buffer(engine, buffer_id);
}

/**
 * Submits what was started and waits for at least one event.
 *
 * event_max   > 0; what is ready beyond it comes with the next calls
 * returns     events written; 0 when a signal interrupted the wait or the kernel was short of
 *             memory: call again; or -errno when the engine is dead
 */
[[gnu::warn_unused_result]] static inline int
engine_wait(struct engine *engine, struct engine_event *ret_events, uint32_t event_max)
{
    return engine->verbs->wait(engine, ret_events, event_max);
}

static inline const struct engine_counters *engine_counters(const struct engine *engine)
{
    return engine->verbs->counters(engine);
}

/** Ends everything in flight without events and frees the engine; NULL is fine. */
static inline void engine_destroy(struct engine *engine)
{
    if (engine != NULL) {
        engine->verbs->destroy(engine);
    }
}
