#include "server/ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* 0 when the events are there, or -ETIMEDOUT, or -errno. */
static int wait_for(int fd, short events, const struct clock *clock, uint64_t deadline_ns)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns(clock);
        if (now_ns >= deadline_ns) {
            return -ETIMEDOUT;
        }
        uint64_t left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
        int count = poll(&pollfd, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (count > 0) {
            return 0;
        }
        if (count < 0 && errno != EINTR) {
            return -errno;
        }
    }
}

static int finish_connect(int fd, const struct clock *clock, uint64_t deadline_ns)
{
    int error = wait_for(fd, POLLOUT, clock, deadline_ns);
    if (error != 0) {
        return error;
    }
    int result = 0;
    socklen_t result_bytes = sizeof(result);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &result_bytes) != 0) {
        return -errno;
    }
    return -result;
}

int client_connect(const struct address *address, const struct clock *clock, uint64_t deadline_ns)
{
    int fd = socket(address->name.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    int error = connect(fd, &address->name.any, address->name_bytes) == 0 ? 0 : -errno;
    if (error == -EINPROGRESS) {
        error = finish_connect(fd, clock, deadline_ns);
    }
    if (error != 0) {
        (void)close(fd); /* nothing was sent */
        return error;
    }
    return fd;
}

static int
send_all(int fd, const char *bytes, size_t count, const struct clock *clock, uint64_t deadline_ns)
{
    while (count > 0) {
        int error = wait_for(fd, POLLOUT, clock, deadline_ns);
        if (error != 0) {
            return error;
        }
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EPIPE) {
            return 0; /* it has closed already: what it said is still to be read */
        }
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        if (sent > 0) {
            bytes += sent;
            count -= (size_t)sent;
        }
    }
    return 0;
}

/* Reads up to the end of the stream. Returns bytes, or -errno. */
static ssize_t
receive_all(int fd, char *buffer, size_t capacity, const struct clock *clock, uint64_t deadline_ns)
{
    size_t bytes = 0;
    for (;;) {
        int error = wait_for(fd, POLLIN, clock, deadline_ns);
        if (error != 0) {
            return error;
        }
        ssize_t got = recv(fd, buffer + bytes, capacity - bytes, 0);
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        if (got == 0) {
            return (ssize_t)bytes;
        }
        bytes += got > 0 ? (size_t)got : 0;
        if (bytes == capacity) {
            return -EMSGSIZE;
        }
    }
}

/* `HTTP/1.1 200 OK`, whose length is not trusted. False: it is none. */
static bool read_status_line(const char *text, struct client_answer *answer)
{
    static const char front[] = "HTTP/1.";
    if (strncmp(text, front, sizeof(front) - 1) != 0) {
        return false;
    }
    const char *status = text + sizeof(front) - 1;
    if ((status[0] != '0' && status[0] != '1') || status[1] != ' ' ||
        strspn(status + 2, "0123456789") != 3 || status[2] == '0') {
        return false;
    }
    status += 2;
    answer->status = (uint32_t)(status[0] - '0') * 100 + (uint32_t)(status[1] - '0') * 10 +
                     (uint32_t)(status[2] - '0');
    const char *reason = status + 3;
    reason += *reason == ' ';
    size_t bytes = strcspn(reason, "\r\n");
    bytes = bytes < sizeof(answer->reason) ? bytes : sizeof(answer->reason) - 1;
    for (size_t i = 0; i < bytes; i++) {
        answer->reason[i] = reason[i] >= ' ' && reason[i] <= '~' ? reason[i] : '?';
    }
    answer->reason[bytes] = '\0';
    return true;
}

static int parse_answer(struct client_answer *answer)
{
    const char *end = strstr(answer->text, "\r\n\r\n");
    if (end == NULL || !read_status_line(answer->text, answer)) {
        return -EPROTO;
    }
    answer->body = end + 4;
    return 0;
}

int client_get(int fd,
               const char *path,
               const struct clock *clock,
               uint64_t deadline_ns,
               struct client_answer *ret_answer)
{
    char request[256];
    int request_bytes =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: turntable\r\nConnection: close\r\n\r\n", path);
    if (request_bytes < 0 || (size_t)request_bytes >= sizeof(request)) {
        return -ENAMETOOLONG;
    }
    struct client_answer answer = {.text = malloc(CLIENT_ANSWER_MAX + 1)};
    if (answer.text == NULL) {
        return -ENOMEM;
    }
    int error = send_all(fd, request, (size_t)request_bytes, clock, deadline_ns);
    if (error == 0) {
        ssize_t bytes = receive_all(fd, answer.text, CLIENT_ANSWER_MAX, clock, deadline_ns);
        error = bytes < 0 ? (int)bytes : 0;
        answer.text[bytes < 0 ? 0 : bytes] = '\0';
    }
    if (error == 0) {
        error = parse_answer(&answer);
    }
    if (error != 0) {
        client_answer_deinit(&answer);
        return error;
    }
    *ret_answer = answer;
    return 0;
}

void client_answer_deinit(struct client_answer *answer)
{
    free(answer->text);
    *answer = (struct client_answer){.text = NULL};
}
