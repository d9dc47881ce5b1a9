/*
 * The signals that steer the server, as calls on the event loop: TERM and INT ask for the end, USR1
 * for new log files, HUP for a reload. PIPE and XFSZ are ignored: a peer that is gone and a file
 * that is too long are errors of the call that meets them.
 *
 * Control thread. Workers keep all signals out of their threads.
 */
#pragma once

#include <ev.h>

enum signal_event {
    SIGNAL_EVENT_END,    /* TERM, INT */
    SIGNAL_EVENT_REOPEN, /* USR1 */
    SIGNAL_EVENT_RELOAD, /* HUP */
};

#define SIGNALS_COUNT 4

/* `name`: "TERM", for the log. */
typedef void (*signal_fn)(void *context, enum signal_event event, const char *name);

struct signals {
    struct ev_loop *loop;
    signal_fn on_signal;
    void *context;
    ev_signal watchers[SIGNALS_COUNT];
};

/** Takes over the signals for the process, until signals_stop(). `signals` stays where it is. */
void signals_start(struct signals *signals,
                   struct ev_loop *loop,
                   signal_fn on_signal,
                   void *context);

/** Gives them back; fine where `signals` is zeroed: never started. */
void signals_stop(struct signals *signals);
