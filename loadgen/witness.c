#include "loadgen/witness.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "loadgen/cpu_clock.h"
#include "loadgen/scheduling.h"
#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/clock.h"

/* A file is watched, then replaced, then released; the release may be seen before the rotator's
 * thread comes back from rename(2) and says that it was replaced. */
struct pending {
    int watch;            /* inotify's number for it, > 0; 0: this place is free */
    uint64_t replaced_ns; /* 0: not yet told */
    uint64_t released_ns; /* 0: not yet seen */
};

static_assert((WITNESS_PENDING_MAX & (WITNESS_PENDING_MAX - 1)) == 0, "used as a mask");

struct witness {
    int inotify_fd;
    int stop_fd;
    pthread_t thread;
    pthread_mutex_t mutex; /* over all that follows; neither side is in anybody's request path */
    struct witness_counts counts;
    struct histogram releases;
    uint64_t cpu_ns;         /* of the thread, when it last had an event */
    struct pending *pending; /* WITNESS_PENDING_MAX, by watch modulo: inotify counts upwards */
};

static struct pending *pending_of(struct witness *witness, int watch)
{
    return &witness->pending[(unsigned)watch & (WITNESS_PENDING_MAX - 1)];
}

/* Both ends of a release are known: it is over. */
static void settle(struct witness *witness, struct pending *pending)
{
    bool is_before = pending->released_ns < pending->replaced_ns;
    uint64_t took_ns = is_before ? 0 : pending->released_ns - pending->replaced_ns;
    histogram_record(&witness->releases, took_ns);
    witness->counts.released++;
    witness->counts.pending--;
    *pending = (struct pending){0};
}

static void on_released(struct witness *witness, int watch, uint64_t now_ns)
{
    struct pending *pending = pending_of(witness, watch);
    if (pending->watch != watch || pending->released_ns != 0) {
        return;
    }
    pending->released_ns = now_ns;
    if (pending->replaced_ns != 0) {
        settle(witness, pending);
    }
}

/* The kernel dropped a watch. After a release that is the end of it; else its news are lost. */
static void on_ignored(struct witness *witness, int watch)
{
    struct pending *pending = pending_of(witness, watch);
    if (pending->watch != watch || pending->released_ns != 0) {
        return;
    }
    witness->counts.lost++;
    witness->counts.pending--;
    *pending = (struct pending){0};
}

static void on_event(struct witness *witness, const struct inotify_event *event, uint64_t now_ns)
{
    if ((event->mask & IN_DELETE_SELF) != 0) {
        on_released(witness, event->wd, now_ns);
    }
    if ((event->mask & IN_IGNORED) != 0) {
        on_ignored(witness, event->wd);
    }
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        witness->counts.lost++; /* at least one; what it was of stays pending */
    }
}

static void on_readable(struct witness *witness)
{
    _Alignas(struct inotify_event) char buffer[16384];
    ssize_t bytes = read(witness->inotify_fd, buffer, sizeof(buffer));
    uint64_t now_ns = clock_monotonic_ns(clock_system());
    if (bytes <= 0) {
        return; /* non-blocking: there was nothing */
    }
    (void)pthread_mutex_lock(&witness->mutex);
    for (size_t offset = 0; offset < (size_t)bytes;) {
        const struct inotify_event *event = (const void *)(buffer + offset);
        on_event(witness, event, now_ns);
        offset += sizeof(*event) + event->len;
    }
    witness->cpu_ns = cpu_clock_thread_ns();
    (void)pthread_mutex_unlock(&witness->mutex);
}

static void *run(void *argument)
{
    struct witness *witness = argument;
    scheduling_ask_for_short_slices();
    struct pollfd fds[] = {
        {.fd = witness->inotify_fd, .events = POLLIN},
        {.fd = witness->stop_fd, .events = POLLIN},
    };
    while (fds[1].revents == 0) {
        if (poll(fds, ARRAY_COUNT(fds), -1) < 0) {
            ASSERT(errno == EINTR);
            continue;
        }
        if (fds[0].revents != 0) {
            on_readable(witness);
        }
    }
    return NULL;
}

