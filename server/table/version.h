/*
 * A version: one immutable state of one file, as it was opened. Everything an answer says about the
 * file comes from here, so that status, headers and body agree (law L1).
 *
 * Made by the loader on the control thread; immutable once published, so workers read it without
 * locks. The fields of the last group belong to the control thread alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"

/* What fstat(2) says of a state of a file; two states of a path differ in at least one field. */
struct file_identity {
    uint64_t device;
    uint64_t inode;
    uint64_t size_bytes;
    int64_t mtime_ns; /* since 1970; negative before */
    int64_t ctime_ns;
};

struct version {
    struct span key;       /* path key that requests ask for: "", "dir/", "dir/a.html" */
    const char *file_path; /* absolute path that a confirming stat asks for; symlinks unresolved */
    int fd;                /* ordinary descriptor, or -1 when the whole body is in memory */
    const uint8_t *body;   /* the whole body, size_bytes long, or NULL when fd >= 0 */
    struct file_identity identity;
    int64_t last_modified_seconds; /* since 1970, never in the future at load */
    struct span etag;              /* quoted, strong */
    struct span content_type;
    struct span head; /* of its 200: status line and the fields that depend on the version only */

    /* Control thread only. */
    uint32_t reference_count;      /* current + given to workers + named by unapplied generations */
    uint64_t body_charge_bytes;    /* what `body` costs against --memory */
    struct generation *retired_by; /* the generation that replaced it; NULL while current */
    struct catalog_entry *entry;   /* NULL once the path no longer leads here */
    uint64_t entry_serial;         /* of the entry it is or was current in; never used again */
    void *allocation;              /* what the loader allocated for all of the above */
};

static inline bool file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
    return a->inode == b->inode && a->ctime_ns == b->ctime_ns && a->mtime_ns == b->mtime_ns &&
           a->size_bytes == b->size_bytes && a->device == b->device;
}
