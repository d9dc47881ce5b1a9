/*
 * Sends the answer that a connection holds: what is in its output buffer, then the rest of the body
 * from memory, from the file by reads, or by sendfile(2). Knows bytes, slots and sockets; nothing
 * of requests. Each step returns how far it is, and the connection decides what follows.
 */
#pragma once

#include <stdint.h>

struct conn;
struct worker;

enum send_progress {
    SEND_PENDING,    /* an operation is in flight; its event goes on */
    SEND_DONE,       /* everything was handed to the kernel */
    SEND_FAILED,     /* the peer is gone */
    SEND_CHANGED,    /* the file changed in place or shrank: the answer must not look complete */
    SEND_UNREADABLE, /* the file could not be read */
};

/* A sendfile(2) call moves at most this much, so that one connection cannot hold up the others. */
#define SENDFILE_PIECE_BYTES (1024 * 1024)

/** Begins: conn->output[0..output_end) and conn->answer are filled in. */
enum send_progress sender_start(struct worker *worker, struct conn *conn);

/** Goes on after the event of the operation in flight. */
enum send_progress sender_on_send(struct worker *worker, struct conn *conn, int32_t result);
enum send_progress sender_on_read(struct worker *worker, struct conn *conn, int32_t result);
enum send_progress sender_on_poll(struct worker *worker, struct conn *conn, int32_t result);

/** Makes the socket block again, as every operation of the engine wants it. */
void sender_set_blocking(struct conn *conn);
