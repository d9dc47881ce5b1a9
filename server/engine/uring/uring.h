/*
 * The engine on io_uring: one ring, its table of registered files, its receive buffers. All a
 * worker's I/O is started into the ring and carried by one system call per engine_wait().
 *
 * Created, used and destroyed by one thread; Linux 6.1 or later. probe.h says beforehand, and in
 * more words, whether it will work.
 */
#pragma once

#include "server/engine/engine.h"

/* Watches (engine_start_watch()) of one engine at a time: a worker needs two or three. */
#define URING_WATCHES_MAX 8

/* IORING_MAX_FIXED_FILES since Linux 5.19. */
#define URING_SLOTS_MAX (UINT32_C(1) << 20)

/**
 * Creates an engine for the calling thread. May raise the soft limit of open files.
 *
 * ret_engine   destroy with engine_destroy(), on the same thread
 * ret_what     on failure: one sentence with what failed and the remedy; lives for ever
 * returns      0, -EINVAL (config out of range, or the kernel is too old), -EPERM, -ENOSYS,
 *              -ENOMEM, -EMFILE (slots above the hard limit of open files)
 */
[[gnu::warn_unused_result]] int
uring_create(const struct engine_config *config, struct engine **ret_engine, const char **ret_what);
