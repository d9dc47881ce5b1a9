#include "server/control/control.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/control/control_state.h"

#define ACCESS_LOG_SECONDS 0.05

/* How soon a generation that waits for room is tried again, should no message say so before. */
#define WAITING_SECONDS 0.005

/* A generation that takes longer to drain than this is worth a line. */
#define SLOW_DRAIN_NS NS_PER_SEC

static void on_generation_drained(void *context, uint64_t generation_id, uint64_t drain_ns)
{
    struct control *control = context;
    histogram_observe(&control->drain, drain_ns);
    log_write(drain_ns > SLOW_DRAIN_NS ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
              "generation drained generation=%" PRIu64 " milliseconds=%" PRIu64, generation_id,
              drain_ns / NS_PER_MS);
}

static void stop(struct control *control)
{
    control->state = CONTROL_STOPPED;
    ev_break(control->loop, EVBREAK_ALL);
}

static void drain(struct control *control, const char *signal_name)
{
    const struct settings *settings = control->config->settings;
    struct report report = {0};
    control_gather(control, &report);
    log_info("draining signal=%s connections_active=%" PRIu64 " drain_timeout_ms=%" PRIu64,
             signal_name, report.totals.connections_active, settings->drain_timeout_ms);
    control->state = CONTROL_DRAINING;
    pump_send_to_all(control->pump, MESSAGE_DRAIN);
    if (control->config->on_draining != NULL) {
        control->config->on_draining(control->config->context);
    }
    ev_now_update(control->loop); /* the time to drain begins now, not when the turn began */
    ev_timer_set(&control->drain_timer, (double)settings->drain_timeout_ms / 1e3, 0.0);
    ev_timer_start(control->loop, &control->drain_timer);
}

static void on_drain_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct control *control = timer->data;
    log_warn(
        "drain timeout passed, cutting answers off: raise --drain-timeout workers_left=%" PRIu32,
        control->config->worker_count - pump_drained_count(control->pump));
    stop(control);
}

static void reopen_logs(struct control *control)
{
    if (control->access_log == NULL) {
        log_info("nothing to reopen: there is no access log");
        return;
    }
    const char *path = control->config->settings->access_log;
    int error = access_log_reopen(control->access_log);
    if (error != 0) {
        log_warn("open access log '%s': %s, keeping the old one", path, strerror(-error));
        return;
    }
    log_info("access log reopened path='%s'", path);
}

static void on_signal(void *context, enum signal_event event, const char *name)
{
    struct control *control = context;
    switch (event) {
    case SIGNAL_EVENT_END:
        if (control->state == CONTROL_SERVING) {
            drain(control, name);
            return;
        }
        log_warn("stopping at once: a second signal came while draining signal=%s", name);
        stop(control);
        return;
    case SIGNAL_EVENT_REOPEN:
        reopen_logs(control);
        return;
    case SIGNAL_EVENT_RELOAD:
        log_info("nothing to reload: settings are read at start only, files are always fresh");
        return;
    }
}

/* What no descriptor announces needs a timer; a generation that waits keeps changes out. */
static void update_watchers(struct control *control)
{
    bool is_waiting = pump_is_waiting(control->pump);
    if (is_waiting) {
        ev_io_stop(control->loop, &control->change_io);
    } else {
        ev_io_start(control->loop, &control->change_io);
    }
    double seconds = catalog_wants_poll(control->catalog) ? CATALOG_POLL_MS / 1e3 : 0.0;
    seconds = is_waiting ? WAITING_SECONDS : seconds;
    if (control->retry_timer.repeat != seconds) {
        control->retry_timer.repeat = seconds;
        ev_timer_again(control->loop, &control->retry_timer); /* stops it when 0 */
    }
}

