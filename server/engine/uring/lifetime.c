#include "server/engine/uring/lifetime.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/engine/uring/ring.h"

/* How long the release may take: where it is not held back, the kernel posts it at once. */
#define RELEASE_WAIT_NS 1000000

#define ENTRY_COUNT 8

enum {
    LONG_SLOT,    /* an eventfd that is polled for as long as the probe lasts */
    CLEARED_SLOT, /* an eventfd that is taken out meanwhile */
    SLOT_COUNT,
};

enum {
    TAG_NONE,
    TAG_CLEARED,
    TAG_POLL,
};

static int fill_slots(struct ring *ring, const int fds[static SLOT_COUNT])
{
    const int result = ring_register_files(ring, SLOT_COUNT);
    if (result < 0) {
        return result;
    }
    const __u64 tags[SLOT_COUNT] = {[LONG_SLOT] = TAG_NONE, [CLEARED_SLOT] = TAG_CLEARED};
    const int done = io_uring_register_files_update_tag(&ring->io, 0, fds, tags, SLOT_COUNT);
    if (done < 0) {
        return done;
    }
    return done == SLOT_COUNT ? 0 : -EBADF;
}

static int start_long_request(struct ring *ring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->io);
    io_uring_prep_poll_add(entry, LONG_SLOT, POLLIN);
    entry->flags |= IOSQE_FIXED_FILE;
    entry->user_data = TAG_POLL;
    const int submitted = ring_enter(ring, 0, 0);
    if (submitted < 0) {
        return submitted;
    }
    return submitted == 1 ? 0 : -EAGAIN;
}

static int clear_slot(struct ring *ring)
{
    const int fd = -1;
    const __u64 tag = TAG_NONE;
    const int done = io_uring_register_files_update_tag(&ring->io, CLEARED_SLOT, &fd, &tag, 1);
    if (done < 0) {
        return done;
    }
    return done == 1 ? 0 : -EIO;
}

/* Whether the release is told while the poll is still in flight. */
static int await_release(struct ring *ring, enum lifetime *ret_lifetime)
{
    struct __kernel_timespec limit = {.tv_nsec = RELEASE_WAIT_NS};
    struct io_uring_cqe *completion = NULL;
    const int result = io_uring_submit_and_wait_timeout(&ring->io, &completion, 1, &limit, NULL);
    if (completion == NULL) {
        if (result < 0 && result != -ETIME && result != -EINTR) {
            return result;
        }
        *ret_lifetime = LIFETIME_IN_ORDER;
        return 0;
    }
    if (completion->user_data != TAG_CLEARED) {
        return -EIO; /* the poll failed: this shows nothing */
    }
    *ret_lifetime = LIFETIME_PER_SLOT;
    return 0;
}

static int probe_ring(struct ring *ring, const int fds[static SLOT_COUNT], enum lifetime *ret)
{
    int result = fill_slots(ring, fds);
    if (result == 0) {
        result = start_long_request(ring);
    }
    if (result == 0) {
        result = clear_slot(ring);
    }
    return result == 0 ? await_release(ring, ret) : result;
}

int lifetime_probe(enum lifetime *ret_lifetime)
{
    int result;
    int fds[SLOT_COUNT];
    fds[LONG_SLOT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fds[LONG_SLOT] < 0) {
        return -errno;
    }
    fds[CLEARED_SLOT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fds[CLEARED_SLOT] < 0) {
        result = -errno;
        goto close_long;
    }
    struct ring ring;
    result = ring_init(&ring, ENTRY_COUNT, 2 * ENTRY_COUNT);
    if (result < 0) {
        goto close_cleared;
    }
    result = probe_ring(&ring, fds, ret_lifetime);
    ring_deinit(&ring); /* the kernel cancels the poll */

close_cleared:
    (void)close(fds[CLEARED_SLOT]); /* nothing was written */
close_long:
    (void)close(fds[LONG_SLOT]); /* nothing was written */
    return result;
}

const char *lifetime_name(enum lifetime lifetime)
{
    switch (lifetime) {
    case LIFETIME_PER_SLOT:
        return "per-slot";
    case LIFETIME_IN_ORDER:
        return "in-order";
    }
    return "unknown";
}
