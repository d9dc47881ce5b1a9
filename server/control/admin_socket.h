/*
 * The admin listener's socket: opens it where only the right people reach it, takes over what a
 * dead server left, and refuses to push a living one aside.
 *
 * Owns a descriptor and, for a unix socket, the file that names it. Control thread; start and end.
 */
#pragma once

#include <stdint.h>

#include "config/address.h"
#include "server/control/admin_address.h"

struct admin_socket {
    int fd;                 /* listening and non-blocking; -1: not open */
    struct address address; /* as bound: with the real port */
    uint64_t device;        /* of a unix socket's file, so that no other's is removed */
    uint64_t inode;
};

/**
 * Listens at an address. A unix socket gets mode 0600; a socket file that nobody accepts on is
 * replaced.
 *
 * ret_what   set on failure: a sentence that says what is wrong and the remedy (static)
 * returns    0 or -errno: -EADDRINUSE when another server is there. On failure `ret_socket` is
 *            closed, and its address the one that was tried.
 */
[[gnu::warn_unused_result]] int admin_socket_open(const struct address *address,
                                                  struct admin_socket *ret_socket,
                                                  const char **ret_what);

/**
 * Listens at the first default place whose directory is there or can be made (mode 0700), and
 * belongs to this user.
 *
 * ret_what, returns   as admin_socket_open()
 */
[[gnu::warn_unused_result]] int admin_socket_open_default(const struct admin_places *places,
                                                          struct admin_socket *ret_socket,
                                                          const char **ret_what);

/** Closes the socket and removes its file, if that still is this socket's. */
void admin_socket_close(struct admin_socket *socket);
