#include "server/engine/uring/watches.h"

#include <poll.h>

#include "server/engine/uring/submission.h"

struct uring_watch *watches_find(struct uring *uring, uint64_t user_data)
{
    for (uint32_t i = 0; i < URING_WATCHES_MAX; i++) {
        if (uring->watches[i].user_data == user_data) {
            return &uring->watches[i];
        }
    }
    return NULL;
}

void watches_arm(struct uring *uring, const struct uring_watch *watch)
{
    struct io_uring_sqe *entry = submission_next(uring);
    io_uring_prep_poll_multishot(entry, watch->fd, POLLIN);
    entry->user_data = watch->user_data;
    uring->in_flight++;
}
