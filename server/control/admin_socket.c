#include "server/control/admin_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/base/fault.h"

/* Connections that may wait to be accepted. */
#define ADMIN_BACKLOG 256

static const char what_alive[] =
    "another server answers there: stop it, or name another place with --admin unix:PATH";
static const char what_no_socket[] = "something that is not a socket has that name: move it away, "
                                     "or name another place with --admin";
static const char what_no_directory[] =
    "the directory is not there: make it, or name another place with --admin unix:PATH";
static const char what_no_permission[] =
    "no permission: name another place with --admin unix:PATH, or --admin none";
static const char what_port_taken[] = "the port is taken: name another one with --admin HOST:PORT";
static const char what_not_ours[] =
    "the runtime directory belongs to somebody else, or others may write there: set "
    "XDG_RUNTIME_DIR, or name a place with --admin unix:PATH";
static const char what_other[] = "it cannot be opened: name another place with --admin, or none";

static const char *what_of(int error, enum address_family family)
{
    if (error == -EADDRINUSE) {
        return family == ADDRESS_UNIX ? what_alive : what_port_taken;
    }
    if (error == -EACCES || error == -EPERM || error == -EROFS) {
        return what_no_permission;
    }
    return error == -ENOENT || error == -ENOTDIR ? what_no_directory : what_other;
}

static int socket_create(const struct address *address)
{
    int fault = FAULT("admin_socket");
    if (fault != 0) {
        return -fault;
    }
    int fd = socket(address->name.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

/* 0: the socket file is stale, or there is none; -EADDRINUSE: somebody listens; else -errno. */
static int unix_probe(const struct address *address)
{
    int fd = socket_create(address);
    if (fd < 0) {
        return fd;
    }
    int error = connect(fd, &address->name.any, address->name_bytes) == 0 ? 0 : errno;
    (void)close(fd); /* it carried nothing */
    if (error == 0 || error == EAGAIN) {
        return -EADDRINUSE; /* EAGAIN: alive, and its backlog is full */
    }
    return error == ECONNREFUSED || error == ENOENT ? 0 : -error;
}

/* Makes the name free: removes a socket that nobody accepts on. */
static int unix_make_way(const struct address *address, const char **ret_what)
{
    const char *path = address->name.local.sun_path;
    struct stat status;
    if (lstat(path, &status) != 0) {
        return errno == ENOENT ? 0 : -errno; /* a missing directory is bind's to report */
    }
    if (!S_ISSOCK(status.st_mode)) {
        *ret_what = what_no_socket;
        return -EEXIST;
    }
    int error = unix_probe(address);
    if (error == 0 && unlink(path) != 0 && errno != ENOENT) {
        error = -errno;
    }
    return error;
}

static int unix_bind(struct admin_socket *socket)
{
    const struct address *address = &socket->address;
    /* bind(2) gives the file the mode of the socket's own inode: no moment with another mode. */
    if (fchmod(socket->fd, 0600) != 0 ||
        bind(socket->fd, &address->name.any, address->name_bytes) != 0) {
        return -errno;
    }
    struct stat status;
    if (lstat(address->name.local.sun_path, &status) != 0) {
        return -errno;
    }
    socket->device = status.st_dev;
    socket->inode = status.st_ino;
    return 0;
}

static int tcp_bind(struct admin_socket *socket)
{
    struct address *address = &socket->address;
    const int on = 1;
    const int is_ipv6_only = address->is_dual_stack ? 0 : 1;
    if (setsockopt(socket->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (address->family == ADDRESS_IPV6 && setsockopt(socket->fd, IPPROTO_IPV6, IPV6_V6ONLY,
                                                       &is_ipv6_only, sizeof(is_ipv6_only)) != 0) ||
        bind(socket->fd, &address->name.any, address->name_bytes) != 0) {
        return -errno;
    }
    socklen_t name_bytes = sizeof(address->name); /* now with the port that was taken */
    return getsockname(socket->fd, &address->name.any, &name_bytes) == 0 ? 0 : -errno;
}

static int listen_at(const struct address *address, struct admin_socket *ret_socket)
{
    *ret_socket = (struct admin_socket){.fd = -1, .address = *address};
    int fd = socket_create(address);
    if (fd < 0) {
        return fd;
    }
    ret_socket->fd = fd;
    int error = address->family == ADDRESS_UNIX ? unix_bind(ret_socket) : tcp_bind(ret_socket);
    if (error == 0 && listen(fd, ADMIN_BACKLOG) != 0) {
        error = -errno;
    }
    if (error != 0) {
        admin_socket_close(ret_socket);
    }
    return error;
}

int admin_socket_open(const struct address *address,
                      struct admin_socket *ret_socket,
                      const char **ret_what)
{
    const char *what = NULL;
    *ret_socket = (struct admin_socket){.fd = -1, .address = *address};
    int error = address->family == ADDRESS_UNIX ? unix_make_way(address, &what) : 0;
    if (error == 0) {
        error = listen_at(address, ret_socket);
    }
    if (error == -EAFNOSUPPORT && address->is_dual_stack) { /* a machine without IPv6 */
        struct address ipv4 = address_ipv4_fallback(address);
        error = listen_at(&ipv4, ret_socket);
    }
    if (error != 0) {
        *ret_what = what != NULL ? what : what_of(error, address->family);
    }
    return error;
}

/* The directory of a default place: made if need be, ours, and nobody else's to write in. */
static int directory_make(const struct address *address)
{
    char path[sizeof(address->name.local.sun_path)];
    memcpy(path, address->name.local.sun_path, sizeof(path));
    char *slash = strrchr(path, '/');
    ASSERT(slash != NULL);
    *slash = '\0';
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return -errno;
    }
    struct stat status;
    if (lstat(path, &status) != 0) {
        return -errno;
    }
    if (!S_ISDIR(status.st_mode)) {
        return -ENOTDIR;
    }
    bool is_private = (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    return status.st_uid == geteuid() && is_private ? 0 : -EPERM;
}

int admin_socket_open_default(const struct admin_places *places,
                              struct admin_socket *ret_socket,
                              const char **ret_what)
{
    struct address addresses[ADMIN_DEFAULT_MAX];
    uint32_t count = admin_default_addresses(places, addresses);
    int error = -ENOENT;
    for (uint32_t i = 0; i < count; i++) {
        error = directory_make(&addresses[i]);
        if (error == 0) {
            return admin_socket_open(&addresses[i], ret_socket, ret_what);
        }
    }
    *ret_socket = (struct admin_socket){.fd = -1, .address = addresses[count - 1]};
    *ret_what = what_not_ours;
    return error;
}

static void unix_remove(const struct admin_socket *socket)
{
    const char *path = socket->address.name.local.sun_path;
    struct stat status;
    if (lstat(path, &status) == 0 && status.st_dev == socket->device &&
        status.st_ino == socket->inode) {
        (void)unlink(path); /* a stale socket is what the next start copes with */
    }
}

void admin_socket_close(struct admin_socket *socket)
{
    if (socket->fd < 0) {
        return;
    }
    if (socket->address.family == ADDRESS_UNIX && socket->inode != 0) {
        unix_remove(socket);
    }
    (void)close(socket->fd); /* it carried nothing */
    socket->fd = -1;
}
