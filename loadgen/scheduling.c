#include "loadgen/scheduling.h"

#include <assert.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/base/clock.h"

#define SLICE_NS (NS_PER_MS / 10) /* the shortest that the kernel gives */

/* As the kernel has it (SCHED_ATTR_SIZE_VER0); in Debian 12 <linux/sched/types.h> and <sched.h>
 * exclude each other. */
struct scheduling_attributes {
    uint32_t bytes;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* SCHED_OTHER: the slice, from Linux 6.12 on; ignored before */
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static_assert(sizeof(struct scheduling_attributes) == 48, "the kernel's first version of it");

void scheduling_ask_for_short_slices(void)
{
    const struct scheduling_attributes attributes = {
        .bytes = sizeof(attributes),
        .policy = SCHED_OTHER,
        .runtime_ns = SLICE_NS,
    };
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0); /* a wish */
}
