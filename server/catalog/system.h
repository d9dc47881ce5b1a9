/*
 * The catalog's way to the kernel and the allocator: every call that can fail, each with its fault
 * point, answering 0 or a count, or -errno. Nothing else in the catalog reads errno.
 *
 * Fault points: catalog_alloc catalog_openat2 catalog_stat catalog_readlink catalog_pread
 * catalog_add_watch catalog_read.
 *
 * Control thread. Calls interrupted by a signal are repeated.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "server/base/span.h"
#include "server/table/version.h"

/** Zeroed; NULL when there is no memory; free with alloc_free(). */
[[gnu::warn_unused_result]] void *system_alloc(size_t bytes);

/**
 * Opens one component beneath a directory. No symlink is followed, not even the last: of that, with
 * O_PATH | O_NOFOLLOW, the symlink itself is opened.
 *
 * flags     of open(2); O_CLOEXEC is added
 * returns   a descriptor, or -errno: -ELOOP where `name` is a symlink, -EXDEV where it leads out
 */
[[gnu::warn_unused_result]] int system_open(int directory_fd, const char *name, int flags);

/** What a name is, the symlink itself where it is one. Returns 0 or -errno. */
[[gnu::warn_unused_result]] int
system_stat_name(int directory_fd, const char *name, struct stat *ret_stat);

/** Returns 0 or -errno. */
[[gnu::warn_unused_result]] int system_stat_fd(int fd, struct stat *ret_stat);

/**
 * Reads a symlink's target.
 *
 * ret_target    NUL-terminated
 * returns       its bytes; -EINVAL where `name` is no symlink; -ENAMETOOLONG; -errno
 */
[[gnu::warn_unused_result]] ssize_t
system_read_link(int directory_fd, const char *name, char *ret_target, size_t target_bytes);

/** As pread(2). Returns bytes read, 0 at the end of the file, or -errno. */
[[gnu::warn_unused_result]] ssize_t
system_read_at(int fd, void *buffer, size_t bytes, uint64_t offset);

/**
 * Watches the directory behind a descriptor, O_PATH too.
 *
 * returns   the watch descriptor: the same one for the same directory; or -errno
 */
[[gnu::warn_unused_result]] int
system_add_watch(int inotify_fd, int directory_fd, uint32_t inotify_mask);

/** As read(2) on a non-blocking descriptor. Returns bytes, or -errno: -EAGAIN when it is empty. */
[[gnu::warn_unused_result]] ssize_t system_read_queue(int fd, void *buffer, size_t bytes);

/** Bytes that wait to be read from a queue; 0 when they cannot be counted. */
uint32_t system_queued_bytes(int fd);

/** The identity in a stat. Pure. */
struct file_identity system_identity_of(const struct stat *stat);
