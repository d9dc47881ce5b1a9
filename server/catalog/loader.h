/*
 * The loader: makes a version of an open file. All that the version says comes from fstat(2) of
 * that descriptor (law L1); a small body is read into memory, a large one stays behind the
 * descriptor.
 *
 * Owns every version that it built until loader_free(). Control thread; it resolves nothing and
 * counts no holders.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/base/clock.h"
#include "server/base/span.h"
#include "server/catalog/catalog.h"
#include "server/catalog/resolver.h"
#include "server/table/version.h"

/* How often a body that changes while it is read is begun anew before it stays in the file. */
#define LOADER_READS_MAX 3

struct loaded_version;

struct loader {
    const char *root_path; /* absolute, as configured: for version.file_path; borrowed */
    const char *index_name;
    uint64_t memory_body_bytes;
    uint64_t memory_total_bytes;
    const struct clock *clock;
    struct catalog_counters *counters; /* open_files and memory_bytes are kept here */
    LIST_HEAD(, loaded_version) versions;
};

/** Fills in what was not set by the caller: all of the above but `versions`. */
void loader_init(struct loader *loader);

/** Frees every version that is left, whoever holds it. */
void loader_deinit(struct loader *loader);

/**
 * Builds a version with one reference: the path's, which now leads to it.
 *
 * key       is copied
 * found     status 200; its descriptor belongs to the version when 0 is returned, and is still the
 *           caller's otherwise
 * previous  the version before it, or NULL: where stat(2) cannot tell the two apart, the ETag does
 * returns   0, -ENOMEM, or -errno of reading the file
 */
[[gnu::warn_unused_result]] int loader_build(struct loader *loader,
                                             struct span key,
                                             const struct resolved *found,
                                             const struct version *previous,
                                             struct version **ret_version);

/**
 * Whether what a path leads to now is the state that `version` was built from. A stat that is equal
 * proves that only if the version's change time had passed when it was built: within a tick of the
 * kernel's clock two writes leave the same time. There the bytes are compared, or, where they are
 * not in memory, `is_modified` decides: the watch said that the content was written.
 *
 * returns   1 = the same, 0 = another, -errno of reading the file
 */
[[gnu::warn_unused_result]] int loader_is_current(const struct loader *loader,
                                                  const struct version *version,
                                                  const struct resolved *found,
                                                  bool is_modified);

/** Closes the version's descriptor and frees it. */
void loader_free(struct loader *loader, struct version *version);
