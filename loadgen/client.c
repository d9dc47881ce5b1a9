#include "loadgen/client.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "loadgen/conn.h"
#include "loadgen/cpu_clock.h"
#include "loadgen/version_file.h"
#include "server/base/alloc.h"
#include "server/base/check.h"

/*
 * How late a timeout, a retry or the progress counters may be: no request has a timer of its own. A
 * tick looks at every connection, so that very many get a slower one.
 */
#define TICK_SECONDS_MIN            0.01
#define TICK_SECONDS_PER_CONNECTION 1e-6

struct client {
    struct client_settings settings;
    struct conn_thread shared;
    struct conn *conns;
    char *lines; /* RESPONSE_LINE_MAX for each connection; memory only where a head was split */
    struct ev_timer tick;
    struct ev_async wake;
    _Atomic uint64_t drain_end_ns; /* UINT64_MAX: not to stop */
    _Atomic uint64_t requests;
    _Atomic uint64_t bad;
    _Atomic uint64_t received_bytes;
    pthread_t thread;
    uint64_t cpu_ns;
    uint64_t wall_ns;
};

/* --------------------------------------------------------------------------------- its thread */

static void publish_progress(struct client *client)
{
    const struct tally *tally = &client->shared.tally;
    atomic_store_explicit(&client->requests, tally->requests, memory_order_relaxed);
    atomic_store_explicit(&client->bad, tally_bad_count(tally), memory_order_relaxed);
    atomic_store_explicit(&client->received_bytes, tally->received_bytes, memory_order_relaxed);
}

static void tick_all(struct client *client)
{
    uint64_t now_ns = clock_monotonic_ns(client->shared.clock);
    uint64_t drain_end_ns = atomic_load_explicit(&client->drain_end_ns, memory_order_relaxed);
    client->shared.is_stopping = drain_end_ns != UINT64_MAX;
    bool is_drained = now_ns >= drain_end_ns;
    for (uint32_t i = 0; i < client->settings.connection_count; i++) {
        if (is_drained) {
            conn_abandon(&client->conns[i], now_ns);
        } else {
            conn_on_tick(&client->conns[i], now_ns);
        }
    }
    publish_progress(client);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    tick_all(container_of(timer, struct client, tick));
}

static void on_wake(struct ev_loop *loop, struct ev_async *async, int events)
{
    (void)loop;
    (void)events;
    tick_all(container_of(async, struct client, wake));
}

static void *run(void *argument)
{
    struct client *client = argument;
    uint64_t begin_ns = clock_monotonic_ns(client->shared.clock);
    alloc_seal_thread();
    tick_all(client); /* starts every connection */
    if (client->shared.running > 0) {
        ev_run(client->shared.loop, 0);
    }
    publish_progress(client);
    client->cpu_ns = cpu_clock_thread_ns();
    client->wall_ns = clock_monotonic_ns(client->shared.clock) - begin_ns;
    client->settings.on_done(client->settings.context);
    return NULL;
}

/* --------------------------------------------------------------------------- the main thread */

static void init_conns(struct client *client)
{
    const struct client_settings *settings = &client->settings;
    for (uint32_t i = 0; i < settings->connection_count; i++) {
        uint64_t number = (uint64_t)settings->first_connection + i;
        size_t endpoint_index = (size_t)(number % settings->targets->endpoint_count);
        const struct endpoint *endpoint = &settings->targets->endpoints[endpoint_index];
        uint64_t random = version_stream_key(settings->seed, number, 0);
        conn_init(&client->conns[i], &client->shared, endpoint,
                  (size_t)(random % endpoint->target_count),
                  client->lines + (size_t)i * RESPONSE_LINE_MAX);
    }
}

static int init_loop(struct client *client)
{
    client->shared.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (client->shared.loop == NULL) {
        return -ENOMEM;
    }
    double seconds = client->settings.connection_count * TICK_SECONDS_PER_CONNECTION;
    seconds = seconds > TICK_SECONDS_MIN ? seconds : TICK_SECONDS_MIN;
    ev_timer_init(&client->tick, on_tick, seconds, seconds);
    ev_timer_start(client->shared.loop, &client->tick);
    ev_async_init(&client->wake, on_wake);
    ev_async_start(client->shared.loop, &client->wake);
    return 0;
}

int client_create(const struct client_settings *settings, struct client **ret_client)
{
    ASSERT(settings->connection_count > 0);
    struct client *client = alloc_zeroed(1, sizeof(*client));
    if (client == NULL) {
        return -ENOMEM;
    }
    size_t count = settings->connection_count;
    client->settings = *settings;
    client->conns = alloc_zeroed(count, sizeof(*client->conns));
    client->lines = alloc_map(count * RESPONSE_LINE_MAX);
    client->shared.buffer = alloc_map(CONN_BUFFER_BYTES);
    if (client->conns == NULL || client->lines == NULL || client->shared.buffer == NULL ||
        init_loop(client) < 0) {
        client_destroy(client);
        return -ENOMEM;
    }
    client->shared.clock = clock_system();
    client->shared.log = settings->log;
    client->shared.verifies_all = settings->verifies_all;
    client->shared.requests_left = settings->request_count;
    client->shared.timeout_ns = settings->timeout_ns;
    tally_reset(&client->shared.tally);
    atomic_init(&client->drain_end_ns, UINT64_MAX);
    init_conns(client);
    *ret_client = client;
    return 0;
}

int client_start(struct client *client)
{
    /* Signals are for the main thread, which has a loop for them. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all); /* a set of ours cannot be bad */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = -pthread_create(&client->thread, NULL, run, client);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

void client_stop(struct client *client, uint64_t drain_ns)
{
    uint64_t end_ns = clock_monotonic_ns(client->shared.clock) + drain_ns;
    uint64_t before_ns = atomic_load_explicit(&client->drain_end_ns, memory_order_relaxed);
    if (end_ns < before_ns) {
        atomic_store_explicit(&client->drain_end_ns, end_ns, memory_order_relaxed);
    }
    ev_async_send(client->shared.loop, &client->wake);
}

struct client_progress client_progress(const struct client *client)
{
    return (struct client_progress){
        .requests = atomic_load_explicit(&client->requests, memory_order_relaxed),
        .bad = atomic_load_explicit(&client->bad, memory_order_relaxed),
        .received_bytes = atomic_load_explicit(&client->received_bytes, memory_order_relaxed),
    };
}

struct client_result client_join(struct client *client)
{
    ASSERT(pthread_join(client->thread, NULL) == 0);
    return (struct client_result){
        .tally = &client->shared.tally,
        .last_end_ns = client->shared.last_end_ns,
        .cpu_ns = client->cpu_ns,
        .wall_ns = client->wall_ns,
    };
}

void client_destroy(struct client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->shared.loop != NULL) {
        ev_loop_destroy(client->shared.loop);
    }
    alloc_unmap(client->shared.buffer, CONN_BUFFER_BYTES);
    alloc_unmap(client->lines, (size_t)client->settings.connection_count * RESPONSE_LINE_MAX);
    alloc_free(client->conns);
    alloc_free(client);
}
