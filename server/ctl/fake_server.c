#include "server/ctl/fake_server.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/check.h"

/* Reads until the head is complete. */
static void read_request(struct fake_server *server, int fd)
{
    size_t bytes = 0;
    while (strstr(server->request, "\r\n\r\n") == NULL) {
        ssize_t got = recv(fd, server->request + bytes, sizeof(server->request) - 1 - bytes, 0);
        if (got <= 0) {
            return;
        }
        bytes += (size_t)got;
        server->request[bytes] = '\0';
    }
}

static void *serve(void *context)
{
    struct fake_server *server = context;
    int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return NULL; /* stopped before anybody came */
    }
    read_request(server, fd);
    if (server->answer == NULL) {
        char byte;
        ssize_t got = read(server->release_fds[0], &byte, 1);
        ASSERT(got == 0);
    } else {
        const char *rest = server->answer;
        ssize_t sent = 1;
        while (*rest != '\0' && sent > 0) {
            sent = send(fd, rest, strlen(rest), MSG_NOSIGNAL);
            rest += sent > 0 ? sent : 0;
        }
    }
    (void)close(fd);
    return NULL;
}

void fake_server_start(struct fake_server *server, const char *answer)
{
    *server = (struct fake_server){.answer = answer};
    (void)snprintf(server->folder, sizeof(server->folder), "/tmp/fake_server.XXXXXX");
    ASSERT(mkdtemp(server->folder) != NULL);
    char text[64];
    struct sentence error;
    (void)snprintf(text, sizeof(text), "unix:%s/admin.sock", server->folder);
    ASSERT(address_parse(span_of_string(text), &server->address, &error) == 0);
    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(server->listen_fd >= 0);
    ASSERT(bind(server->listen_fd, &server->address.name.any, server->address.name_bytes) == 0);
    ASSERT(listen(server->listen_fd, 8) == 0);
    ASSERT(pipe2(server->release_fds, O_CLOEXEC) == 0);
    ASSERT(pthread_create(&server->thread, NULL, serve, server) == 0);
}

void fake_server_stop(struct fake_server *server)
{
    (void)shutdown(server->listen_fd, SHUT_RDWR); /* ends an accept that waits */
    (void)close(server->release_fds[1]);
    ASSERT(pthread_join(server->thread, NULL) == 0);
    (void)close(server->release_fds[0]);
    (void)close(server->listen_fd);
    (void)unlink(server->address.name.local.sun_path);
    (void)rmdir(server->folder);
}
