/*
 * What is requested, and from whom: endpoints (an address each), and for each its targets, requests
 * that are written out once and sent as they are.
 *
 * Built by main before the load; read-only from then on, shared by all threads.
 */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "loadgen/verify.h"
#include "server/base/span.h"

#define TARGET_PATHS_MAX 10000000
#define TARGET_ERROR_MAX 512

struct target {
    struct span request; /* "GET /path HTTP/1.1\r\nHost: ...\r\n\r\n" */
    struct span path;    /* within `request` */
    uint64_t path_id;    /* version_path_id() of its last segment */
    uint32_t file_index; /* of the rotator's file of that name, or VERIFY_NO_FILE */
};

struct endpoint {
    const char *url; /* as given */
    char host[256];
    uint16_t port;
    struct sockaddr_storage address; /* of the host; set by target_list_resolve() */
    socklen_t address_bytes;
    struct target *targets;
    size_t target_count;
};

struct target_list {
    struct endpoint *endpoints; /* one a URL */
    size_t endpoint_count;
};

struct target_source {
    const char *const *urls;
    size_t url_count;
    const struct span *paths; /* appended to each URL; NULL: the URLs themselves */
    size_t path_count;
    uint32_t rotated_file_count; /* of the rotator, by whose names paths are known; 0: none */
};

/**
 * Writes all requests.
 *
 * source      borrowed for the call, but its URLs as long as the list
 * ret_error   set on failure: which URL, what is wrong, the remedy
 * returns     0; -EINVAL (a bad URL); -ENOMEM
 */
[[gnu::warn_unused_result]] int target_list_init(struct target_list *list,
                                                 const struct target_source *source,
                                                 char ret_error[static TARGET_ERROR_MAX]);
void target_list_deinit(struct target_list *list);

/**
 * Looks up each host and takes the first of its addresses that a connection can be made to.
 *
 * timeout_ms   for each attempt
 * ret_error    set on failure: which URL, and why
 * returns      0 or -errno; blocks
 */
[[gnu::warn_unused_result]] int target_list_resolve(struct target_list *list,
                                                    int timeout_ms,
                                                    char ret_error[static TARGET_ERROR_MAX]);

/** A file of paths, one a line. */
struct path_file {
    char *text;
    struct span *paths; /* into `text`; empty lines are left out */
    size_t path_count;
};

/** returns   0; -ENOMEM; -ENODATA (no path in it); -EFBIG; what reading says */
[[gnu::warn_unused_result]] int path_file_init(struct path_file *file, const char *name);
void path_file_deinit(struct path_file *file);
