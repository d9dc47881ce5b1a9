/*
 * Listening sockets: opened once at start, accepted on by every worker, closed at the end. What is
 * set here, accepted sockets inherit.
 *
 * Control's thread only (main). Knows addresses and descriptors, nothing of workers.
 */
#pragma once

#include "config/address.h"

/* Connections that wait to be accepted; the kernel caps it at net.core.somaxconn. */
#define LISTENER_BACKLOG 4096

struct listener {
    int fd;                   /* -1: not open */
    struct address address;   /* as bound: with the real port */
    struct address_text text; /* for messages */
    uint64_t file_device;     /* unix: of the socket's file, removed at close if it is still ours */
    uint64_t file_inode;
};

/**
 * Opens a socket that listens on `address`.
 *
 * A unix socket's file that nobody listens on any more is replaced; one that is in use is not.
 *
 * returns   0 or -errno: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, ...; listener_advice() says more
 */
[[gnu::warn_unused_result]] int listener_open(const struct address *address,
                                              struct listener *ret_listener);

/** From now on connections are refused; the descriptor stays valid until listener_close(). */
void listener_refuse(const struct listener *listener);

/** Closes it, and removes its file when it is a unix socket. */
void listener_close(struct listener *listener);

/** What to do about listener_open()'s error, as the end of a sentence. Static. */
const char *listener_advice(int error);
