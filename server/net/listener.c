#include "server/net/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/fault.h"

/* A socket file that refuses connections belongs to a server that is gone. */
static bool is_stale_socket(const struct address *address)
{
    struct stat status;
    if (lstat(address->name.local.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool is_refused =
        connect(fd, &address->name.any, address->name_bytes) != 0 && errno == ECONNREFUSED;
    (void)close(fd); /* it was only a question */
    return is_refused;
}

static int set_options(int fd, const struct address *address)
{
    const int on = 1;
    const int off = 0;
    if (address->family == ADDRESS_UNIX) {
        return 0;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
        return -errno;
    }
    if (address->family == ADDRESS_IPV6) {
        const int *only = address->is_dual_stack ? &off : &on;
        if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, only, sizeof(*only)) != 0) {
            return -errno;
        }
    }
    return 0;
}

static int bind_and_listen(int fd, const struct address *address)
{
    int rc = FAULT("listener_bind") == 0 ? bind(fd, &address->name.any, address->name_bytes) : -1;
    if (rc != 0 && errno == EADDRINUSE && address->family == ADDRESS_UNIX &&
        is_stale_socket(address) && unlink(address->name.local.sun_path) == 0) {
        rc = bind(fd, &address->name.any, address->name_bytes);
    }
    if (rc != 0 || listen(fd, LISTENER_BACKLOG) != 0) {
        return -errno;
    }
    return 0;
}

static int open_one(const struct address *address, struct listener *ret_listener)
{
    int fd = socket(address->name.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    struct listener listener = {.fd = fd, .address = *address};
    int rc = set_options(fd, address);
    if (rc == 0) {
        rc = bind_and_listen(fd, address);
    }
    if (rc == 0) {
        socklen_t name_bytes = sizeof(listener.address.name);
        rc = getsockname(fd, &listener.address.name.any, &name_bytes) == 0 ? 0 : -errno;
        listener.address.name_bytes = name_bytes;
    }
    if (rc < 0) {
        (void)close(fd); /* nothing was accepted on it */
        return rc;
    }
    struct stat status;
    if (address->family == ADDRESS_UNIX && lstat(address->name.local.sun_path, &status) == 0) {
        listener.file_device = status.st_dev;
        listener.file_inode = status.st_ino;
    }
    listener.text = address_format(&listener.address);
    *ret_listener = listener;
    return 0;
}

int listener_open(const struct address *address, struct listener *ret_listener)
{
    int rc = open_one(address, ret_listener);
    if (rc == -EAFNOSUPPORT && address->is_dual_stack) { /* a machine without IPv6 */
        struct address ipv4 = address_ipv4_fallback(address);
        rc = open_one(&ipv4, ret_listener);
    }
    return rc;
}

void listener_refuse(const struct listener *listener)
{
    (void)shutdown(listener->fd, SHUT_RDWR); /* a listening socket has no data to lose */
}

/* A successor may have put its own socket there. */
static bool is_own_file(const struct listener *listener)
{
    struct stat status;
    return listener->file_inode != 0 &&
           lstat(listener->address.name.local.sun_path, &status) == 0 &&
           status.st_dev == listener->file_device && status.st_ino == listener->file_inode;
}

void listener_close(struct listener *listener)
{
    if (listener->fd < 0) {
        return;
    }
    if (is_own_file(listener)) {
        (void)unlink(listener->address.name.local.sun_path); /* gone already is as good */
    }
    (void)close(listener->fd); /* nothing was accepted that is not closed */
    listener->fd = -1;
}

const char *listener_advice(int error)
{
    switch (-error) {
    case EADDRINUSE:
        return "another program listens there; stop it, or choose another port "
               "(port 0 takes any free one)";
    case EACCES:
        return "ports below 1024 need root, CAP_NET_BIND_SERVICE or a lower "
               "net.ipv4.ip_unprivileged_port_start";
    case EADDRNOTAVAIL:
        return "no interface of this machine has that address; see 'ip address'";
    case ENOENT:
        return "the socket's directory does not exist";
    default:
        return "check the address";
    }
}
