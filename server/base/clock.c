#include "server/base/clock.h"

#include <time.h>

static uint64_t system_monotonic_ns(void *context)
{
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with a valid clock and address */
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static int64_t system_wall_seconds(void *context)
{
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now); /* ticks of 4 ms are enough for seconds */
    return now.tv_sec;
}

static const struct clock system_clock = {
    .monotonic_ns = system_monotonic_ns,
    .wall_seconds = system_wall_seconds,
};

const struct clock *clock_system(void)
{
    return &system_clock;
}
