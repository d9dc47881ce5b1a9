/*
 * Limits: full queues, no buffers left, and being destroyed in the middle of everything.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/engine/uring/uring_fixture.h"

#define MINUTE_NS (60 * NS_PER_SEC)

static void receive_without_buffers_ends_and_recovers(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    fixture_pair(pair);
    uint8_t sent[(FIXTURE_BUFFERS + 4) * FIXTURE_BUFFER_BYTES];
    for (size_t i = 0; i < sizeof(sent); i++) {
        sent[i] = (uint8_t)(i * 13 + (i >> 8));
    }
    assert_int_equal(write(pair[1], sent, sizeof(sent)), sizeof(sent));
    engine_start_receive(fixture->engine, token_of(1, 1), pair[0]);

    struct engine_event held[FIXTURE_BUFFERS];
    for (uint32_t i = 0; i < FIXTURE_BUFFERS; i++) {
        held[i] = fixture_await(fixture, ENGINE_RECEIVE, 1);
        assert_int_equal(held[i].result, FIXTURE_BUFFER_BYTES);
        assert_memory_equal(held[i].data, sent + i * FIXTURE_BUFFER_BYTES, FIXTURE_BUFFER_BYTES);
    }
    const struct engine_event shortage = fixture_await(fixture, ENGINE_RECEIVE, 1);
    assert_int_equal(shortage.result, -ENOBUFS);
    assert_false(shortage.has_more);
    assert_int_equal(shortage.buffer_id, ENGINE_BUFFER_NONE);
    assert_int_equal(engine_counters(fixture->engine)->buffer_shortages, 1);

    for (uint32_t i = 0; i < FIXTURE_BUFFERS; i++) {
        fixture_return(fixture, &held[i]);
    }
    engine_start_receive(fixture->engine, token_of(1, 1), pair[0]);
    for (size_t got = FIXTURE_BUFFERS * FIXTURE_BUFFER_BYTES; got < sizeof(sent);) {
        const struct engine_event event = fixture_await(fixture, ENGINE_RECEIVE, 1);
        assert_true(event.result > 0);
        assert_memory_equal(event.data, sent + got, (size_t)event.result);
        got += (size_t)event.result;
        fixture_return(fixture, &event);
    }
    close(pair[0]);
    close(pair[1]);
}

/* No buffer is lost however receives end: as many as there were can still be filled at once. */
static void receive_buffers_survive_ends_and_cancels(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t round = 0; round < 4 * FIXTURE_BUFFERS; round++) {
        int pair[2];
        fixture_pair(pair);
        engine_start_receive(fixture->engine, token_of(1, round), pair[0]);
        if (round % 2 == 0) {
            close(pair[1]);
        } else {
            engine_cancel(fixture->engine, ENGINE_RECEIVE, token_of(1, round));
        }
        assert_true(fixture_await(fixture, ENGINE_RECEIVE, 1).result <= 0);
        close(pair[0]);
        if (round % 2 != 0) {
            close(pair[1]);
        }
    }
    receive_without_buffers_ends_and_recovers(state);
}

static void full_submission_queue_is_submitted_and_counted(void **state)
{
    struct fixture *fixture = *state;
    fixture_overfill(fixture);
    assert_int_equal(engine_counters(fixture->engine)->submit_retries, 3);
}

static void full_completion_queue_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    const int fd = eventfd(1, EFD_CLOEXEC);
    const uint32_t count = 5 * fixture_uring(fixture)->ring.io.cq.ring_entries;
    for (uint32_t i = 0; i < count; i++) {
        engine_start_poll(fixture->engine, token_of(i, 1), fd, POLLIN);
    }
    uint8_t *seen = calloc(count, 1);
    assert_non_null(seen);
    for (uint32_t got = 0; got < count;) {
        struct engine_event events[7];
        const int event_count = engine_wait(fixture->engine, events, ARRAY_COUNT(events));
        assert_true(event_count > 0);
        for (int i = 0; i < event_count; i++) {
            assert_int_equal(seen[events[i].token.index]++, 0);
        }
        got += (uint32_t)event_count;
    }
    free(seen);
    assert_true(engine_counters(fixture->engine)->overflows > 0);
    assert_int_equal(fixture_uring(fixture)->in_flight, 0);
    close(fd);
}

