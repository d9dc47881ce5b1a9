#include "server/control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/fault.h"
#include "server/control/fakes.h"

/* A server with fakes around it, in a folder of its own. */
struct rig {
    char folder[64];
    char admin[96];
    char log_path[96];
    struct settings settings;
    struct control_config config;
    struct miss misses[4];
    uint32_t ready_count;
    uint32_t draining_count;
    int client;        /* connected to the admin listener; -1 */
    uint32_t gathered; /* reports asked for since the drain began */
};

static int rig_create(void **state)
{
    fake_reset();
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/control_test.XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    (void)snprintf(rig->admin, sizeof(rig->admin), "unix:%s/admin.sock", rig->folder);
    (void)snprintf(rig->log_path, sizeof(rig->log_path), "%s/access.log", rig->folder);
    rig->client = -1;
    rig->settings = (struct settings){
        .root = "site",
        .index = "index.html",
        .admin = "none",
        .access_log = "none",
        .memory_total_bytes = 1000,
        .memory_body_bytes = 100,
        .max_connections = 10,
        .table_slots = 8,
        .drain_timeout_ms = 60000,
    };
    rig->config = (struct control_config){
        .settings = &rig->settings,
        .clock = clock_system(),
        .facts = {"1.2.3", "6.18", "uring", "per-slot", "watch", NULL, 0},
        .worker_count = 3,
        .context = rig,
    };
    fake_plan.answers_drain = true;
    *state = rig;
    return 0;
}

static int rig_destroy(void **state)
{
    struct rig *rig = *state;
    if (rig->client >= 0) {
        (void)close(rig->client);
    }
    (void)unlink(rig->log_path);
    assert_int_equal(rmdir(rig->folder), 0); /* nothing else was left, no socket either */
    free(rig);
    assert_int_equal(fake_plan.live_workers, 0);
    assert_int_equal(fake_plan.started_workers, 0);
    assert_null(fake_plan.catalog);
    return 0;
}

static void wake_control(struct worker *worker)
{
    uint64_t one = 1;
    assert_int_equal(write(worker->config.control_event_fd, &one, sizeof(one)), sizeof(one));
}

static void ask_for_the_end(void *context)
{
    struct rig *rig = context;
    rig->ready_count++;
    assert_int_equal(raise(SIGTERM), 0);
}

static void control_drains_on_term_and_exits_clean(void **state)
{
    struct rig *rig = *state;
    rig->config.on_ready = ask_for_the_end;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
    assert_int_equal(rig->ready_count, 1);
    assert_string_equal(fake_trace, "start(0) start(1) start(2) drain(0) drain(1) drain(2) "
                                    "wake(0) wake(1) wake(2) stop(0) stop(1) stop(2) "
                                    "wake(0) wake(1) wake(2) join(0) join(1) join(2) ");
}

static void control_stops_at_the_drain_timeout(void **state)
{
    struct rig *rig = *state;
    fake_plan.answers_drain = false;
    rig->settings.drain_timeout_ms = 1;
    rig->config.on_ready = ask_for_the_end;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
    assert_non_null(strstr(fake_trace, "stop(2) "));
}

static void ask_again(void *context)
{
    struct rig *rig = context;
    rig->draining_count++;
    assert_int_equal(raise(SIGINT), 0);
}

static void control_stops_at_once_on_a_second_signal(void **state)
{
    struct rig *rig = *state;
    fake_plan.answers_drain = false;
    rig->config.on_ready = ask_for_the_end;
    rig->config.on_draining = ask_again;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
    assert_int_equal(rig->draining_count, 1);
    assert_non_null(strstr(fake_trace, "stop(0) "));
}

static void raise_hangup_then_term(void *context)
{
    assert_int_equal(raise(SIGPIPE), 0);
    assert_int_equal(raise(SIGHUP), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    ask_for_the_end(context);
}

static void control_survives_other_signals(void **state)
{
    struct rig *rig = *state;
    rig->config.on_ready = raise_hangup_then_term;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
}

static void look_at_shares(void *context)
{
    static const uint32_t want[] = {4, 3, 3};
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(fake_plan.workers[i]->config.connection_max, want[i]);
    }
    ask_for_the_end(context);
}

static void control_splits_connections_over_workers(void **state)
{
    struct rig *rig = *state;
    rig->config.on_ready = look_at_shares;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
}

/* A miss is answered, a change is sent, and both before the end. */
static void ask_and_change(void *context)
{
    struct rig *rig = context;
    static struct generation generation;
    generation = (struct generation){.id = 5, .holder_mask = 0x2, .unapplied_count = 1};
    fake_plan.catalog->changes[0] = &generation;
    fake_plan.workers[1]->answers_applied = true;
    assert_int_equal(write(fake_plan.catalog->watch_fds[1], "x", 1), 1);
    fake_worker_miss(fake_plan.workers[0], &rig->misses[0], "a.html");
    wake_control(fake_plan.workers[0]);
    fake_plan.catalog->on_take = ask_for_the_end;
    fake_plan.catalog->take_context = rig;
}

static void control_answers_misses_and_sends_changes(void **state)
{
    struct rig *rig = *state;
    rig->config.on_ready = ask_and_change;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
    assert_non_null(strstr(fake_trace, "load(0,a.html) loaded(0,a.html,404) wake(0) "));
    assert_non_null(strstr(fake_trace, "take generation(1,open,5) wake(1) "));
}

