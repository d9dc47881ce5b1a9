/*
 * Turns the path of a request target into the key under which a file is looked up, and back. One
 * key per file: what is left after one decoding has no empty, `.` or `..` segment, no NUL and no
 * second way to write a slash, so that cache, policy and openat2(2) see the same name.
 *
 * Owns nothing; pure; any thread. Knows nothing of files: whether the key leads to one, the catalog
 * says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/span.h"

/* PATH_MAX counts a NUL: what is longer, no system call takes. */
#define HTTP_PATH_MAX 4095

/* NAME_MAX: a longer name exists in no directory. */
#define HTTP_SEGMENT_MAX 255

/* A key as an absolute path, each byte encoded. */
#define HTTP_ENCODED_PATH_MAX (1 + 3 * HTTP_PATH_MAX)

struct http_target {
    struct span key; /* "", "dir/", "dir/a.html"; 0..HTTP_PATH_MAX bytes and a NUL in the buffer */
    struct span query; /* in the target, without the `?`; ptr == NULL when there is none */
    bool is_directory; /* the key is empty or ends with a slash */
    bool is_hidden;    /* a segment starts with a dot (but a first one `.well-known`): answer 404 */
};

/**
 * Decodes the path of a target.
 *
 * path          http_request.path: starts with `/` or `?`, or is empty (then it stands for `/`)
 * buffer        room for the key and a NUL; may not overlap `path`
 * buffer_bytes  HTTP_PATH_MAX + 1 at least
 * ret_target    set when 0 is returned
 * returns       0, or the status to answer with:
 *               400 = a bad %-encoding; an encoded slash, NUL or other control byte; a backslash,
 *                     plain or encoded (browsers take it for a slash); a `.` or `..` segment, plain
 *                     or encoded (clients resolve them before they send, RFC 3986 5.2.4: what is
 *                     left is an attack); a byte that no target has; `*`
 *               404 = a segment longer than HTTP_SEGMENT_MAX
 *               414 = the key is longer than HTTP_PATH_MAX
 * Repeated slashes count as one. Bytes of 0x80..0xff are taken as they are, in whatever encoding.
 * O(bytes), allocates nothing.
 */
[[gnu::warn_unused_result]] uint32_t http_target_decode(struct span path,
                                                        char *buffer,
                                                        size_t buffer_bytes,
                                                        struct http_target *ret_target);

/**
 * Writes `/` and the key, %-encoded where RFC 3986 3.3 asks for it: for a Location field.
 *
 * key           any bytes, but no leading slash (`//host` would lead elsewhere)
 * buffer        HTTP_ENCODED_PATH_MAX bytes are always enough for a key of http_target_decode()
 * returns       bytes written, not NUL-terminated; 0 = it does not fit
 */
[[gnu::warn_unused_result]] size_t
http_target_encode_path(struct span key, char *buffer, size_t buffer_bytes);
