/*
 * Takes apart what read(2) on an inotify descriptor gave. Pure: any bytes, any thread.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "server/base/span.h"

struct watch_event {
    int32_t wd;       /* watch descriptor; -1: the queue itself */
    uint32_t mask;    /* IN_* */
    struct span name; /* in the watched directory; empty: the directory itself; points into `in` */
};

/**
 * Takes one event from the front of `in`.
 *
 * in        what is left of one read(2); borrowed
 * returns   bytes consumed (> 0); 0 at the end; -EBADMSG where the rest is no whole event
 */
ssize_t watch_events_next(struct span in, struct watch_event *ret_event);
