#include "server/control/control_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/base/log.h"

void control_gather(void *context, struct report *ret_report)
{
    const struct control *control = context;
    ret_report->facts = &control->config->facts;
    ret_report->settings = control->config->settings;
    ret_report->catalog = catalog_counters(control->catalog);
    ret_report->pump = pump_counters(control->pump);
    ret_report->freshness = &control->freshness;
    ret_report->drain = &control->drain;
    ret_report->worker_count = control->config->worker_count;
    ret_report->is_draining = control->state == CONTROL_DRAINING;
    ret_report->uptime_ns = clock_monotonic_ns(control->config->clock) - control->start_ns;
    ret_report->start_wall_seconds = control->start_wall_seconds;
    for (uint32_t i = 0; i < control->config->worker_count; i++) {
        worker_totals_add(&ret_report->totals, worker_counters(control->workers[i]));
    }
    if (control->access_log != NULL) {
        ret_report->control.log_lines_unwritten = access_log_lines_unwritten(control->access_log);
    }
    if (control->admin != NULL) {
        const struct admin_counters *admin = admin_counters(control->admin);
        ret_report->control.admin_requests = admin->requests;
        ret_report->control.admin_connections_full = admin->connections_full;
        ret_report->control.admin_accept_failures = admin->accept_failures;
        ret_report->control.admin_timeouts = admin->timeouts;
    }
}

static int open_catalog(struct control *control)
{
    const struct settings *settings = control->config->settings;
    struct catalog_config config = {
        .root_path = settings->root,
        .index_name = settings->index,
        .memory_body_bytes = settings->memory_total_bytes == 0 ? 0 : settings->memory_body_bytes,
        .memory_total_bytes = settings->memory_total_bytes,
        .clock = control->config->clock,
    };
    const char *what = "";
    int error = catalog_create(&config, &control->catalog, &what);
    if (error != 0) {
        log_error("root '%s': %s: %s", settings->root, strerror(-error), what);
        return error == -ENOMEM ? CONTROL_EXIT_FAILED : CONTROL_EXIT_CONFIG;
    }
    control->gate.watch_fd = catalog_watch_fd(control->catalog);
    return CONTROL_EXIT_CLEAN;
}

static int open_admin(struct control *control)
{
    const char *text = control->config->settings->admin;
    const char *what = "";
    struct admin_socket *socket = &control->admin_socket;
    struct admin_address admin = {.is_none = false};
    struct sentence refusal;
    if (text[0] != '\0' && admin_address_parse(text, &admin, &refusal) != 0) {
        log_error("--admin: %s", refusal.text);
        return CONTROL_EXIT_CONFIG;
    }
    if (admin.is_none) {
        return CONTROL_EXIT_CLEAN;
    }
    struct admin_places places = admin_places_system();
    int error = text[0] == '\0' ? admin_socket_open_default(&places, socket, &what)
                                : admin_socket_open(&admin.address, socket, &what);
    struct address_text place = address_format(&socket->address);
    if (error != 0) {
        log_error("cannot open the admin listener on '%s': %s; %s", place.text, strerror(-error),
                  what);
        return CONTROL_EXIT_FAILED;
    }
    log_info("admin listens address='%s'", place.text);
    return CONTROL_EXIT_CLEAN;
}

static int start_admin(struct control *control)
{
    if (control->admin_socket.fd < 0) {
        return 0;
    }
    control->admin_source = (struct admin_source){.gather = control_gather, .context = control};
    struct admin_config config = {
        .loop = control->loop,
        .listen_fd = control->admin_socket.fd,
        .context = &control->admin_source,
        .clock = control->config->clock,
        .deadline_ms = ADMIN_DEADLINE_MS,
    };
    config.pages = admin_pages(&config.page_count);
    return admin_create(&config, &control->admin);
}

static int open_access_log(struct control *control)
{
    const char *path = control->config->settings->access_log;
    if (strcmp(path, "none") == 0) {
        return CONTROL_EXIT_CLEAN;
    }
    struct access_log_config config = {
        .path = path,
        .workers = control->workers,
        .worker_count = control->config->worker_count,
        .clock = control->config->clock,
    };
    int error = access_log_create(&config, &control->access_log);
    if (error != 0) {
        log_error("open access log '%s': %s: name a file that can be written with --access-log",
                  path, strerror(-error));
        return CONTROL_EXIT_CONFIG;
    }
    return CONTROL_EXIT_CLEAN;
}

