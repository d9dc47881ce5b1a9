/*
 * A borrowed run of bytes: the one type for text that comes from outside.
 *
 * Owns nothing; the bytes live as long as their docstring says. Any thread. Knows only libc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *ptr; /* not NUL-terminated; may be NULL only when bytes == 0 */
    size_t bytes;
};

/** A span over a string literal, without its NUL. */
#define SPAN(literal) ((struct span){(const uint8_t *)("" literal), sizeof(literal) - 1})

static inline struct span span_of(const void *ptr, size_t bytes)
{
    return (struct span){.ptr = ptr, .bytes = bytes};
}

static inline struct span span_of_string(const char *string)
{
    return span_of(string, strlen(string));
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.ptr, b.ptr, a.bytes) == 0);
}

/** The rest of `span` after its first `bytes` bytes (0..span.bytes). */
static inline struct span span_skip(struct span span, size_t bytes)
{
    return bytes == 0 ? span : span_of(span.ptr + bytes, span.bytes - bytes);
}
