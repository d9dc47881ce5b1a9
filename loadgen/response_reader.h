/*
 * Reads HTTP/1.1 answers as they arrive, in pieces of any size, and strictly: what a lenient client
 * would overlook is a violation here, because a load generator that forgives cannot be believed.
 * The sequence of events does not depend on how the input is split (bodies come in pieces).
 *
 * One reader a connection, of that connection's thread. Knows no sockets and allocates nothing: the
 * storage for a line that is split between two pieces is the caller's.
 *
 *     STATUS_LINE -> FIELDS -+-> CONTENT ----------------------------------+-> COMPLETE
 *         ^  ^         |     +-> UNTIL_CLOSE --(end of stream)-------------+      |
 *         |  +-(1xx)---+     +-> CHUNK_SIZE -> CHUNK -> CHUNK_END          |      |
 *         |                          ^  |                  |               |      |
 *         |                          +--|------------------+               |      |
 *         |                             +(0)-> TRAILER --------------------+      |
 *         +-----------------------(next answer)-----------------------------------+
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/span.h"

/* As nginx's and HAProxy's defaults: a longer line is not a static file's answer. */
#define RESPONSE_LINE_MAX      8192
#define RESPONSE_HEAD_MAX      65536
#define RESPONSE_VALIDATOR_MAX 128
#define RESPONSE_INTERIM_MAX   8

enum response_violation {
#define RESPONSE_VIOLATION(id, text) RESPONSE_VIOLATION_##id,
#include "loadgen/response_violation.def"
#undef RESPONSE_VIOLATION
};

enum response_event {
    RESPONSE_NEED_INPUT, /* all input is consumed; come again with more */
    RESPONSE_HEAD,       /* the head is complete: `head` is valid until the next answer begins */
    RESPONSE_BODY,       /* the next bytes of the body */
    RESPONSE_END,        /* the answer is complete; what is left of the input is not part of it */
    RESPONSE_VIOLATED,   /* `violation` says how; the connection is of no further use */
};

enum response_state {
    RESPONSE_STATE_STATUS_LINE,
    RESPONSE_STATE_FIELDS,
    RESPONSE_STATE_CONTENT,
    RESPONSE_STATE_UNTIL_CLOSE,
    RESPONSE_STATE_CHUNK_SIZE,
    RESPONSE_STATE_CHUNK,
    RESPONSE_STATE_CHUNK_END,
    RESPONSE_STATE_TRAILER,
    RESPONSE_STATE_COMPLETE,
    RESPONSE_STATE_VIOLATED,
};

/* What an answer's head says, as far as a load generator asks. */
struct response_head {
    uint16_t status; /* 200..599: interim answers are passed over */
    bool is_keep_alive;
    bool is_chunked;
    bool has_content_bytes;
    uint64_t content_bytes;                /* Content-Length, if has_content_bytes */
    uint8_t etag_bytes;                    /* 0: no ETag */
    uint8_t modified_bytes;                /* 0: no Last-Modified */
    char etag[RESPONSE_VALIDATOR_MAX];     /* with its quotes and W/, not NUL-terminated */
    char modified[RESPONSE_VALIDATOR_MAX]; /* as sent, not NUL-terminated */
};

/* Public to be embedded; only `head` and `violation` are for others. */
struct response_reader {
    enum response_state state;
    enum response_violation violation;
    uint32_t
        head_bytes; /* of this answer's lines so far: head, chunk sizes of one chunk, trailers */
    uint32_t line_bytes;   /* held in `line`: the part of a line that came with earlier pieces */
    uint64_t body_left;    /* of the content, or of the chunk */
    uint8_t interim_count; /* 1xx passed over before this answer */
    uint8_t minor_version; /* HTTP/1.x */
    bool has_close;        /* Connection: close */
    bool has_keep_alive;   /* Connection: keep-alive, for HTTP/1.0 */
    char *line;            /* RESPONSE_LINE_MAX bytes, the caller's */
    struct response_head head;
};

/**
 * Makes `reader` ready for the first answer of a connection; also for reuse.
 *
 * line   storage that must live as long as the reader
 */
void response_reader_init(struct response_reader *reader, char line[static RESPONSE_LINE_MAX]);

/**
 * Takes bytes from the front of `in` until something is to be told.
 *
 * in         input; what was consumed is taken off its front. All is consumed at NEED_INPUT
 * ret_body   set at RESPONSE_BODY only: points into the input
 * returns    the event; after RESPONSE_VIOLATED the reader may only be initialised again
 * O(bytes), allocates nothing.
 */
enum response_event
response_reader_next(struct response_reader *reader, struct span *in, struct span *ret_body);

/**
 * The peer has closed.
 *
 * returns   RESPONSE_END when that is how this answer ends, else RESPONSE_VIOLATED (CUT_SHORT)
 */
enum response_event response_reader_end_of_stream(struct response_reader *reader);

/** True before the first byte of an answer: a connection that ends now cuts nothing short. */
bool response_reader_is_idle(const struct response_reader *reader);

/** True from an answer's complete head to its end. */
bool response_reader_is_in_body(const struct response_reader *reader);

/** Body bytes that must come next and may be thrown away unread; 0 when that is not known. */
uint64_t response_reader_skippable_bytes(const struct response_reader *reader);

/** Tells that so many body bytes (0..skippable) were thrown away, then go on with next(). */
void response_reader_skip(struct response_reader *reader, uint64_t bytes);

/** What a violation is called in a report. */
const char *response_violation_text(enum response_violation violation);
