/*
 * For the catalog's tests: a catalog on a tree, and workers that keep the contract of catalog.h
 * with it through mailboxes. A test either lets every message arrive at once (sim_settle), or
 * delivers them one by one in whatever order it likes, each mailbox first in, first out.
 *
 * The workers check what they can at every step: a version they were given and have not released
 * is as it was. What goes wrong ends the program: ASSERT.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/catalog/catalog.h"
#include "server/catalog/tree_fixture.h"

#define SIM_WORKERS     3
#define SIM_HELD_MAX    4096
#define SIM_MAILBOX_MAX 8192

enum sim_kind {
    SIM_MISS,
    SIM_APPLIED,
    SIM_EVICTED,
    SIM_RELEASED,
    SIM_LOADED,
    SIM_GENERATION,
};

struct sim_message {
    enum sim_kind kind;
    uint32_t status;
    struct version *version;
    struct generation *generation;
    char *key; /* SIM_MISS, SIM_LOADED: allocated; freed by whoever takes SIM_LOADED */
};

struct sim_mailbox {
    struct sim_message messages[SIM_MAILBOX_MAX];
    uint32_t head;
    uint32_t tail;
};

/* One version that a worker was given, and what it looked like then. */
struct sim_held {
    struct version *version;
    uint64_t size_bytes;
    uint64_t body_hash; /* of a memory body */
    char key[64];
    char etag[64];
    bool is_mapped; /* the worker's map leads to it; false: it only waits for its users to end */
};

struct sim_worker {
    struct sim_mailbox to_worker;
    struct sim_mailbox to_control;
    struct sim_held held[SIM_HELD_MAX];
    uint32_t held_count;
    uint32_t last_status; /* of the last LOADED */
    uint32_t missing;     /* MISS sent, LOADED not received */
    bool cannot_publish;  /* its table is full: what it is given, it gives back */
};

struct sim {
    struct tree tree;
    struct test_clock clock;
    struct catalog *catalog;
    unsigned fds_before;
    uint64_t drained_count;
    uint64_t change_count; /* in all generations so far */
    struct sim_worker workers[SIM_WORKERS];
};

/* What a test may change before sim_start(). */
struct sim_options {
    const char *root; /* relative to the tree's base; NULL: "root" */
    uint64_t memory_body_bytes;
    uint64_t memory_total_bytes;
};

/** Makes the tree; the catalog comes with sim_start(), or with what catalog_create() returns. */
struct sim *sim_create(void);
void sim_start(struct sim *sim, const struct sim_options *options);
int sim_try_start(struct sim *sim, const struct sim_options *options);

/**
 * Everything is evicted, delivered and released. Nothing may be left over: no version, no
 * descriptor, no generation that is not drained.
 */
void sim_stop(struct sim *sim);
void sim_destroy(struct sim *sim);

/** The worker asks for a key, whether it holds it or not. */
void sim_ask(struct sim *sim, uint32_t worker_index, struct span key);

/** Control takes changes in, and sends what follows; returns how many changes that were. */
uint32_t sim_take(struct sim *sim);

/** One message, if there is one: from control to the worker, or the other way. */
bool sim_deliver_to_worker(struct sim *sim, uint32_t worker_index);
bool sim_deliver_to_control(struct sim *sim, uint32_t worker_index);

/** The worker gives up, or releases, what it holds at `held_index`. */
void sim_evict(struct sim *sim, uint32_t worker_index, uint32_t held_index);
void sim_release(struct sim *sim, uint32_t worker_index, uint32_t held_index);

/** Time passes: polls are due. */
void sim_let_poll(struct sim *sim);

/** Delivers all messages; workers release at once what they no longer map. */
void sim_settle(struct sim *sim);

/** What the worker's map leads to, or NULL. */
const struct version *sim_mapped(const struct sim *sim, uint32_t worker_index, struct span key);

/** Asks, settles, and returns the status; the map has the version if it is 200. */
uint32_t sim_status(struct sim *sim, uint32_t worker_index, const char *key);

/** Reads a version's body as an answer would, up to `buffer_bytes`; returns the bytes. */
size_t sim_body(const struct version *version, char *buffer, size_t buffer_bytes);

/** The worker's map leads `key` to a version with just this body. */
bool sim_serves(const struct sim *sim, uint32_t worker_index, const char *key, const char *body);

/** Checks every version that a worker holds. */
void sim_check(const struct sim *sim);
