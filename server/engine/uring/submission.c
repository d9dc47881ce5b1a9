#include "server/engine/uring/submission.h"

#include <errno.h>
#include <sched.h>

#include "server/base/fault.h"

bool submission_is_passing(int error)
{
    return error == -EAGAIN || error == -EBUSY || error == -EINTR;
}

int submission_enter(struct uring *uring, uint32_t min_complete, uint32_t flags)
{
    if (io_uring_cq_has_overflow(&uring->ring.io)) {
        uring->counters.overflows++; /* kept in kernel memory until there is room: never lost */
    }
    const int fault = FAULT("uring_enter");
    const int result = fault != 0 ? -fault : ring_enter(&uring->ring, min_complete, flags);
    uring->counters.waits++;
    if (result >= 0 && !ring_has_entries(&uring->ring)) {
        return 0;
    }
    if (result == -EINTR) {
        return 0;
    }
    if (result >= 0 || submission_is_passing(result)) {
        /* No memory for a request, or a queue to be emptied first: reap, and submit again then. */
        uring->counters.submit_retries++;
        return 0;
    }
    uring->dead = result;
    return result;
}

struct io_uring_sqe *submission_make_room(struct uring *uring)
{
    while (uring->dead == 0) {
        uring->counters.submit_retries++;
        if (submission_enter(uring, 0, 0) < 0) {
            break;
        }
        struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring.io);
        if (entry != NULL) {
            return entry;
        }
        (void)sched_yield(); /* the kernel is out of memory; what it runs may give some back */
    }
    return &uring->scratch;
}