/* Nothing becomes readable: the poll timer must find out that the catalog wants a look. */
static void want_a_poll(void *context)
{
    struct rig *rig = context;
    fake_plan.catalog->wants_poll = true;
    fake_plan.catalog->on_take = ask_for_the_end;
    fake_plan.catalog->take_context = rig;
    fake_worker_miss(fake_plan.workers[0], &rig->misses[0], "a");
    wake_control(fake_plan.workers[0]);
}

static void control_polls_while_the_catalog_wants_it(void **state)
{
    struct rig *rig = *state;
    rig->config.on_ready = want_a_poll;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
    assert_true(fake_plan.catalog == NULL);
    assert_non_null(strstr(fake_trace, "take "));
}

/* More than one batch, announced once. */
static void ask_a_lot(void *context)
{
    struct rig *rig = context;
    for (uint32_t i = 0; i < 3 * 256; i++) {
        fake_worker_post(fake_plan.workers[0], (struct message){.kind = MESSAGE_RELEASED});
    }
    fake_worker_miss(fake_plan.workers[0], &rig->misses[0], "last");
    wake_control(fake_plan.workers[0]);
    fake_plan.catalog->on_load = ask_for_the_end;
    fake_plan.catalog->load_context = rig;
}

static void control_comes_back_for_what_a_batch_left(void **state)
{
    struct rig *rig = *state;
    rig->config.on_ready = ask_a_lot;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
    assert_non_null(strstr(fake_trace, "loaded(0,last,404) "));
}

static int connect_to_admin(const struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig->admin + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void ask_readiness(void *context)
{
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
    struct rig *rig = context;
    rig->draining_count++;
    rig->client = connect_to_admin(rig);
    assert_int_equal(send(rig->client, request, strlen(request), 0), strlen(request));
}

/* The readiness page asked for a report while draining: its answer is sent, the server may end. */
static void end_once_readiness_was_asked(void *context)
{
    struct rig *rig = context;
    if (rig->draining_count > 0 && rig->gathered++ == 0) {
        assert_int_equal(raise(SIGTERM), 0);
    }
}

static void control_is_not_ready_while_it_drains(void **state)
{
    struct rig *rig = *state;
    fake_plan.answers_drain = false;
    rig->settings.admin = rig->admin;
    rig->config.on_ready = ask_for_the_end;
    rig->config.on_draining = ask_readiness;
    fake_plan.on_counters = end_once_readiness_was_asked;
    fake_plan.counters_context = rig;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
    char answer[1024] = {0};
    assert_true(recv(rig->client, answer, sizeof(answer) - 1, 0) > 0);
    assert_memory_equal(answer, "HTTP/1.1 503 Service Unavailable\r\n", 34);
    assert_non_null(strstr(answer, "\r\n\r\ndraining\n"));
}

static void leave_lines(void *context)
{
    struct worker *worker = fake_plan.workers[2];
    worker->log_bytes = (size_t)snprintf(worker->log, sizeof(worker->log), "one\ntwo\n");
    ask_for_the_end(context);
}

static void control_writes_the_last_log_lines(void **state)
{
    struct rig *rig = *state;
    rig->settings.access_log = rig->log_path;
    rig->config.on_ready = leave_lines;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CLEAN);
    char text[64] = {0};
    int fd = open(rig->log_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof(text) - 1), 8);
    (void)close(fd);
    assert_string_equal(text, "one\ntwo\n");
}

static void control_start_failures_have_their_exit_status(void **state)
{
    struct rig *rig = *state;
    fake_plan.catalog_error = -ENOTDIR;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CONFIG);
    fake_plan.catalog_error = 0;

    rig->settings.admin = "nonsense";
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CONFIG);
    rig->settings.admin = "unix:/nowhere/at/all";
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_FAILED);
    rig->settings.admin = rig->admin;

    rig->settings.access_log = "/nowhere/access.log";
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_CONFIG);
    rig->settings.access_log = "none";
    assert_string_equal(fake_trace, ""); /* no worker was started for any of these */

    fake_plan.start_error = -ENOSYS;
    fake_plan.start_error_index = 1;
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_FAILED);
    assert_non_null(strstr(fake_trace, "start(0) stop(0) "));
}

#ifdef TURNTABLE_FAULT_POINTS
static void control_fails_clean_without_descriptors(void **state)
{
    struct rig *rig = *state;
    fault_arm("control_eventfd", 0, 1, EMFILE);
    assert_int_equal(control_run(&rig->config), CONTROL_EXIT_FAILED);
    fault_disarm_all();
}
#endif

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_create, rig_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(control_drains_on_term_and_exits_clean),
        RIG_TEST(control_stops_at_the_drain_timeout),
        RIG_TEST(control_stops_at_once_on_a_second_signal),
        RIG_TEST(control_survives_other_signals),
        RIG_TEST(control_splits_connections_over_workers),
        RIG_TEST(control_answers_misses_and_sends_changes),
        RIG_TEST(control_polls_while_the_catalog_wants_it),
        RIG_TEST(control_comes_back_for_what_a_batch_left),
        RIG_TEST(control_is_not_ready_while_it_drains),
        RIG_TEST(control_writes_the_last_log_lines),
        RIG_TEST(control_start_failures_have_their_exit_status),
#ifdef TURNTABLE_FAULT_POINTS
        RIG_TEST(control_fails_clean_without_descriptors),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
