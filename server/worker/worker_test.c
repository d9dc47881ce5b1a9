/*
 * A worker's thread: its start, the ways to its end, and the mailboxes across threads. The engine
 * is the fake, which sleeps on the worker's eventfd when it has nothing to say.
 */
#include "server/worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/engine/fake/fake.h"
#include "server/engine/fake/script.h"
#include "server/table/generation.h"
#include "server/worker/worker_state.h"

#define GENERATIONS_COUNT 2000

static const struct engine_token worker_token = {.index = UINT32_MAX, .generation = 1};
static const struct engine_token listener_token = {.index = 0, .generation = 1};

/* What the thread's engine does; set before the start, used by the thread alone. */
struct script {
    struct worker *worker;
    struct engine *engine;
    struct engine_verbs verbs;
    int start_error;
    int wait_error;
    int conn_fd; /* accepted first; -1: none */
    bool was_sealed;
};

static struct script script;

/* Sleeps until control wakes the worker, as a kernel would. */
static void await_control(void *context)
{
    struct script *own = context;
    uint64_t wakes;
    own->was_sealed = alloc_thread_is_sealed();
    if (own->conn_fd >= 0) {
        fake_accept(own->engine, listener_token, own->conn_fd);
        own->conn_fd = -1;
        return;
    }
    struct pollfd wake = {.fd = own->worker->event_fd, .events = POLLIN};
    ASSERT(poll(&wake, 1, 10000) == 1);
    ASSERT(read(wake.fd, &wakes, sizeof(wakes)) == sizeof(wakes));
    fake_watch(own->engine, worker_token);
}

static int fail_to_wait(struct engine *engine, struct engine_event *ret_events, uint32_t event_max)
{
    (void)engine;
    (void)ret_events;
    (void)event_max;
    return script.wait_error;
}

static int
create_engine(const struct engine_config *config, struct engine **ret_engine, const char **ret_what)
{
    if (script.start_error != 0) {
        *ret_what = "no engine today; try tomorrow";
        return script.start_error;
    }
    script.engine = fake_create(config);
    fake_on_idle(script.engine, await_control, &script);
    if (script.wait_error != 0) {
        script.verbs = *script.engine->verbs;
        script.verbs.wait = fail_to_wait;
        script.engine->verbs = &script.verbs;
    }
    *ret_engine = script.engine;
    return 0;
}

struct fixture {
    struct settings settings;
    struct freshness_gate gate;
    struct worker_config config;
    struct worker *worker;
    int listen_fd;
};

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.gate = {.watch_fd = -1}, .listen_fd = 9000};
    script = (struct script){.conn_fd = -1};
    settings_init(&f.settings);
    f.settings.table_slots = 16;
    f.config = (struct worker_config){
        .settings = &f.settings,
        .listen_fds = &f.listen_fd,
        .listen_count = 1,
        .connection_max = 8,
        .freshness = &f.gate,
        .clock = clock_system(),
        .create_engine = create_engine,
        .control_event_fd = eventfd(0, EFD_CLOEXEC),
    };
    assert_true(f.config.control_event_fd >= 0);
    assert_int_equal(worker_create(&f.config, &f.worker), 0);
    script.worker = f.worker;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    worker_destroy(f.worker);
    return close(f.config.control_event_fd);
}

static void start(void)
{
    const char *what = NULL;
    assert_int_equal(worker_start(f.worker, &what), 0);
}

static void tell(enum message_kind kind, void *pointer)
{
    assert_true(worker_send(f.worker, (struct message){.kind = kind, .pointer = pointer}));
    worker_wake(f.worker);
}

/* Waits for the worker's next message. */
static struct message receive(void)
{
    struct message message;
    while (!worker_receive(f.worker, &message)) {
        uint64_t wakes;
        assert_int_equal(read(f.config.control_event_fd, &wakes, sizeof(wakes)), sizeof(wakes));
    }
    return message;
}

static void worker_runs_until_it_is_stopped(void **state)
{
    (void)state;
    start();
    tell(MESSAGE_STOP, NULL);
    worker_join(f.worker);
    assert_true(script.was_sealed); /* the thread allocates nothing while it serves */
    assert_false(alloc_thread_is_sealed());
    struct message message;
    assert_false(worker_receive(f.worker, &message));
}

static void worker_that_was_not_started_can_be_destroyed(void **state)
{
    (void)state;
    worker_join(f.worker);
}

static void worker_without_an_engine_says_why(void **state)
{
    (void)state;
    const char *what = NULL;
    script.start_error = -EPERM;
    assert_int_equal(worker_start(f.worker, &what), -EPERM);
    assert_string_equal(what, "no engine today; try tomorrow");
    worker_join(f.worker);
}

static void worker_whose_engine_fails_tells_control(void **state)
{
    (void)state;
    script.wait_error = -EBADF;
    start();
    assert_int_equal(receive().kind, MESSAGE_FAILED);
    worker_join(f.worker);
}

