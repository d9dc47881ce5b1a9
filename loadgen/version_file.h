/*
 * Self-describing file versions: what the rotator writes and every verifying connection checks. A
 * version says in a 64-byte header what it is, and the rest of it follows from that, so that a body
 * can be checked to the last byte with nothing shared but this file.
 *
 *     0   "TTVERS01"            24  total bytes, header included    48  zero
 *     8   seed                  32  path id                         56  XXH3 of bytes 0..55
 *     16  version number        40  zero                            64  the version's stream
 *
 * All numbers are 64 bits, little endian. The stream is a counter-based generator keyed by seed,
 * path id and version number: any byte of it can be made without those before it.
 *
 * Pure: no I/O, allocates nothing, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/span.h"

#define VERSION_HEADER_BYTES 64
/* So many bytes are kept from the first wrong one on, to see whether another version has them. */
#define VERSION_EVIDENCE_BYTES 16
/* With fewer, chance would find a version that has them. */
#define VERSION_EVIDENCE_MIN 4

struct version_label {
    uint64_t seed;
    uint64_t path_id;     /* version_path_id() of the file's name */
    uint64_t number;      /* 1, 2, 3... of this path */
    uint64_t total_bytes; /* >= VERSION_HEADER_BYTES */
};

/** What a file of this name (its last path segment) has as its path id. */
uint64_t version_path_id(struct span name);

void version_header_encode(const struct version_label *label,
                           uint8_t ret_header[static VERSION_HEADER_BYTES]);

/** False when the header is not one, or is damaged. */
[[gnu::warn_unused_result]] bool
version_header_decode(const uint8_t header[static VERSION_HEADER_BYTES],
                      struct version_label *ret_label);

/** The key of a version's stream. */
uint64_t version_stream_key(uint64_t seed, uint64_t path_id, uint64_t number);

/**
 * Writes the bytes of a stream.
 *
 * offset   in the file: the stream is numbered from the file's first byte, under the header
 */
void version_stream_fill(uint64_t key, uint64_t offset, uint8_t *out, size_t bytes);

/** How many of `bytes`, from their first on, are those of the stream at `offset`. */
size_t version_stream_match(uint64_t key, uint64_t offset, struct span bytes);

/* What a body turned out to be. */
enum version_finding {
    VERSION_INTACT,  /* all bytes of the version in `label`, and no more */
    VERSION_SHORT,   /* right as far as it goes, but it ends early */
    VERSION_LONG,    /* all bytes of the version, then more */
    VERSION_DAMAGED, /* from some byte on not what the version has there */
    VERSION_FOREIGN, /* not a self-describing file at all */
};

enum version_check_state {
    VERSION_CHECK_HEADER,
    VERSION_CHECK_STREAM,
    VERSION_CHECK_EXCESS,
    VERSION_CHECK_DAMAGED,
    VERSION_CHECK_FOREIGN,
};

/*
 * The check of one body, fed as it arrives, split anyhow. Public to be embedded; others read only
 * `has_label`, `label`, `bytes` and `odd_offset`.
 */
struct version_check {
    enum version_check_state state;
    bool has_label; /* the header came whole and is sound */
    struct version_label label;
    uint64_t key;
    uint64_t bytes;      /* of the body, so far */
    uint64_t odd_offset; /* of the first byte that is not the version's */
    uint8_t evidence_bytes;
    uint8_t evidence[VERSION_EVIDENCE_BYTES]; /* the body from odd_offset on */
    uint8_t header[VERSION_HEADER_BYTES];
};

void version_check_init(struct version_check *check);

/** The next bytes of the body. O(bytes), several GB/s. */
void version_check_feed(struct version_check *check, struct span bytes);

/** The verdict over what was fed, as if it were the whole body. */
enum version_finding version_check_finish(const struct version_check *check);

/**
 * Whether an odd body (LONG, DAMAGED) goes on with the bytes of another version of its path: one of
 * `first_number`..`last_number`, at the same place, or any version's from its beginning.
 *
 * O(last - first).
 */
bool version_check_is_torn(const struct version_check *check,
                           uint64_t first_number,
                           uint64_t last_number);