static void take_messages(struct control *control)
{
    if (pump_take_messages(control->pump)) {
        uint64_t one = 1;
        /* Comes back after the other events had their turn. Fails only when 2^64-2 are unread. */
        (void)!write(control->event_fd, &one, sizeof(one));
    }
    if (pump_has_failed_worker(control->pump)) {
        stop(control); /* whoever started the server starts it anew, with all its workers */
        return;
    }
    if (control->state == CONTROL_DRAINING &&
        pump_drained_count(control->pump) == control->config->worker_count) {
        stop(control);
    }
}

static void on_messages(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct control *control = io->data;
    uint64_t ignored;
    /* Read before the mailboxes are: what comes in between is announced again. */
    (void)!read(control->event_fd, &ignored, sizeof(ignored));
    take_messages(control);
    update_watchers(control);
}

static void on_changes(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct control *control = io->data;
    pump_take_changes(control->pump);
    update_watchers(control);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct control *control = timer->data;
    take_messages(control);
    pump_take_changes(control->pump);
    update_watchers(control);
}

static void on_access_log(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct control *control = timer->data;
    (void)access_log_write(control->access_log); /* the rest at the next tick */
}

static void start_watchers(struct control *control)
{
    ev_io_init(&control->message_io, on_messages, control->event_fd, EV_READ);
    control->message_io.data = control;
    ev_io_start(control->loop, &control->message_io);
    ev_io_init(&control->change_io, on_changes, control->gate.watch_fd, EV_READ);
    control->change_io.data = control;
    ev_timer_init(&control->retry_timer, on_retry, 0.0, 0.0);
    control->retry_timer.data = control;
    ev_timer_init(&control->drain_timer, on_drain_timeout, 0.0, 0.0);
    control->drain_timer.data = control;
    update_watchers(control);
    if (control->access_log != NULL) {
        ev_timer_init(&control->access_log_timer, on_access_log, ACCESS_LOG_SECONDS,
                      ACCESS_LOG_SECONDS);
        control->access_log_timer.data = control;
        ev_timer_start(control->loop, &control->access_log_timer);
    }
    signals_start(&control->signals, control->loop, on_signal, control);
    catalog_set_drained(control->catalog, on_generation_drained, control);
}

static int start_workers(struct control *control)
{
    for (uint32_t i = 0; i < control->config->worker_count; i++) {
        const char *what = "";
        int error = worker_start(control->workers[i], &what);
        if (error != 0) {
            log_error("start worker %" PRIu32 ": %s: %s", i, strerror(-error), what);
            return CONTROL_EXIT_FAILED;
        }
    }
    return CONTROL_EXIT_CLEAN;
}

static void log_stopped(struct control *control)
{
    struct report report = {0};
    control_gather(control, &report);
    log_info("stopped requests=%" PRIu64 " answers_cut_off=%" PRIu64 " generation=%" PRIu64,
             report.totals.requests, report.totals.aborted_drain, report.catalog->generation);
}

/* Ends the workers and takes in what they say last. */
static void stop_workers(struct control *control)
{
    pump_send_to_all(control->pump, MESSAGE_STOP);
    for (uint32_t i = 0; i < control->config->worker_count; i++) {
        worker_join(control->workers[i]);
    }
    pump_take_last(control->pump);
}

static int serve(struct control *control)
{
    start_watchers(control);
    int status = start_workers(control);
    if (status == CONTROL_EXIT_CLEAN) {
        control->state = CONTROL_SERVING;
        if (control->config->on_ready != NULL) {
            control->config->on_ready(control->config->context);
        }
        ev_run(control->loop, 0);
        if (pump_has_failed_worker(control->pump)) {
            status = CONTROL_EXIT_FAILED;
        }
    }
    stop_workers(control);
    if (status == CONTROL_EXIT_CLEAN) {
        log_stopped(control);
    }
    return status;
}

int control_run(const struct control_config *config)
{
    struct control *control = NULL;
    int status = control_create(config, &control);
    if (status == CONTROL_EXIT_CLEAN) {
        status = serve(control);
    }
    control_destroy(control);
    return status;
}