int witness_create(struct witness **ret_witness)
{
    int result = -ENOMEM;
    struct witness *witness = alloc_zeroed(1, sizeof(*witness));
    if (witness == NULL) {
        return -ENOMEM;
    }
    histogram_reset(&witness->releases);
    (void)pthread_mutex_init(&witness->mutex, NULL); /* cannot fail with default attributes */
    witness->pending = alloc_map(WITNESS_PENDING_MAX * sizeof(*witness->pending));
    if (witness->pending == NULL) {
        goto free_witness;
    }
    witness->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (witness->inotify_fd < 0) {
        result = -errno;
        goto unmap_pending;
    }
    witness->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (witness->stop_fd < 0) {
        result = -errno;
        goto close_inotify;
    }
    result = -pthread_create(&witness->thread, NULL, run, witness);
    if (result < 0) {
        goto close_stop;
    }
    *ret_witness = witness;
    return 0;

close_stop:
    (void)close(witness->stop_fd);
close_inotify:
    (void)close(witness->inotify_fd);
unmap_pending:
    alloc_unmap(witness->pending, WITNESS_PENDING_MAX * sizeof(*witness->pending));
free_witness:
    alloc_free(witness);
    return result;
}

/* Takes the watch's place in the table; false when a file of long ago still holds it. */
static bool take_place(struct witness *witness, int watch)
{
    struct pending *pending = pending_of(witness, watch);
    if (pending->watch != 0) {
        return false;
    }
    pending->watch = watch;
    witness->counts.watched++;
    witness->counts.pending++;
    return true;
}

int witness_watch(struct witness *witness, const char *path)
{
    int watch = inotify_add_watch(witness->inotify_fd, path, IN_DELETE_SELF | IN_DONT_FOLLOW);
    int result = watch < 0 ? -errno : watch;
    (void)pthread_mutex_lock(&witness->mutex);
    if (watch >= 0 && !take_place(witness, watch)) {
        result = -ENOBUFS;
    }
    witness->counts.unwatched += result < 0;
    (void)pthread_mutex_unlock(&witness->mutex);
    if (result == -ENOBUFS) {
        (void)inotify_rm_watch(witness->inotify_fd, watch); /* it may just have gone by itself */
    }
    return result;
}

void witness_replaced(struct witness *witness, int watch, uint64_t replaced_ns)
{
    if (watch < 0) {
        return;
    }
    (void)pthread_mutex_lock(&witness->mutex);
    struct pending *pending = pending_of(witness, watch);
    if (pending->watch == watch) {
        pending->replaced_ns = replaced_ns;
        if (pending->released_ns != 0) {
            settle(witness, pending);
        }
    }
    (void)pthread_mutex_unlock(&witness->mutex);
}

void witness_cancel(struct witness *witness, int watch)
{
    if (watch < 0) {
        return;
    }
    (void)pthread_mutex_lock(&witness->mutex);
    struct pending *pending = pending_of(witness, watch);
    if (pending->watch == watch) {
        witness->counts.watched--;
        witness->counts.pending--;
        *pending = (struct pending){0};
    }
    (void)pthread_mutex_unlock(&witness->mutex);
    (void)inotify_rm_watch(witness->inotify_fd, watch); /* it may be gone with its file */
}

struct witness_counts witness_counts(struct witness *witness)
{
    (void)pthread_mutex_lock(&witness->mutex);
    struct witness_counts counts = witness->counts;
    (void)pthread_mutex_unlock(&witness->mutex);
    return counts;
}

void witness_merge_releases(struct witness *witness, struct histogram *histogram)
{
    (void)pthread_mutex_lock(&witness->mutex);
    histogram_merge(histogram, &witness->releases);
    (void)pthread_mutex_unlock(&witness->mutex);
}

uint64_t witness_cpu_ns(struct witness *witness)
{
    (void)pthread_mutex_lock(&witness->mutex);
    uint64_t cpu_ns = witness->cpu_ns;
    (void)pthread_mutex_unlock(&witness->mutex);
    return cpu_ns;
}

void witness_destroy(struct witness *witness)
{
    if (witness == NULL) {
        return;
    }
    /* An eventfd that nobody else writes has room for a one. */
    ASSERT(eventfd_write(witness->stop_fd, 1) == 0);
    ASSERT(pthread_join(witness->thread, NULL) == 0);
    (void)close(witness->stop_fd);
    (void)close(witness->inotify_fd);
    alloc_unmap(witness->pending, WITNESS_PENDING_MAX * sizeof(*witness->pending));
    (void)pthread_mutex_destroy(&witness->mutex);
    alloc_free(witness);
}
