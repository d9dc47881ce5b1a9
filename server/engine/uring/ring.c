#include "server/engine/uring/ring.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/base/fault.h"

/* What Linux 6.1 offers, and the engine cannot do without. */
#define RING_SETUP_NEEDED                                                                          \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |           \
     IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP)

/*
 * The one place that tries fewer flags: each row is what to ask for when the row before it was
 * refused with EINVAL. The kernel has no other way to tell which flags it knows.
 */
static int setup_descending(uint32_t entry_count, struct io_uring_params *params)
{
    static const uint32_t attempts[] = {
        RING_SETUP_NEEDED | IORING_SETUP_NO_SQARRAY, /* 6.6 */
        RING_SETUP_NEEDED,                           /* 6.1 */
    };
    const uint32_t completion_count = params->cq_entries;
    int result = -EINVAL;
    for (size_t i = 0; i < ARRAY_COUNT(attempts) && result == -EINVAL; i++) {
        *params = (struct io_uring_params){.flags = attempts[i], .cq_entries = completion_count};
        const int fault = FAULT("uring_setup");
        result = fault != 0 ? -fault : io_uring_setup(entry_count, params);
    }
    return result;
}

/*
 * io_uring_queue_init_params() of liburing 2.3 writes the array of indices even when there is none,
 * which would be the ring's head and tail; so this is done in parts.
 */
static int map_ring(struct io_uring *ring, int fd, struct io_uring_params *params)
{
    const int result = io_uring_queue_mmap(fd, params, ring);
    if (result < 0) {
        return result;
    }
    ring->ring_fd = fd; /* liburing 2.9 leaves these to its caller, 2.3 does not */
    ring->enter_ring_fd = fd;
    ring->flags = params->flags;
    ring->features = params->features;
    if ((params->flags & IORING_SETUP_NO_SQARRAY) == 0) {
        for (uint32_t i = 0; i < ring->sq.ring_entries; i++) {
            ring->sq.array[i] = i;
        }
    }
    return 0;
}

int ring_init(struct ring *ret_ring, uint32_t entry_count, uint32_t completion_count)
{
    ASSERT(completion_count >= entry_count);
    struct io_uring_params params = {.cq_entries = completion_count};
    const int fd = setup_descending(entry_count, &params);
    if (fd < 0) {
        return fd;
    }
    struct ring ring = {.enter_flags = 0};
    const int result = map_ring(&ring.io, fd, &params);
    if (result < 0) {
        (void)close(fd); /* nothing was written through it */
        return result;
    }
    /* Without it each entry looks the descriptor up again; a full table of 16 is no error. */
    if (io_uring_register_ring_fd(&ring.io) == 1) {
        ring.enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
    if ((params.features & IORING_FEAT_NO_IOWAIT) != 0) {
        ring.enter_flags |= IORING_ENTER_NO_IOWAIT;
    }
    *ret_ring = ring;
    return 0;
}

void ring_deinit(struct ring *ring)
{
    io_uring_queue_exit(&ring->io);
}

/* liburing would add `count` to the soft limit, and fail where that passes the hard one. */
static int raise_file_limit(uint32_t count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return -errno;
    }
    if (limit.rlim_cur >= count) {
        return 0;
    }
    if (limit.rlim_max < count) {
        return -EMFILE;
    }
    limit.rlim_cur = count;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : -errno;
}

int ring_register_files(struct ring *ring, uint32_t slot_count)
{
    const int result = raise_file_limit(slot_count);
    if (result < 0) {
        return result;
    }
    const int fault = FAULT("uring_files");
    return fault != 0 ? -fault : io_uring_register_files_sparse(&ring->io, slot_count);
}
