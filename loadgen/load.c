#include "loadgen/load.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loadgen/client.h"
#include "loadgen/cpu_clock.h"
#include "loadgen/target.h"
#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/clock.h"

#define PROGRESS_SECONDS 1.0
/* How often the main thread looks whether the witness still waits for something. */
#define WITNESS_LOOK_SECONDS 0.02
/* Descriptors beside the connections: loops, rotator, witness, standard streams. */
#define DESCRIPTORS_SPARE 64

struct load {
    const struct options *options;
    char *error; /* LOAD_ERROR_MAX */
    struct ev_loop *loop;

    struct path_file path_file;
    struct target_list targets;

    bool has_log;
    struct rotation_log log;
    struct witness *witness;
    struct rotator *rotator;

    struct client **clients;
    uint32_t client_count; /* created */
    uint32_t started_count;
    _Atomic uint32_t done_count;

    struct ev_signal on_int;
    struct ev_signal on_term;
    struct ev_timer end;
    struct ev_timer progress;
    struct ev_async client_done;
    bool shows_progress;
    bool is_interrupted;
    bool is_waiting_for_witness;
    uint64_t begin_ns;
    uint64_t progress_ns;       /* when the progress line was written last */
    uint64_t progress_requests; /* how many there were then */
};

[[gnu::format(printf, 3, 4)]] static int
refuse(struct load *load, int result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(load->error, LOAD_ERROR_MAX, format, args); /* a long one is cut */
    va_end(args);
    return result;
}

static uint64_t now(void)
{
    return clock_monotonic_ns(clock_system());
}

/* ------------------------------------------------------------------------------------- limits */

static int raise_descriptor_limit(struct load *load)
{
    rlim_t need =
        (rlim_t)load->options->connections + load->options->threads * 4U + DESCRIPTORS_SPARE;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return refuse(load, -errno, "getrlimit: %s", strerror(errno));
    }
    if (limit.rlim_cur >= need) {
        return 0;
    }
    if (limit.rlim_max < need) {
        return refuse(load, -EINVAL,
                      "-c %" PRIu32 " needs %llu descriptors, the limit is %llu: raise it "
                      "('ulimit -n %llu' as root) or take fewer connections",
                      load->options->connections, (unsigned long long)need,
                      (unsigned long long)limit.rlim_max, (unsigned long long)need);
    }
    limit.rlim_cur = need;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return refuse(load, -errno, "setrlimit: %s", strerror(errno));
    }
    return 0;
}

