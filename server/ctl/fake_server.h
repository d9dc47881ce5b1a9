/*
 * An admin listener that plays a script, on a thread of its own: it accepts one connection, reads a
 * request, sends what it was given, and closes. For the tests of this folder.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "config/address.h"

struct fake_server {
    char folder[32];
    struct address address; /* a unix socket within the folder */
    int listen_fd;
    pthread_t thread;
    const char *answer; /* NULL: never answers, until fake_server_stop() */
    char request[512];  /* what came, NUL-terminated; read after fake_server_stop() */
    int release_fds[2]; /* closing [1] ends a server that never answers */
};

/** Starts it; `answer` is borrowed until fake_server_stop(). */
void fake_server_start(struct fake_server *server, const char *answer);

/** Ends it, and removes its socket. */
void fake_server_stop(struct fake_server *server);
