/*
 * A generation: the changes that are published together. A worker applies all of a generation's
 * changes between two requests, so nobody sees half of it. It counts the versions it retired; when
 * the last of them is proven released it is drained (the reference node of Linux 5.7's commit
 * 0558955373023, in user space).
 *
 * Made by the catalog on the control thread. `changes` is immutable once sent, and workers read it
 * without locks until they answer MESSAGE_APPLIED; the counts belong to the control thread.
 */
#pragma once

#include <stdint.h>

#include "server/table/version.h"

/* One bit a worker in a holder mask. */
#define WORKERS_MAX 64

struct change {
    struct version *retired; /* the path no longer leads to it; its key names the path */
    struct version *version; /* what the path leads to now; NULL: nothing that can be served */
    uint64_t holder_mask;    /* workers that this change concerns; the others pass over it */
};

struct generation {
    uint64_t id;               /* 1, 2, 3, ... in order of publication */
    uint64_t noticed_ns;       /* monotonic: when the notification was read */
    uint64_t holder_mask;      /* union of the changes' masks */
    uint32_t unapplied_count;  /* control: workers that have not answered MESSAGE_APPLIED */
    uint32_t unreleased_count; /* control: retired versions not yet proven released */
    struct generation *next;   /* control: list of draining generations, oldest first */
    uint32_t change_count;
    struct change changes[];
};

/*
 * Messages between control and a worker. Every version that a worker is given, by LOADED or in a
 * change that names the worker, is answered by exactly one RELEASED, whatever became of it.
 */
enum message_kind {
    /* worker -> control */
    MESSAGE_MISS,     /* pointer: struct miss, the worker's until LOADED */
    MESSAGE_APPLIED,  /* pointer: struct generation */
    MESSAGE_EVICTED,  /* pointer: struct version: the worker's path map no longer holds it */
    MESSAGE_RELEASED, /* pointer: struct version: proven; the worker forgets the pointer */
    MESSAGE_DRAINED,  /* the worker has closed its last connection and released all it held */
    MESSAGE_FAILED,   /* its engine failed: the thread has ended, its connections are lost */
    /* control -> worker */
    MESSAGE_LOADED,     /* pointer: struct miss, second: struct version or NULL; number: status */
    MESSAGE_GENERATION, /* pointer: struct generation */
    MESSAGE_DRAIN,      /* stop accepting, finish what is under way, then DRAINED */
    MESSAGE_STOP,       /* leave now */
};

/* Longest path key, without NUL. Below PATH_MAX, so that root and index file names still fit. */
#define PATH_KEY_MAX 3072

/*
 * A worker's question for a path that its map does not lead to, or that it could not confirm. The
 * worker owns it; between MISS and LOADED the control thread reads it.
 */
struct miss {
    uint16_t key_bytes;
    uint32_t first_parked;   /* worker: connections waiting for the answer */
    uint32_t next_index;     /* worker: free list, or chain of the pending */
    uint32_t status;         /* worker: what the loader found */
    uint32_t slot_index;     /* worker: kept for those who wait, or SLOT_NONE */
    struct version *version; /* worker: answered, but no slot was free yet */
    struct miss *next_answered;
    char key[PATH_KEY_MAX + 1]; /* NUL-terminated */
};
