/*
 * What the tests of the io_uring engine share: an engine of small numbers, loopback sockets, and
 * events taken one at a time. Everything is bounded by an alarm that kills the test program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/engine/engine.h"
#include "server/engine/uring/uring_internal.h"

#define FIXTURE_ENTRIES      64
#define FIXTURE_SLOTS        512
#define FIXTURE_BUFFERS      16
#define FIXTURE_BUFFER_BYTES 512

/* Seconds that one test may take, under any sanitizer. */
#define FIXTURE_SECONDS_MAX 60

/* An engine, and events of it that came before the one that was asked for. */
struct fixture {
    struct engine *engine;
    struct engine_event early[4096];
    uint32_t early_count;
};

/** For cmocka: `*state` is a struct fixture with a fresh engine. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/** Exits with 77 and the reason where io_uring cannot be used. Call first in main(). */
void fixture_skip_without_uring(void);

/** The engine's inside. */
struct uring *fixture_uring(struct fixture *fixture);

static inline struct engine_token token_of(uint32_t index, uint32_t generation)
{
    return (struct engine_token){.index = index, .generation = generation};
}

/** The next event of this kind and index; others are kept for later. Fails if the engine dies. */
struct engine_event fixture_await(struct fixture *fixture, enum engine_op op, uint32_t index);

/** Whether such an event has come, after one more wait that a timeout of 1 ms ends. */
bool fixture_has_come(struct fixture *fixture, enum engine_op op, uint32_t index);

/** Submits what was started and takes what is ready, without waiting for more than that. */
void fixture_settle(struct fixture *fixture);

/** Starts three times what the submission queue holds, and sees all of it end. */
void fixture_overfill(struct fixture *fixture);

/** Gives back the buffer of a receive event. */
void fixture_return(struct fixture *fixture, const struct engine_event *event);

/** A listening TCP socket on 127.0.0.1; the port is for fixture_connect(). */
int fixture_listen(uint16_t *ret_port);
int fixture_connect(uint16_t port);

/** A connected pair of stream sockets. */
void fixture_pair(int ret_fds[static 2]);

/** A file in memory with these bytes. */
int fixture_file(const char *text);

/** Open descriptors of this process. */
uint32_t fixture_open_files(void);
