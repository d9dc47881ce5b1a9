/*
 * Access-log lines in the combined format of Apache and nginx:
 *     peer - - [time] "request line" status bytes "referer" "user agent"
 * A line is written to the worker's log ring; the control thread takes it to the file. Bytes that
 * would break a line are written as \xHH; a longer field is cut.
 *
 * Worker's thread only.
 */
#pragma once

#include <stdint.h>

#include "server/base/span.h"

struct conn;
struct http_request;
struct worker;

/** Logs an answer that is whole in the output buffer. Does nothing while the log is off. */
void access_line_write(struct worker *worker,
                       struct conn *conn,
                       const struct http_request *request,
                       uint32_t status,
                       uint64_t body_bytes);

/**
 * Prepares the line of an answer whose body is still to be sent; access_line_finish() writes it.
 * The request's bytes may go afterwards.
 */
void access_line_begin(struct worker *worker,
                       struct conn *conn,
                       const struct http_request *request,
                       uint32_t status);

/** Writes the prepared line, if there is one, with the bytes of body that were sent. */
void access_line_finish(struct worker *worker, struct conn *conn, uint64_t body_bytes);