static void worker_drains_and_tells_control(void **state)
{
    (void)state;
    start();
    tell(MESSAGE_DRAIN, NULL);
    assert_int_equal(receive().kind, MESSAGE_DRAINED);
    tell(MESSAGE_STOP, NULL);
    worker_join(f.worker);
}

static void connections_are_closed_when_it_stops(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    script.conn_fd = fds[0];
    start();
    while (counter_get(&worker_counters(f.worker)->connections_accepted) == 0) {
        tell(MESSAGE_GENERATION, &(struct generation){.id = 1});
        assert_int_equal(receive().kind, MESSAGE_APPLIED);
    }
    tell(MESSAGE_STOP, NULL);
    worker_join(f.worker);
    assert_int_equal(recv(fds[1], &byte, 1, MSG_DONTWAIT), 0);
    assert_int_equal(close(fds[1]), 0);
}

/* Messages cross in order, however the two threads are interleaved. */
static void generations_are_answered_in_order(void **state)
{
    (void)state;
    static struct generation generations[GENERATIONS_COUNT];
    start();
    uint32_t sent = 0;
    uint32_t answered = 0;
    while (answered < GENERATIONS_COUNT) {
        while (sent < GENERATIONS_COUNT && worker_has_room(f.worker, &generations[sent])) {
            generations[sent] = (struct generation){.id = sent + 1};
            tell(MESSAGE_GENERATION, &generations[sent++]);
        }
        const struct message message = receive();
        assert_int_equal(message.kind, MESSAGE_APPLIED);
        assert_ptr_equal(message.pointer, &generations[answered++]);
    }
    tell(MESSAGE_STOP, NULL);
    worker_join(f.worker);
}

static void version_is_given_served_from_and_released(void **state)
{
    (void)state;
    struct version version = {.key = SPAN("a"), .fd = -1, .body = (const uint8_t *)"alpha"};
    struct generation *removal = alloc_zeroed(1, sizeof(*removal) + sizeof(removal->changes[0]));
    assert_non_null(removal);
    removal->change_count = 1;
    removal->changes[0] = (struct change){.retired = &version, .holder_mask = 1};
    start();
    /* As an answer to a question that this test puts in the worker's stead, before any other. */
    struct miss *miss = miss_list_add(&f.worker->misses, SPAN("a"));
    assert_true(worker_send(
        f.worker, (struct message){
                      .kind = MESSAGE_LOADED, .number = 200, .pointer = miss, .second = &version}));
    tell(MESSAGE_GENERATION, removal);
    assert_int_equal(receive().kind, MESSAGE_APPLIED);
    struct message message = receive(); /* its slot was kept for those who asked */
    assert_int_equal(message.kind, MESSAGE_RELEASED);
    assert_ptr_equal(message.pointer, &version);
    tell(MESSAGE_STOP, NULL);
    worker_join(f.worker);
    alloc_free(removal);
}

static void room_is_kept_for_orders_and_answers(void **state)
{
    (void)state;
    struct generation *wide = alloc_zeroed(1, sizeof(*wide) + 16 * sizeof(wide->changes[0]));
    assert_non_null(wide);
    wide->change_count = 16;
    for (uint32_t i = 0; i < 16; i++) {
        wide->changes[i].holder_mask = 1;
    }
    uint32_t sent = 0;
    while (worker_has_room(f.worker, wide)) { /* nobody takes them: the thread does not run */
        assert_true(
            worker_send(f.worker, (struct message){.kind = MESSAGE_GENERATION, .pointer = wide}));
        sent++;
        assert_true(sent < 100000);
    }
    assert_true(sent >= 1); /* one that changes all that the worker can hold always fits */
    const struct generation narrow = {.id = 1};
    uint32_t narrow_count = 0;
    while (worker_has_room(f.worker, &narrow)) {
        assert_true(worker_send(
            f.worker, (struct message){.kind = MESSAGE_GENERATION, .pointer = (void *)&narrow}));
        narrow_count++;
        assert_true(narrow_count < 100000);
    }
    for (uint32_t i = 0; i < f.worker->misses.miss_count; i++) { /* each answer has its place */
        assert_true(worker_send(f.worker, (struct message){.kind = MESSAGE_LOADED}));
    }
    assert_true(worker_send(f.worker, (struct message){.kind = MESSAGE_DRAIN}));
    assert_true(worker_send(f.worker, (struct message){.kind = MESSAGE_STOP}));
    alloc_free(wide);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(worker_runs_until_it_is_stopped),
        TEST(worker_that_was_not_started_can_be_destroyed),
        TEST(worker_without_an_engine_says_why),
        TEST(worker_whose_engine_fails_tells_control),
        TEST(worker_drains_and_tells_control),
        TEST(connections_are_closed_when_it_stops),
        TEST(generations_are_answered_in_order),
        TEST(version_is_given_served_from_and_released),
        TEST(room_is_kept_for_orders_and_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
