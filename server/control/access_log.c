#include "server/control/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/fault.h"
#include "server/base/log.h"

/* What is taken from a worker at once. Byte 0 is a newline, written only to end a torn line. */
#define BUFFER_BYTES (64 * 1024)

struct access_log {
    struct access_log_config config;
    int fd;
    bool is_stdout;
    bool is_file; /* a regular file: write(2) takes everything, or fails */
    bool is_torn; /* the file ends within a line whose rest was dropped */
    uint32_t next_worker;
    uint64_t lines_unwritten;
    struct log_limit warning;
    size_t begin; /* of what is in the buffer and not yet written */
    size_t end;
    char buffer[BUFFER_BYTES];
};

static int file_open(const char *path)
{
    int fault = FAULT("access_log_open");
    if (fault != 0) {
        return -fault;
    }
    /* Not blocking: a FIFO that nobody reads must not stop the start. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    return fd < 0 ? -errno : fd;
}

static bool fd_is_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

int access_log_create(const struct access_log_config *config, struct access_log **ret_log)
{
    bool is_stdout = strcmp(config->path, "-") == 0;
    int fd = is_stdout ? STDOUT_FILENO : file_open(config->path);
    if (fd < 0) {
        return fd;
    }
    struct access_log *log = alloc_zeroed(1, sizeof(*log));
    if (log == NULL) {
        if (!is_stdout) {
            (void)close(fd); /* nothing was written */
        }
        return -ENOMEM;
    }
    log->config = *config;
    log->fd = fd;
    log->is_stdout = is_stdout;
    log->is_file = fd_is_file(fd);
    *ret_log = log;
    return 0;
}

/* Gives up what is in the buffer; a line of which a part was written counts. */
static void drop_buffer(struct access_log *log, int error)
{
    uint64_t line_count = 0;
    for (size_t i = log->begin == 0 ? 1 : log->begin; i < log->end; i++) {
        line_count += log->buffer[i] == '\n';
    }
    log->lines_unwritten += line_count;
    log->is_torn = log->begin == 0 || log->buffer[log->begin - 1] != '\n';
    log->begin = 0;
    log->end = 0;

    uint64_t held_back;
    uint64_t now_ns = clock_monotonic_ns(log->config.clock);
    if (log_limit_admit(&log->warning, now_ns, ACCESS_LOG_WARN_NS, &held_back)) {
        log_warn("write access log '%s': %s, dropping lines and going on dropped=%" PRIu64,
                 log->config.path, strerror(error), log->lines_unwritten);
    }
}

/* A pipe, a terminal or a socket takes PIPE_BUF bytes at once when poll(2) says so, and standard
 * output's may block: that flag is shared with whoever started us. */
static size_t writable_bytes(const struct access_log *log)
{
    size_t bytes = log->end - log->begin;
    if (log->is_file) {
        return bytes;
    }
    struct pollfd pollfd = {.fd = log->fd, .events = POLLOUT};
    if (poll(&pollfd, 1, 0) != 1) {
        return 0;
    }
    return bytes < PIPE_BUF ? bytes : PIPE_BUF;
}

/* Writes the buffer as far as the file takes it now. True when it is empty. */
static bool write_buffer(struct access_log *log)
{
    while (log->begin < log->end) {
        size_t bytes = writable_bytes(log);
        if (bytes == 0) {
            return false;
        }
        int fault = FAULT("access_log_write");
        ssize_t written = fault != 0 ? -1 : write(log->fd, log->buffer + log->begin, bytes);
        int error = fault != 0 ? fault : errno;
        if (written > 0) {
            log->begin += (size_t)written;
            log->is_torn = false; /* its newline went first */
            continue;
        }
        if (written < 0 && error == EAGAIN) {
            return false;
        }
        if (written == 0 || error != EINTR) {
            drop_buffer(log, written == 0 ? ENOSPC : error);
        }
    }
    return true;
}

/* Fills the empty buffer with a worker's next lines. Bytes taken; 0: it has none. */
static size_t fill_buffer(struct access_log *log, struct worker *worker)
{
    size_t bytes = worker_take_log(worker, log->buffer + 1, sizeof(log->buffer) - 1);
    log->buffer[0] = '\n';
    log->begin = bytes > 0 && log->is_torn ? 0 : 1;
    log->end = 1 + bytes;
    return bytes;
}

bool access_log_write(struct access_log *log)
{
    size_t pass_bytes = 0;
    uint32_t empty_count = 0;
    while (empty_count < log->config.worker_count && pass_bytes < ACCESS_LOG_PASS_MAX) {
        if (!write_buffer(log)) {
            return false;
        }
        size_t bytes = fill_buffer(log, log->config.workers[log->next_worker]);
        pass_bytes += bytes;
        empty_count = bytes == 0 ? empty_count + 1 : 0;
        log->next_worker = (log->next_worker + 1) % log->config.worker_count;
    }
    bool is_written = write_buffer(log);
    return is_written && pass_bytes >= ACCESS_LOG_PASS_MAX;
}

int access_log_reopen(struct access_log *log)
{
    if (log->is_stdout) {
        return 0;
    }
    (void)access_log_write(log); /* what comes later goes to the new file */
    int fd = file_open(log->config.path);
    if (fd < 0) {
        return fd;
    }
    (void)close(log->fd); /* write(2) has reported what there was to report */
    log->fd = fd;
    log->is_file = fd_is_file(fd);
    log->is_torn = false;
    return 0;
}

uint64_t access_log_lines_unwritten(const struct access_log *log)
{
    return log->lines_unwritten;
}

void access_log_destroy(struct access_log *log)
{
    if (log == NULL) {
        return;
    }
    while (access_log_write(log)) {
    }
    if (log->begin < log->end) {
        drop_buffer(log, EAGAIN);
    }
    if (!log->is_stdout) {
        (void)close(log->fd); /* as above */
    }
    alloc_free(log);
}
