/*
 * CPU time of processes and threads: what a request costs, rather than how long it takes. Of a
 * process all its threads count, io_uring's workers and those that have ended too.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/**
 * CPU time that a process has used.
 *
 * pid       0: our own
 * returns   0 or -ESRCH (there is no such process)
 */
[[gnu::warn_unused_result]] int cpu_clock_process_ns(pid_t pid, uint64_t *ret_ns);

/** CPU time of the calling thread. */
uint64_t cpu_clock_thread_ns(void);
