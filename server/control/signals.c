#include "server/control/signals.h"

#include <signal.h>
#include <stdint.h>

#include "server/base/check.h"

struct steering {
    int number;
    enum signal_event event;
    const char *name;
};

static const struct steering steerings[SIGNALS_COUNT] = {
    {SIGTERM, SIGNAL_EVENT_END, "TERM"},
    {SIGINT, SIGNAL_EVENT_END, "INT"},
    {SIGUSR1, SIGNAL_EVENT_REOPEN, "USR1"},
    {SIGHUP, SIGNAL_EVENT_RELOAD, "HUP"},
};

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    struct signals *signals = watcher->data;
    const struct steering *steering = &steerings[watcher - signals->watchers];
    signals->on_signal(signals->context, steering->event, steering->name);
}

void signals_start(struct signals *signals,
                   struct ev_loop *loop,
                   signal_fn on_signal_event,
                   void *context)
{
    signals->loop = loop;
    signals->on_signal = on_signal_event;
    signals->context = context;
    for (uint32_t i = 0; i < SIGNALS_COUNT; i++) {
        ev_signal_init(&signals->watchers[i], on_signal, steerings[i].number);
        signals->watchers[i].data = signals;
        ev_signal_start(loop, &signals->watchers[i]);
    }
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    ASSERT(sigaction(SIGPIPE, &ignore, NULL) == 0);
    ASSERT(sigaction(SIGXFSZ, &ignore, NULL) == 0);
}

void signals_stop(struct signals *signals)
{
    if (signals->loop == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SIGNALS_COUNT; i++) {
        ev_signal_stop(signals->loop, &signals->watchers[i]);
    }
}