/* The kernel ends multishot operations when it cannot post; a watch must outlive that. */
static void watch_outlives_a_full_completion_queue(void **state)
{
    struct fixture *fixture = *state;
    const int watched = eventfd(0, EFD_CLOEXEC);
    const int ready = eventfd(1, EFD_CLOEXEC);
    engine_start_watch(fixture->engine, token_of(1, 1), watched);
    fixture_settle(fixture);
    const uint32_t count = 2 * fixture_uring(fixture)->ring.io.cq.ring_entries;
    for (uint32_t round = 0; round < 3; round++) {
        assert_return_code(eventfd_write(watched, 1), 0);
        for (uint32_t i = 0; i < count; i++) {
            engine_start_poll(fixture->engine, token_of(2, 0), ready, POLLIN);
        }
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(fixture_await(fixture, ENGINE_POLL, 2).result, POLLIN);
        }
        assert_true(fixture_await(fixture, ENGINE_WATCH, 1).has_more);
    }
    fixture->early_count = 0;
    assert_return_code(eventfd_write(watched, 1), 0);
    assert_true(fixture_await(fixture, ENGINE_WATCH, 1).has_more);
    assert_int_equal(fixture_uring(fixture)->in_flight, 1);
    close(watched);
    close(ready);
}

/* The same for the end itself, without relying on when the kernel does it. */
static void watch_that_the_kernel_ended_is_armed_again_unless_cancelled(void **state)
{
    struct fixture *fixture = *state;
    const int fd = eventfd(0, EFD_CLOEXEC);
    for (uint32_t is_cancelled = 0; is_cancelled <= 1; is_cancelled++) {
        const struct engine_token token = token_of(1, is_cancelled);
        engine_start_watch(fixture->engine, token, fd);
        /* In place of the poll: a NOP whose result 0 and missing MORE are such an end. */
        struct io_uring_sq *queue = &fixture_uring(fixture)->ring.io.sq;
        struct io_uring_sqe *entry = &queue->sqes[(queue->sqe_tail - 1) & queue->ring_mask];
        const uint64_t user_data = entry->user_data;
        io_uring_prep_nop(entry);
        entry->user_data = user_data;
        if (is_cancelled) {
            engine_cancel(fixture->engine, ENGINE_WATCH, token);
        }
        const struct engine_event event = fixture_await(fixture, ENGINE_WATCH, 1);
        assert_int_equal(event.has_more, !is_cancelled);
        assert_int_equal(fixture_uring(fixture)->in_flight, !is_cancelled);
        if (!is_cancelled) {
            engine_cancel(fixture->engine, ENGINE_WATCH, token);
            assert_int_equal(fixture_await(fixture, ENGINE_WATCH, 1).result, -ECANCELED);
        }
    }
    close(fd);
}

#define MUCH_BYTES (4u << 20)

/* What operations in flight refer to; outlives the engine. */
struct surroundings {
    int pair[2];
    int pipe_ends[2];
    int listener;
    uint16_t port;
    char *memory;
};

static struct surroundings surroundings_open(void)
{
    struct surroundings around = {.memory = calloc(1, MUCH_BYTES)};
    assert_non_null(around.memory);
    fixture_pair(around.pair);
    assert_return_code(pipe(around.pipe_ends), 0);
    around.listener = fixture_listen(&around.port);
    return around;
}

static void surroundings_close(struct surroundings *around)
{
    close(around->pair[0]);
    close(around->pair[1]);
    close(around->pipe_ends[0]);
    close(around->pipe_ends[1]);
    close(around->listener);
    free(around->memory);
}

/* One of each kind, none of which ends by itself. */
static void start_everything(struct engine *engine, const struct surroundings *around)
{
    const uint32_t serial = 1;
    assert_int_equal(engine_update_files(engine, 3, &around->pipe_ends[0], &serial, 1), 1);
    const struct engine_file slot = {.is_slot = true, .number = 3};
    const struct engine_file plain = {.number = (uint32_t)around->pipe_ends[0]};
    const int fd = around->pair[0];
    engine_start_accept(engine, token_of(1, 1), around->listener);
    engine_start_receive(engine, token_of(2, 1), fd);
    engine_start_poll(engine, token_of(3, 1), fd, POLLIN);
    engine_start_watch(engine, token_of(4, 1), fd);
    engine_start_timeout(engine, token_of(5, 1), MINUTE_NS);
    engine_start_read(engine, token_of(6, 1), slot, around->memory, 100, 0);
    engine_start_read(engine, token_of(7, 1), plain, around->memory + 100, 100, 0);
    engine_start_send(engine, token_of(8, 1), fd, around->memory, MUCH_BYTES, false);
}

enum moment {
    BEFORE_SUBMITTING,
    AFTER_SUBMITTING,
    WITH_COMPLETIONS_READY,
};

