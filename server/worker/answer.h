/*
 * From one request to one answer: finds the version, confirms it when a change was signalled, asks
 * the loader when the map does not lead to one, and writes the head (and a small body) into the
 * connection's output buffer. Decides; sends nothing.
 *
 * Worker's thread only.
 */
#pragma once

#include <stdint.h>

struct conn;
struct http_refusal;
struct http_request;
struct worker;

enum answer_result {
    ANSWER_WHOLE,   /* all of it is in the output buffer: the next request may be answered too */
    ANSWER_BODY,    /* conn->answer says what body follows */
    ANSWER_PARKED,  /* waits for the loader; nothing was written; ask again when resumed */
    ANSWER_NO_ROOM, /* the output buffer must be sent first; nothing was written */
};

/* Bodies up to this size are copied behind their head: cheaper than gathering two pieces. */
#define BODY_COPY_MAX 4096

enum answer_result
answer_request(struct worker *worker, struct conn *conn, const struct http_request *request);

/** The answer to bytes that are no request: status and reason, then the connection closes. */
void answer_refusal(struct worker *worker, struct conn *conn, const struct http_refusal *refusal);

/** An answer of our own without a request of the peer's: 408. The connection closes after it. */
void answer_status(struct worker *worker, struct conn *conn, uint32_t status);
