/*
 * One question to a server's admin listener: plain HTTP over a socket, with a deadline.
 *
 * Owns nothing between calls. One thread; waits for the server, but not for ever.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config/address.h"
#include "server/base/clock.h"

/* An answer's bytes; /status has 2 KB, /metrics 20 KB. More does not come from turntable. */
#define CLIENT_ANSWER_MAX (1024 * 1024)

struct client_answer {
    char *text;       /* the whole answer, NUL-terminated */
    const char *body; /* within `text` */
    uint32_t status;  /* 100..999 */
    char reason[64];  /* of the status line, printable */
};

/**
 * Connects.
 *
 * deadline_ns   when to give up, on `clock`'s monotonic time
 * returns       a descriptor, the caller's to close, or -errno: -ENOENT and -ECONNREFUSED when no
 *               server is there
 */
[[gnu::warn_unused_result]] int
client_connect(const struct address *address, const struct clock *clock, uint64_t deadline_ns);

/**
 * Sends `GET path` and reads the answer.
 *
 * fd        of client_connect()
 * returns   0, then client_answer_deinit() is owed; -ETIMEDOUT; -EPROTO: what answers speaks no
 *           HTTP; -EMSGSIZE: more than CLIENT_ANSWER_MAX; another -errno when the connection broke
 */
[[gnu::warn_unused_result]] int client_get(int fd,
                                           const char *path,
                                           const struct clock *clock,
                                           uint64_t deadline_ns,
                                           struct client_answer *ret_answer);

void client_answer_deinit(struct client_answer *answer);
