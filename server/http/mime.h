/*
 * Content types by file name extension (mime.def).
 *
 * Owns nothing; pure; any thread. Looks at names only, never into a file.
 */
#pragma once

#include <stddef.h>

#include "server/base/span.h"

/* Content types are static text: bounded, so that a response head can be sized in advance. */
#define HTTP_MIME_BYTES_MAX 80

/**
 * The value of Content-Type for a file.
 *
 * path      or name; its extension is what follows the last dot of the last segment, without case.
 *           A dot at the segment's front starts no extension.
 * returns   static text, NUL-terminated too, 1..HTTP_MIME_BYTES_MAX bytes;
 *           `application/octet-stream` for an extension that is not in the table
 */
struct span http_mime_of(struct span path);
