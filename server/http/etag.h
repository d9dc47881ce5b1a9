/*
 * The entity tag of one version of a file: strong (RFC 9110 8.8.1), so that ranges can be resumed
 * and nothing that was replaced is taken for current.
 *
 * Owns nothing; pure; any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Two quotes, two dashes, three numbers of 16 digits. */
#define HTTP_ETAG_MAX 52

/*
 * What makes a version, from fstat(2) of the open file. Size and time alone are not enough: two
 * files of one size can be renamed over a path within a tick of the clock, or with a time they
 * brought along (cp -p, 1970, 1980); a new inode or a new ctime gives them away.
 */
struct http_etag_source {
    uint64_t size_bytes;
    int64_t mtime_ns; /* since 1970; may be negative */
    int64_t ctime_ns;
    uint64_t inode;
    uint64_t device;
};

/**
 * Writes `"size-mtime-hash"`, hexadecimal, in quotes. Inode and device go into the hash only: they
 * are nobody's business (CVE-2003-1418).
 *
 * out       not NUL-terminated
 * returns   bytes written, 1..HTTP_ETAG_MAX
 */
size_t http_etag_format(const struct http_etag_source *source, char out[static HTTP_ETAG_MAX]);
