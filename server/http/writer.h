/*
 * Writes text into a buffer of fixed size. What does not fit is left out and remembered, so that a
 * whole head is written without a check a line and judged once at its end.
 *
 * The caller owns the buffer; nothing is NUL-terminated. Private to http/.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/span.h"

struct http_writer {
    char *buffer;
    size_t capacity_bytes;
    size_t bytes;        /* written so far, 0..capacity_bytes */
    bool has_overflowed; /* then the text is useless and nothing more is added */
};

/** Adds `text`, whole or not at all. */
void http_writer_put(struct http_writer *writer, struct span text);

/** Adds a number in decimal. */
void http_writer_put_number(struct http_writer *writer, uint64_t number);

/** Bytes written, or 0 when anything did not fit. */
[[gnu::warn_unused_result]] size_t http_writer_finish(const struct http_writer *writer);
