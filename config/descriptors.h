/*
 * Whether the process may open what the settings promise: a descriptor for each file at hand and
 * each connection. Better said at the start than found out under load.
 *
 * descriptors_fit() is pure; descriptors_settle() reads and sets the process's RLIMIT_NOFILE.
 * Called by main, before threads start.
 */
#pragma once

#include <stdint.h>

#include "config/findings.h"
#include "config/settings.h"

/* Listeners, logs, inotify, the admin socket and its clients, directories on the way to a file. */
#define DESCRIPTORS_RESERVE_PROCESS 128

/* A worker's ring or epoll, its event descriptors, a connection just accepted to be refused. */
#define DESCRIPTORS_RESERVE_WORKER 8

/**
 * Fits table_slots + max_connections + reserve under `hard_limit`. What nobody asked for is shrunk,
 * with a warning; what somebody asked for and cannot have is an error with its remedy.
 *
 * Workers may keep different files at hand, and then need table_slots each; that much is asked of
 * the system, but not required: a worker that finds no descriptor makes room (and counts it).
 *
 * settings  workers is resolved (> 0); table_slots and max_connections may be lowered
 * returns   the soft limit to ask for, or 0 after an error
 */
[[gnu::warn_unused_result]] uint64_t descriptors_fit(struct settings *settings,
                                                     uint64_t hard_limit,
                                                     struct findings *errors,
                                                     struct findings *warnings);

/** Fits the settings under the process's hard limit and raises its soft limit; never lowers it. */
void descriptors_settle(struct settings *settings,
                        struct findings *errors,
                        struct findings *warnings);
