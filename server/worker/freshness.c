#include "server/worker/freshness.h"

#include <sys/ioctl.h>

bool freshness_is_suspect(const struct freshness_gate *gate)
{
    int queued_bytes = 0;
    if (gate->watch_fd >= 0 &&
        (ioctl(gate->watch_fd, FIONREAD, &queued_bytes) != 0 || queued_bytes > 0)) {
        return true; /* an unreadable queue tells nothing: be careful */
    }
    /* The queue's lock orders this: whoever emptied it had begun before. */
    return atomic_load_explicit(&gate->begun, memory_order_seq_cst) !=
           atomic_load_explicit(&gate->finished, memory_order_seq_cst);
}
