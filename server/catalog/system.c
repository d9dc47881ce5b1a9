#include "server/catalog/system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/fault.h"

void *system_alloc(size_t bytes)
{
    return FAULT("catalog_alloc") != 0 ? NULL : alloc_zeroed(1, bytes);
}

int system_open(int directory_fd, const char *name, int flags)
{
    const int fault = FAULT("catalog_openat2");
    if (fault != 0) {
        return -fault;
    }
    const struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    for (;;) {
        const long fd = syscall(SYS_openat2, directory_fd, name, &how, sizeof(how));
        if (fd >= 0) {
            return (int)fd;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

int system_stat_name(int directory_fd, const char *name, struct stat *ret_stat)
{
    const int fault = FAULT("catalog_stat");
    if (fault != 0) {
        return -fault;
    }
    return fstatat(directory_fd, name, ret_stat, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

int system_stat_fd(int fd, struct stat *ret_stat)
{
    const int fault = FAULT("catalog_stat");
    if (fault != 0) {
        return -fault;
    }
    return fstat(fd, ret_stat) == 0 ? 0 : -errno;
}

ssize_t system_read_link(int directory_fd, const char *name, char *ret_target, size_t target_bytes)
{
    const int fault = FAULT("catalog_readlink");
    if (fault != 0) {
        return -fault;
    }
    const ssize_t bytes = readlinkat(directory_fd, name, ret_target, target_bytes);
    if (bytes < 0) {
        return -errno;
    }
    if ((size_t)bytes >= target_bytes) {
        return -ENAMETOOLONG; /* it may have been cut */
    }
    ret_target[bytes] = '\0';
    return bytes;
}

ssize_t system_read_at(int fd, void *buffer, size_t bytes, uint64_t offset)
{
    const int fault = FAULT("catalog_pread");
    if (fault != 0) {
        return -fault;
    }
    for (;;) {
        const ssize_t done = pread(fd, buffer, bytes, (off_t)offset);
        if (done >= 0) {
            return done;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

int system_add_watch(int inotify_fd, int directory_fd, uint32_t inotify_mask)
{
    const int fault = FAULT("catalog_add_watch");
    if (fault != 0) {
        return -fault;
    }
    /* inotify takes paths only; this one leads to the very directory that is open. */
    char path[sizeof("/proc/self/fd/") + 11];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", directory_fd); /* it fits an int */
    const int wd = inotify_add_watch(inotify_fd, path, inotify_mask);
    return wd >= 0 ? wd : -errno;
}

ssize_t system_read_queue(int fd, void *buffer, size_t bytes)
{
    const int fault = FAULT("catalog_read");
    if (fault != 0) {
        return -fault;
    }
    for (;;) {
        const ssize_t done = read(fd, buffer, bytes);
        if (done >= 0) {
            return done;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

uint32_t system_queued_bytes(int fd)
{
    int queued_bytes = 0;
    return ioctl(fd, FIONREAD, &queued_bytes) == 0 ? (uint32_t)queued_bytes : 0;
}

static int64_t ns_of(struct timespec time)
{
    return (int64_t)time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

struct file_identity system_identity_of(const struct stat *stat)
{
    return (struct file_identity){
        .device = stat->st_dev,
        .inode = stat->st_ino,
        .size_bytes = (uint64_t)stat->st_size,
        .mtime_ns = ns_of(stat->st_mtim),
        .ctime_ns = ns_of(stat->st_ctim),
    };
}