static int check_server_pid(struct load *load)
{
    uint64_t spent_ns;
    pid_t pid = load->options->server_pid;
    if (pid != 0 && cpu_clock_process_ns(pid, &spent_ns) < 0) {
        return refuse(load, -EINVAL, "--server-pid %d: there is no such process", (int)pid);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ targets */

static int read_paths(struct load *load)
{
    const char *name = load->options->paths_file;
    int result = path_file_init(&load->path_file, name);
    if (result == -ENODATA) {
        return refuse(load, -EINVAL, "--paths '%s': there is no path in it", name);
    }
    if (result < 0) {
        return refuse(load, -EINVAL, "--paths '%s': %s", name, strerror(-result));
    }
    return 0;
}

/* The names of all the rotator's files, as paths below the URL. */
static int name_rotated_files(struct load *load)
{
    uint32_t count = load->options->rotate_file_count;
    struct path_file *file = &load->path_file;
    file->text = alloc_zeroed(count, ROTATOR_NAME_BYTES);
    file->paths = alloc_zeroed(count, sizeof(*file->paths));
    if (file->text == NULL || file->paths == NULL) {
        return refuse(load, -ENOMEM, "no memory for the names of %" PRIu32 " files", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        char *name = file->text + (size_t)i * ROTATOR_NAME_BYTES;
        rotator_write_name(i, name);
        file->paths[i] = span_of_string(name);
    }
    file->path_count = count;
    return 0;
}

static int make_targets(struct load *load)
{
    const struct options *options = load->options;
    int result = 0;
    if (options->paths_file != NULL) {
        result = read_paths(load);
    } else if (options->rotate_directory != NULL) {
        result = name_rotated_files(load);
    }
    if (result < 0) {
        return result;
    }
    const struct target_source source = {
        .urls = options->urls,
        .url_count = options->url_count,
        .paths = load->path_file.paths,
        .path_count = load->path_file.path_count,
        .rotated_file_count = options->rotate_directory != NULL ? options->rotate_file_count : 0,
    };
    char error[TARGET_ERROR_MAX];
    result = target_list_init(&load->targets, &source, error);
    if (result < 0) {
        return refuse(load, result, "%s", error);
    }
    uint64_t timeout_ms = options->timeout_ns / NS_PER_MS;
    result = target_list_resolve(&load->targets, timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX,
                                 error);
    if (result < 0) {
        return refuse(load, -EHOSTUNREACH, "%s", error);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ rotator */

static int make_rotator(struct load *load)
{
    const struct options *options = load->options;
    if (options->rotate_directory == NULL) {
        return 0;
    }
    const struct rotator_settings settings = {
        .directory = options->rotate_directory,
        .file_count = options->rotate_file_count,
        .seed = options->seed,
        .rate = options->rotations_per_second,
    };
    int result = rotation_log_init(&load->log, settings.seed, settings.file_count);
    if (result < 0) {
        return refuse(load, result, "no memory for the rotation log");
    }
    load->has_log = true;
    result = witness_create(&load->witness);
    if (result < 0) {
        return refuse(load, result, "inotify, for the release witness: %s", strerror(-result));
    }
    result = rotator_create(&settings, &load->log, load->witness, &load->rotator);
    if (result == 0) {
        result = rotator_make_files(load->rotator);
    }
    if (result < 0) {
        return refuse(load, result, "--rotate '%s': %s", settings.directory, strerror(-result));
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ clients */

/* On the client's thread. */
static void on_client_done(void *context)
{
    struct load *load = context;
    atomic_fetch_add(&load->done_count, 1);
    ev_async_send(load->loop, &load->client_done);
}

/* The share of part `index` of `parts` in `whole`: the first ones take what does not divide. */
static uint64_t share(uint64_t whole, uint32_t index, uint32_t parts)
{
    return whole / parts + (index < whole % parts);
}

static int make_clients(struct load *load)
{
    const struct options *options = load->options;
    load->clients = alloc_zeroed(options->threads, sizeof(*load->clients));
    if (load->clients == NULL) {
        return refuse(load, -ENOMEM, "no memory for the clients");
    }
    uint32_t first_connection = 0;
    for (uint32_t i = 0; i < options->threads; i++) {
        bool is_endless = options->request_count == UINT64_MAX;
        const struct client_settings settings = {
            .targets = &load->targets,
            .log = load->has_log ? &load->log : NULL,
            .first_connection = first_connection,
            .connection_count = (uint32_t)share(options->connections, i, options->threads),
            .request_count =
                is_endless ? UINT64_MAX : share(options->request_count, i, options->threads),
            .timeout_ns = options->timeout_ns,
            .seed = options->seed,
            .verifies_all = options->verifies_all,
            .on_done = on_client_done,
            .context = load,
        };
        int result = client_create(&settings, &load->clients[i]);
        if (result < 0) {
            return refuse(load, result, "no memory for %" PRIu32 " connections",
                          options->connections);
        }
        load->client_count++;
        first_connection += settings.connection_count;
    }
    return 0;
}

static void stop_clients(struct load *load, uint64_t drain_ns)
{
    for (uint32_t i = 0; i < load->started_count; i++) {
        client_stop(load->clients[i], drain_ns);
    }
}

static int start_clients(struct load *load)
{
    for (uint32_t i = 0; i < load->client_count; i++) {
        int result = client_start(load->clients[i]);
        if (result < 0) {
            return refuse(load, result, "cannot start a thread: %s", strerror(-result));
        }
        load->started_count++;
    }
    return 0;
}

/* --------------------------------------------------------------------------------- the events */

static void clear_progress(const struct load *load)
{
    if (load->shows_progress) {
        (void)fputs("\r\033[K", stderr); /* a terminal that is gone is not missed */
    }
}

static void on_signal(struct ev_loop *loop, struct ev_signal *signal, int events)
{
    (void)events;
    struct load *load = ev_userdata(loop);
    (void)signal;
    load->is_interrupted = true;
    stop_clients(load, 0);
    if (load->is_waiting_for_witness) {
        ev_break(loop, EVBREAK_ALL);
    }
}

/* The time is over: what is under way may still end, well or by its timeout. */
static void on_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)timer;
    (void)events;
    struct load *load = ev_userdata(loop);
    stop_clients(load, load->options->timeout_ns);
}

static void on_done(struct ev_loop *loop, struct ev_async *async, int events)
{
    (void)async;
    (void)events;
    struct load *load = ev_userdata(loop);
    if (atomic_load(&load->done_count) == load->started_count) {
        ev_break(loop, EVBREAK_ALL);
    }
}

static void on_progress(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)timer;
    (void)events;
    struct load *load = ev_userdata(loop);
    struct client_progress sum = {0};
    for (uint32_t i = 0; i < load->client_count; i++) {
        struct client_progress progress = client_progress(load->clients[i]);
        sum.requests += progress.requests;
        sum.bad += progress.bad;
    }
    uint64_t now_ns = now();
    double seconds = (double)(now_ns - load->progress_ns) / (double)NS_PER_SEC;
    (void)fprintf(stderr, "\r\033[K%4.0f s  %9.0f requests/s  %" PRIu64 " bad",
                  (double)(now_ns - load->begin_ns) / (double)NS_PER_SEC,
                  (double)(sum.requests - load->progress_requests) / seconds, sum.bad);
    if (load->rotator != NULL) {
        uint64_t replaced = rotator_replaced_count(load->rotator);
        (void)fprintf(stderr, "  %" PRIu64 " rotations", replaced);
    }
    load->progress_ns = now_ns;
    load->progress_requests = sum.requests;
}

static void start_events(struct load *load)
{
    ev_set_userdata(load->loop, load);
    ev_signal_init(&load->on_int, on_signal, SIGINT);
    ev_signal_start(load->loop, &load->on_int);
    ev_signal_init(&load->on_term, on_signal, SIGTERM);
    ev_signal_start(load->loop, &load->on_term);
    ev_async_init(&load->client_done, on_done);
    ev_async_start(load->loop, &load->client_done);
    ev_timer_init(&load->end, on_end, 0, 0);
    ev_timer_init(&load->progress, on_progress, PROGRESS_SECONDS, PROGRESS_SECONDS);
    load->shows_progress = isatty(STDERR_FILENO) != 0;
}

static void start_timers(struct load *load)
{
    load->begin_ns = now();
    load->progress_ns = load->begin_ns;
    ev_now_update(load->loop);
    if (load->options->duration_ns != UINT64_MAX) {
        double seconds = (double)load->options->duration_ns / (double)NS_PER_SEC;
        ev_timer_set(&load->end, seconds, 0);
        ev_timer_start(load->loop, &load->end);
    }
    if (load->shows_progress) {
        ev_timer_start(load->loop, &load->progress);
    }
}

/* ---------------------------------------------------------------------------------- the result */

static void on_witness_look(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)events;
    (void)timer;
    struct load *load = ev_userdata(loop);
    if (witness_counts(load->witness).pending == 0) {
        ev_break(loop, EVBREAK_ALL);
    }
}

static void on_witness_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)timer;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

/* Our connections are closed: the server has no reason left to hold replaced files. */
static void wait_for_witness(struct load *load)
{
    if (witness_counts(load->witness).pending == 0 || load->is_interrupted) {
        return;
    }
    load->is_waiting_for_witness = true;
    struct ev_timer look;
    struct ev_timer end;
    ev_now_update(load->loop);
    ev_timer_init(&look, on_witness_look, WITNESS_LOOK_SECONDS, WITNESS_LOOK_SECONDS);
    ev_timer_start(load->loop, &look);
    ev_timer_init(&end, on_witness_end, (double)LOAD_WITNESS_WAIT_NS / (double)NS_PER_SEC, 0);
    ev_timer_start(load->loop, &end);
    ev_run(load->loop, 0);
    ev_timer_stop(load->loop, &look);
    ev_timer_stop(load->loop, &end);
    load->is_waiting_for_witness = false;
}

static void collect_clients(struct load *load, struct load_result *result)
{
    uint64_t cpu_ns = 0;
    uint64_t wall_ns = 0;
    uint64_t last_end_ns = load->begin_ns;
    tally_reset(&result->tally);
    for (uint32_t i = 0; i < load->started_count; i++) {
        struct client_result client = client_join(load->clients[i]);
        tally_merge(&result->tally, client.tally);
        cpu_ns += client.cpu_ns;
        wall_ns += client.wall_ns;
        last_end_ns = client.last_end_ns > last_end_ns ? client.last_end_ns : last_end_ns;
    }
    result->seconds = (double)(last_end_ns - load->begin_ns) / (double)NS_PER_SEC;
    result->client_busy = wall_ns == 0 ? 0 : (double)cpu_ns / (double)wall_ns;
    result->is_interrupted = load->is_interrupted;
}

static void collect_rotator(struct load *load, struct load_result *result)
{
    if (load->rotator == NULL) {
        return;
    }
    result->has_rotator = true;
    wait_for_witness(load);
    result->witness = witness_counts(load->witness);
    histogram_reset(&result->releases);
    witness_merge_releases(load->witness, &result->releases);
}

struct cpu_times {
    uint64_t own_ns;
    uint64_t server_ns;
    uint64_t witness_ns;
    bool has_server;
};

static struct cpu_times read_cpu_times(const struct load *load)
{
    struct cpu_times times = {0};
    ASSERT(cpu_clock_process_ns(0, &times.own_ns) == 0);
    pid_t pid = load->options->server_pid;
    times.has_server = pid != 0 && cpu_clock_process_ns(pid, &times.server_ns) == 0;
    times.witness_ns = load->witness == NULL ? 0 : witness_cpu_ns(load->witness);
    return times;
}

static void
collect_cpu(struct load_result *result, const struct cpu_times *begin, const struct cpu_times *end)
{
    result->has_server_cpu = begin->has_server && end->has_server;
    result->server_cpu_ns = end->server_ns - begin->server_ns;
    uint64_t not_load_ns = end->witness_ns - begin->witness_ns + result->rotator.cpu_ns;
    uint64_t own_ns = end->own_ns - begin->own_ns;
    result->client_cpu_ns = own_ns > not_load_ns ? own_ns - not_load_ns : 0;
}

/* Everything is made: loads, waits for the end, reads the clocks. */
static int run(struct load *load, struct load_result *result)
{
    start_events(load);
    struct cpu_times begin = read_cpu_times(load);
    start_timers(load);
    int error = start_clients(load);
    if (error == 0 && load->rotator != NULL) {
        error = rotator_start(load->rotator);
        if (error < 0) {
            (void)refuse(load, error, "cannot start the rotator: %s", strerror(-error));
        }
    }
    if (error < 0) {
        stop_clients(load, 0);
    }
    if (load->started_count > 0) {
        ev_run(load->loop, 0);
    }
    clear_progress(load);
    if (load->rotator != NULL) {
        result->rotator = rotator_stop(load->rotator);
    }
    collect_clients(load, result);
    struct cpu_times end = read_cpu_times(load);
    collect_cpu(result, &begin, &end);
    collect_rotator(load, result);
    return error;
}

static int make_all(struct load *load)
{
    int result = check_server_pid(load);
    if (result == 0) {
        result = raise_descriptor_limit(load);
    }
    if (result == 0) {
        result = make_targets(load);
    }
    if (result == 0) {
        result = make_rotator(load);
    }
    if (result == 0) {
        result = make_clients(load);
    }
    return result;
}

static void unmake_all(struct load *load)
{
    for (uint32_t i = 0; i < load->client_count; i++) {
        client_destroy(load->clients[i]);
    }
    alloc_free(load->clients);
    rotator_destroy(load->rotator);
    witness_destroy(load->witness);
    if (load->has_log) {
        rotation_log_deinit(&load->log);
    }
    target_list_deinit(&load->targets);
    path_file_deinit(&load->path_file);
}

int load_run(const struct options *options,
             struct load_result *ret_result,
             char ret_error[static LOAD_ERROR_MAX])
{
    struct load load = {.options = options, .error = ret_error};
    load.loop = ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (load.loop == NULL) {
        return refuse(&load, -ENOMEM, "no event loop");
    }
    int result = make_all(&load);
    if (result == 0) {
        result = run(&load, ret_result);
    }
    unmake_all(&load);
    ev_loop_destroy(load.loop);
    return result;
}
