/*
 * The test as control thread: versions made by hand, answers and generations sent to the worker,
 * and an account of what the worker says. Part of a rig (rig_fixture.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/span.h"
#include "server/table/generation.h"
#include "server/table/version.h"

#define CONTROL_MISSES_MAX 1024
#define CONTROL_SAID_BYTES 8192

struct rig;

/* A version, and what passed between control and worker about it. */
struct hand_version {
    struct version version;
    char label[40];       /* "a.html#3": key, and which one of this rig */
    char *path;           /* of its file; NULL: body in memory */
    uint32_t given_count; /* by LOADED, by a change, or by version_put() */
    uint32_t evicted_count;
    uint32_t released_count;
    struct hand_version *next;
};

struct control {
    struct hand_version *versions; /* newest first */
    uint32_t version_count;
    struct generation *generations;
    uint64_t generation_count;
    struct miss *misses[CONTROL_MISSES_MAX]; /* asked and not answered, oldest first */
    uint32_t miss_count;
    uint32_t drained_count;
    uint32_t failed_count;
    char folder[64];               /* of the files; "": not made yet */
    char said[CONTROL_SAID_BYTES]; /* not asked for yet */
    char taken[CONTROL_SAID_BYTES];
    bool is_quiet; /* `said` stays empty: for long runs */
};

void control_deinit(struct control *control);

/** A version of `key` whose body is in memory. */
struct hand_version *version_memory(struct rig *rig, const char *key, const char *body);

/** A version of `key` that is a file of `body_bytes` bytes: "0123456789abcdef" over and over. */
struct hand_version *version_file(struct rig *rig, const char *key, size_t body_bytes);

/** The same of the file at `path`, as it is now. */
struct hand_version *version_of_path(struct rig *rig, const char *key, const char *path);

/** Gives a version straight to the worker's table. */
void version_put(struct rig *rig, struct hand_version *version);

/** Its memory goes, so that a later use is seen: it must have been released by now. */
void version_spoil(struct hand_version *version);

/** The key's slot in the worker's map, or SLOT_NONE. */
uint32_t version_slot(struct rig *rig, const char *key);

/** The label of what the worker's map leads to: "a.html#3"; "-" for nothing. */
const char *version_mapped(struct rig *rig, const char *key);

/**
 * Takes the worker's messages, and tells what they were since the last call: "miss a.html, evicted
 * b#1, released b#1, applied 1, drained, ". Lives until the next call.
 */
const char *control_said(struct rig *rig);

/** Takes the worker's messages, to be told by control_said() later. */
void control_take(struct rig *rig);

/** Answers the oldest miss. The version may be NULL. No turn is taken. */
void control_load(struct rig *rig, uint32_t status, struct hand_version *version);

/** The same for the miss of this key, which there must be. */
void control_load_key(struct rig *rig,
                      const char *key,
                      uint32_t status,
                      struct hand_version *version);

/** Sends a generation of one change for worker 0; `version` may be NULL. No turn is taken. */
void control_change(struct rig *rig, struct hand_version *retired, struct hand_version *version);

/** An empty generation with room for `change_max`, to fill and send. Freed with the rig. */
struct generation *control_generation(struct rig *rig, uint32_t change_max);
void generation_add(struct generation *generation,
                    struct hand_version *retired,
                    struct hand_version *version,
                    uint64_t holder_mask);
void control_publish(struct rig *rig, struct generation *generation);

/** Sends a message without contents: DRAIN or STOP. */
void control_tell(struct rig *rig, enum message_kind kind);