/* A worker's share of the connections: together max_connections, but at least one each. */
static uint32_t connection_share(const struct control_config *config, uint32_t worker_index)
{
    uint32_t total = config->settings->max_connections;
    uint32_t share = total / config->worker_count;
    share += worker_index < total % config->worker_count ? 1 : 0;
    return share == 0 ? 1 : share;
}

/* Makes the workers and what speaks with them; no thread yet. */
static int create_workers(struct control *control)
{
    const struct control_config *config = control->config;
    uint32_t miss_max = 0; /* a worker has as many questions as connections, at most */
    for (uint32_t i = 0; i < config->worker_count; i++) {
        struct worker_config worker_config = {
            .index = i,
            .settings = config->settings,
            .listen_fds = config->listen_fds,
            .listen_count = config->facts.listen_count,
            .connection_max = connection_share(config, i),
            .freshness = &control->gate,
            .clock = config->clock,
            .create_engine = config->create_engine,
            .control_event_fd = control->event_fd,
        };
        miss_max += worker_miss_max(worker_config.connection_max);
        int error = worker_create(&worker_config, &control->workers[i]);
        if (error != 0) {
            return error;
        }
    }
    struct pump_config pump_config = {
        .catalog = control->catalog,
        .workers = control->workers,
        .worker_count = config->worker_count,
        .miss_max = miss_max,
        .gate = &control->gate,
        .clock = config->clock,
        .freshness = &control->freshness,
    };
    return pump_create(&pump_config, &control->pump);
}

static int open_loop(struct control *control)
{
    int fault = FAULT("control_eventfd");
    control->event_fd = fault != 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control->event_fd < 0) {
        return fault != 0 ? -fault : -errno;
    }
    control->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    return control->loop == NULL ? -EMFILE : 0; /* it does not say why; this is the likely reason */
}

static int prepare(struct control *control)
{
    int status = open_catalog(control);
    status = status == CONTROL_EXIT_CLEAN ? open_admin(control) : status;
    if (status != CONTROL_EXIT_CLEAN) {
        return status;
    }
    int error = open_loop(control);
    error = error == 0 ? create_workers(control) : error;
    error = error == 0 ? start_admin(control) : error;
    if (error != 0) {
        log_error("start: %s: raise the limits on memory and descriptors, or lower "
                  "--max-connections and --table-slots",
                  strerror(-error));
        return CONTROL_EXIT_FAILED;
    }
    return open_access_log(control);
}

int control_create(const struct control_config *config, struct control **ret_control)
{
    ASSERT(config->worker_count >= 1);
    ASSERT(config->worker_count <= WORKERS_MAX);
    struct control *control = alloc_zeroed(1, sizeof(*control));
    if (control == NULL) {
        log_error("start: no memory");
        return CONTROL_EXIT_FAILED;
    }
    control->config = config;
    control->event_fd = -1;
    control->admin_socket.fd = -1;
    control->gate.watch_fd = -1;
    control->start_ns = clock_monotonic_ns(config->clock);
    control->start_wall_seconds = clock_wall_seconds(config->clock);
    *ret_control = control;
    return prepare(control);
}

void control_destroy(struct control *control)
{
    if (control == NULL) {
        return;
    }
    admin_destroy(control->admin);
    admin_socket_close(&control->admin_socket);
    access_log_destroy(control->access_log);
    pump_destroy(control->pump);
    for (uint32_t i = 0; i < control->config->worker_count; i++) {
        worker_destroy(control->workers[i]);
    }
    catalog_destroy(control->catalog);
    /* Late, so that an impatient second TERM does not kill what is ending cleanly. */
    signals_stop(&control->signals);
    if (control->loop != NULL) {
        ev_loop_destroy(control->loop); /* its watchers are stopped, or go with it */
    }
    if (control->event_fd >= 0) {
        (void)close(control->event_fd); /* an eventfd has nothing to lose */
    }
    alloc_free(control);
}
