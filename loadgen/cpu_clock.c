#include "loadgen/cpu_clock.h"

#include <errno.h>
#include <time.h>

#include "server/base/clock.h"

static uint64_t to_ns(const struct timespec *spent)
{
    return (uint64_t)spent->tv_sec * NS_PER_SEC + (uint64_t)spent->tv_nsec;
}

int cpu_clock_process_ns(pid_t pid, uint64_t *ret_ns)
{
    clockid_t clock;
    struct timespec spent;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) < 0) {
        return -ESRCH;
    }
    *ret_ns = to_ns(&spent);
    return 0;
}

uint64_t cpu_clock_thread_ns(void)
{
    struct timespec spent;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent); /* cannot fail on one's own thread */
    return to_ns(&spent);
}