static void destroy_at(struct fixture *fixture, enum moment moment)
{
    const uint32_t open_files = fixture_open_files();
    struct surroundings around = surroundings_open();
    start_everything(fixture->engine, &around);
    int client = -1;
    int closed_by_engine[2];
    fixture_pair(closed_by_engine);
    if (moment != BEFORE_SUBMITTING) {
        fixture_settle(fixture);
        assert_int_equal(fixture->early_count, 0);
        assert_int_equal(fixture_uring(fixture)->in_flight, 8);
    }
    if (moment == WITH_COMPLETIONS_READY) {
        struct ring *ring = &fixture_uring(fixture)->ring;
        client = fixture_connect(around.port); /* accepted, and nobody takes the event */
        assert_int_equal(ring_enter(ring, 1, IORING_ENTER_GETEVENTS), 0);
        assert_int_equal(write(around.pair[1], "x", 1), 1);
    }
    engine_close_fd(fixture->engine, closed_by_engine[0]);
    engine_destroy(fixture->engine);
    fixture->engine = NULL;

    /* Nothing refers to the sockets and the pipe any more: their peers see the end at once. */
    memset(around.memory, 1, MUCH_BYTES);
    char byte;
    assert_int_equal(recv(closed_by_engine[1], &byte, 1, MSG_DONTWAIT), 0);
    close(closed_by_engine[1]);
    if (client >= 0) {
        assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 0);
        close(client);
    }
    surroundings_close(&around);
    assert_int_equal(fixture_open_files(), open_files - 1); /* the ring's own */
}

static void destroy_before_submitting(void **state)
{
    destroy_at(*state, BEFORE_SUBMITTING);
}

static void destroy_with_everything_in_flight(void **state)
{
    destroy_at(*state, AFTER_SUBMITTING);
}

static void destroy_with_completions_ready(void **state)
{
    destroy_at(*state, WITH_COMPLETIONS_READY);
}

static void destroy_closes_the_files_of_the_table(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];
    assert_return_code(pipe(ends), 0);
    const uint32_t serial = 1;
    assert_int_equal(engine_update_files(fixture->engine, 0, &ends[1], &serial, 1), 1);
    close(ends[1]);
    engine_destroy(fixture->engine);
    fixture->engine = NULL;
    struct pollfd end = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&end, 1, 10000), 1); /* the last writer is gone */
    assert_int_equal(end.revents, POLLHUP);
    close(ends[0]);
}

struct player {
    int fd;
    uint32_t rounds;
    bool is_first;
    bool has_failed;
};

/* An engine of its own, which returns what it receives until the rounds are done. */
static void *play(void *context)
{
    struct player *player = context;
    const struct engine_config config = {
        .entry_count = 64, .receive_buffer_count = 16, .receive_buffer_bytes = 512};
    struct engine *engine;
    const char *what;
    player->has_failed = uring_create(&config, &engine, &what) != 0;
    if (player->has_failed) {
        return NULL;
    }
    const struct engine_token token = token_of(1, 1);
    engine_start_receive(engine, token, player->fd);
    if (player->is_first) {
        engine_start_send(engine, token, player->fd, "ball", 4, false);
    }
    while (player->rounds > 0 && !player->has_failed) {
        struct engine_event events[4];
        const int count = engine_wait(engine, events, ARRAY_COUNT(events));
        for (int i = 0; i < count; i++) {
            player->has_failed |= events[i].result != 4;
            if (events[i].op == ENGINE_RECEIVE && events[i].buffer_id != ENGINE_BUFFER_NONE) {
                player->rounds--;
                engine_return_buffer(engine, events[i].buffer_id);
                engine_start_send(engine, token, player->fd, "ball", 4, false);
            }
        }
    }
    engine_destroy(engine);
    return NULL;
}

static void two_engines_play_in_two_threads(void **state)
{
    (void)state;
    int pair[2];
    fixture_pair(pair);
    struct player players[2] = {{.fd = pair[0], .rounds = 2000, .is_first = true},
                                {.fd = pair[1], .rounds = 2000}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, play, &players[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(players[i].has_failed);
        assert_int_equal(players[i].rounds, 0);
    }
    close(pair[0]);
    close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    fixture_skip_without_uring();
    const struct CMUnitTest tests[] = {
        TEST(receive_without_buffers_ends_and_recovers),
        TEST(receive_buffers_survive_ends_and_cancels),
        TEST(full_submission_queue_is_submitted_and_counted),
        TEST(full_completion_queue_loses_nothing),
        TEST(watch_outlives_a_full_completion_queue),
        TEST(watch_that_the_kernel_ended_is_armed_again_unless_cancelled),
        TEST(destroy_before_submitting),
        TEST(destroy_with_everything_in_flight),
        TEST(destroy_with_completions_ready),
        TEST(destroy_closes_the_files_of_the_table),
        TEST(two_engines_play_in_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
