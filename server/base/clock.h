/*
 * Time as a value that a module is given: monotonic nanoseconds for durations, wall-clock seconds
 * for HTTP dates. Tests supply a clock of their own; nothing else in the tree asks the system.
 *
 * Any thread; a fake clock belongs to its test.
 */
#pragma once

#include <stdint.h>

#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_SEC UINT64_C(1000000000)

struct clock {
    uint64_t (*monotonic_ns)(void *context);
    int64_t (*wall_seconds)(void *context); /* seconds since 1970, UTC */
    void *context;
};

/** The system's clock (clock_gettime(2)). Lives for ever. */
const struct clock *clock_system(void);

static inline uint64_t clock_monotonic_ns(const struct clock *clock)
{
    return clock->monotonic_ns(clock->context);
}

static inline int64_t clock_wall_seconds(const struct clock *clock)
{
    return clock->wall_seconds(clock->context);
}
