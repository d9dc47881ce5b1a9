/*
 * One connection: its socket, what was received and not yet answered, and the answer under way.
 *
 *   FREE --accept--> WAITING (only while the limit is reached)
 *                     |
 *                    IDLE <-------------------------------+
 *                     | bytes                             | answered, keep-alive, no input left
 *                     v                                   |
 *                 RECEIVING --whole head--> SENDING ------+--> LINGERING --> CLOSING --> FREE
 *                     ^                       ^   |               (answered with close: discards
 *                     +--- more pipelined ----|---+                input until the peer closes)
 *                                             |
 *                     path not in the map: PARKED until the loader answers
 *
 * CLOSING waits until nothing is in flight on the socket: memory with an operation in flight
 * belongs to the kernel. A connection ends by conn_close(),
 * or by conn_abort() when the answer is broken.
 *
 * Owned by one worker, in one array; index and generation name it in engine tokens.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "server/base/span.h"
#include "server/http/head.h"
#include "server/worker/input.h"

struct worker;
struct engine_event;

/*
 * Room for input and output. As output: heads and up to 64 KiB of body, then the access-log line of
 * the answer under way. As input: at least two heads.
 */
#define CONN_OUTPUT_BYTES    (68 * 1024)
#define ACCESS_LINE_MAX      (4 * 1024)
#define CONN_BUFFER_BYTES    (CONN_OUTPUT_BYTES + ACCESS_LINE_MAX)
#define RECEIVE_BUFFER_BYTES 2048

/* Held while an answer is under way: beyond it receiving pauses. */
#define INPUT_PAUSE_BYTES RECEIVE_BUFFER_BYTES
static_assert(CONN_BUFFER_BYTES / 2 >= HTTP_HEAD_MAX, "half a buffer holds any head");

#define CONN_NONE UINT32_MAX

/* How long a closing connection is read from, so that the peer gets our last answer. */
#define LINGER_TIMEOUT_MS 2000
#define LINGER_BYTES_MAX  (1024 * 1024)

enum conn_state {
    CONN_FREE,
    CONN_WAITING,
    CONN_IDLE,
    CONN_RECEIVING,
    CONN_PARKED,
    CONN_SENDING,
    CONN_LINGERING,
    CONN_CLOSING,
};

/* Where the bytes of the body under way come from. */
enum body_source {
    BODY_NONE,     /* nothing beyond what is in the output buffer */
    BODY_MEMORY,   /* version->body, in one gathered send */
    BODY_FILE,     /* read into the output buffer from slot or descriptor, then sent */
    BODY_SENDFILE, /* sendfile(2), while the pages are in the cache */
};

/* The answer under way; zero while there is none. */
struct answer {
    enum body_source source;
    uint32_t slot_index; /* acquired in the table, or SLOT_NONE */
    uint64_t offset;     /* next byte of the file to read or send */
    uint64_t end_offset; /* exclusive */
    uint64_t gate_begun; /* freshness rounds when the answer began: did the watch speak since? */
    uint32_t head_bytes; /* in the output buffer, before the body's first byte */
    uint64_t body_bytes_sent; /* for the access log */
    bool is_last;             /* the connection closes after it */
    bool is_whole;            /* the body is the whole file */
    bool was_cold;            /* a sendfile body of which a piece was brought in by a read */
};

struct conn {
    int fd;
    uint32_t generation; /* which use of this place: 24 bits */
    enum conn_state state;
    bool is_receiving;      /* a receive is armed or its last event has not come */
    bool is_pausing;        /* its cancellation was asked for */
    bool is_sending;        /* a send is in flight */
    bool is_reading;        /* a file read is in flight */
    bool is_polling;        /* a poll for room in the socket is in flight */
    bool is_nonblocking;    /* O_NONBLOCK is set: only while bodies go by sendfile */
    bool is_peer_done;      /* the peer has sent its last byte */
    bool is_served;         /* has been sent an answer: may be given up while idle */
    bool is_joined;         /* parked at a question that was put before this request was received */
    uint8_t retries;        /* questions to the loader for the request at hand */
    uint16_t loaded_status; /* the loader's answer for the request at hand; 0: not asked */
    uint32_t miss_index;    /* of the miss that it is parked at */
    uint32_t next_parked;   /* chain of those waiting for the same miss; or next free place */
    uint32_t prev_parked;
    uint32_t log_prefix_bytes; /* access-log line kept at the end of the output buffer: before */
    uint32_t log_suffix_bytes; /* and after the number of bytes sent */
    uint64_t deadline_ns;      /* monotonic; of the state it is in */
    uint64_t acked_bytes; /* what the peer had acknowledged when the send deadline last passed */
    struct input input;
    uint32_t output_end; /* bytes to send in `output` */
    uint8_t *output;     /* from the pool, or NULL when no answer is under way */
    struct answer answer;
    struct msghdr message; /* for BODY_MEMORY */
    struct iovec pieces[2];
    uint32_t lingered_bytes;
    uint8_t peer_text_bytes; /* 0: not asked yet */
    char peer_text[46];      /* address for the access log */
};

/** Makes a connection of an accepted socket; it waits for conn_admit(). No place: closed. */
void conn_open(struct worker *worker, int fd);

/** Begins to receive on a waiting connection. */
void conn_admit(struct worker *worker, struct conn *conn);

/** Events of the connection's operations. */
void conn_on_receive(struct worker *worker, struct conn *conn, const struct engine_event *event);
void conn_on_send(struct worker *worker, struct conn *conn, int32_t result);
void conn_on_read(struct worker *worker, struct conn *conn, int32_t result);
void conn_on_poll(struct worker *worker, struct conn *conn, int32_t result);

/** The loader answered what this parked connection asks for; `status` is what it found. */
void conn_resume(struct worker *worker, struct conn *conn, uint32_t status);

/** Its deadline passed: answers 408, or closes, as its state asks. */
void conn_on_deadline(struct worker *worker, struct conn *conn);

/** Closes it now when it has no answer under way. For draining. */
void conn_drain(struct worker *worker, struct conn *conn);

/** Ends the connection; its place is free once nothing is in flight. */
void conn_close(struct worker *worker, struct conn *conn);

/** The same, and the peer is told that the answer is broken (a reset, never a clean end). */
void conn_abort(struct worker *worker, struct conn *conn);
