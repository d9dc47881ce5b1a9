/*
 * Each verb of the engine, alone, on the real kernel.
 */
#include "server/engine/uring/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/engine/uring/uring_fixture.h"

#define MINUTE_NS UINT64_C(60000000000)

static void accept_repeats_and_closes_on_exec(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port;
    const int listener = fixture_listen(&port);
    engine_start_accept(fixture->engine, token_of(1, 7), listener);
    for (int i = 0; i < 3; i++) {
        const int client = fixture_connect(port);
        const struct engine_event event = fixture_await(fixture, ENGINE_ACCEPT, 1);
        assert_true(event.result >= 0);
        assert_true(event.has_more);
        assert_int_equal(event.token.generation, 7);
        assert_int_equal(fcntl(event.result, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(event.result, F_GETFL) & O_NONBLOCK, 0);
        close(event.result);
        close(client);
    }
    engine_cancel(fixture->engine, ENGINE_ACCEPT, token_of(1, 7));
    const struct engine_event end = fixture_await(fixture, ENGINE_ACCEPT, 1);
    assert_int_equal(end.result, -ECANCELED);
    assert_false(end.has_more);
    close(listener);
}

static void accept_of_no_socket_ends_with_an_error(void **state)
{
    struct fixture *fixture = *state;
    const int file = fixture_file("x");
    engine_start_accept(fixture->engine, token_of(1, 0), file);
    const struct engine_event event = fixture_await(fixture, ENGINE_ACCEPT, 1);
    assert_int_equal(event.result, -ENOTSOCK);
    assert_false(event.has_more);
    close(file);
}

static void receive_repeats_until_end_of_stream(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    fixture_pair(pair);
    engine_start_receive(fixture->engine, token_of(2, 1), pair[0]);
    for (int i = 0; i < 3 * FIXTURE_BUFFERS; i++) {
        assert_int_equal(write(pair[1], "hello", 5), 5);
        const struct engine_event event = fixture_await(fixture, ENGINE_RECEIVE, 2);
        assert_int_equal(event.result, 5);
        assert_true(event.has_more);
        assert_memory_equal(event.data, "hello", 5);
        fixture_return(fixture, &event);
    }
    close(pair[1]);
    const struct engine_event end = fixture_await(fixture, ENGINE_RECEIVE, 2);
    assert_int_equal(end.result, 0);
    assert_false(end.has_more);
    assert_int_equal(end.buffer_id, ENGINE_BUFFER_NONE);
    close(pair[0]);
}

static void receive_splits_what_is_larger_than_a_buffer(void **state)
{
    struct fixture *fixture = *state;
    uint8_t sent[3 * FIXTURE_BUFFER_BYTES - 100];
    for (size_t i = 0; i < sizeof(sent); i++) {
        sent[i] = (uint8_t)(i * 7);
    }
    int pair[2];
    fixture_pair(pair);
    engine_start_receive(fixture->engine, token_of(2, 1), pair[0]);
    assert_int_equal(write(pair[1], sent, sizeof(sent)), sizeof(sent));
    size_t received = 0;
    while (received < sizeof(sent)) {
        const struct engine_event event = fixture_await(fixture, ENGINE_RECEIVE, 2);
        assert_in_range(event.result, 1, FIXTURE_BUFFER_BYTES);
        assert_memory_equal(event.data, sent + received, (size_t)event.result);
        received += (size_t)event.result;
        fixture_return(fixture, &event);
    }
    assert_int_equal(received, sizeof(sent));
    close(pair[0]);
    close(pair[1]);
}

struct reader {
    int fd;
    size_t bytes;
    uint32_t sum;
};

static void *read_all(void *context)
{
    struct reader *reader = context;
    uint8_t buffer[65536];
    ssize_t count;
    while ((count = read(reader->fd, buffer, sizeof(buffer))) > 0) {
        reader->bytes += (size_t)count;
        for (ssize_t i = 0; i < count; i++) {
            reader->sum = reader->sum * 31 + buffer[i];
        }
    }
    return NULL;
}

/* Far more than the sockets hold, so the kernel has to come back to it. */
static void send_much(struct fixture *fixture, int added_flags)
{
    const uint32_t bytes = 8 << 20;
    uint8_t *memory = malloc(bytes);
    assert_non_null(memory);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        memory[i] = (uint8_t)(i >> 3);
        sum = sum * 31 + memory[i];
    }
    uint16_t port;
    const int listener = fixture_listen(&port);
    struct reader reader = {.fd = fixture_connect(port)};
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | added_flags);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_all, &reader), 0);

    engine_start_send(fixture->engine, token_of(3, 1), fd, memory, bytes, false);
    const struct engine_event event = fixture_await(fixture, ENGINE_SEND, 3);
    assert_int_equal(event.result, bytes);
    assert_false(event.has_more);
    close(fd);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(reader.bytes, bytes);
    assert_int_equal(reader.sum, sum);
    close(reader.fd);
    close(listener);
    free(memory);
}

static void send_is_finished_by_the_kernel(void **state)
{
    send_much(*state, 0);
}

static void send_is_finished_on_a_nonblocking_socket(void **state)
{
    send_much(*state, SOCK_NONBLOCK);
}

static void send_message_gathers(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    fixture_pair(pair);
    struct iovec parts[] = {{.iov_base = (char[]){"head "}, .iov_len = 5},
                            {.iov_base = (char[]){"body"}, .iov_len = 4}};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    engine_start_send_message(fixture->engine, token_of(3, 2), pair[0], &message, true);
    assert_int_equal(fixture_await(fixture, ENGINE_SEND, 3).result, 9);
    engine_start_send(fixture->engine, token_of(3, 3), pair[0], "!", 1, false);
    assert_int_equal(fixture_await(fixture, ENGINE_SEND, 3).result, 1);
    char got[11] = "";
    assert_int_equal(recv(pair[1], got, 10, MSG_WAITALL), 10);
    assert_string_equal(got, "head body!");
    close(pair[0]);
    close(pair[1]);
}

static void send_to_a_lost_peer_fails_without_a_signal(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    fixture_pair(pair);
    close(pair[1]);
    engine_start_send(fixture->engine, token_of(3, 1), pair[0], "x", 1, false);
    assert_int_equal(fixture_await(fixture, ENGINE_SEND, 3).result, -EPIPE);
    close(pair[0]);
}

static void read_is_the_same_from_slot_and_descriptor(void **state)
{
    struct fixture *fixture = *state;
    const int file = fixture_file("0123456789");
    const uint32_t serial = 1;
    assert_int_equal(engine_update_files(fixture->engine, 5, &file, &serial, 1), 1);
    static const struct {
        const char *name;
        uint64_t offset;
        const char *want;
    } cases[] = {
        {"from the start", 0, "0123456789"},
        {"from the middle", 4, "456789"},
        {"at the end", 10, ""},
        {"beyond the end", 99, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int is_slot = 0; is_slot <= 1; is_slot++) {
            print_message("%s, %s\n", cases[i].name, is_slot ? "slot" : "descriptor");
            char got[32] = "";
            const struct engine_file from = {.is_slot = is_slot != 0,
                                             .number = is_slot ? 5 : (uint32_t)file};
            engine_start_read(fixture->engine, token_of(4, 9), from, got, sizeof(got) - 1,
                              cases[i].offset);
            const struct engine_event event = fixture_await(fixture, ENGINE_READ, 4);
            assert_int_equal(event.result, strlen(cases[i].want));
            assert_int_equal(event.token.generation, 9);
            assert_string_equal(got, cases[i].want);
        }
    }
    close(file);
}

static void read_of_an_empty_slot_fails(void **state)
{
    struct fixture *fixture = *state;
    char got[4];
    for (uint32_t slot = FIXTURE_SLOTS - 1; slot <= FIXTURE_SLOTS; slot++) {
        const struct engine_file file = {.is_slot = true, .number = slot};
        engine_start_read(fixture->engine, token_of(4, 1), file, got, sizeof(got), 0);
        assert_int_equal(fixture_await(fixture, ENGINE_READ, 4).result, -EBADF);
    }
}

static void poll_comes_once(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    fixture_pair(pair);
    engine_start_poll(fixture->engine, token_of(5, 1), pair[0], POLLIN);
    assert_false(fixture_has_come(fixture, ENGINE_POLL, 5));
    assert_int_equal(write(pair[1], "x", 1), 1);
    const struct engine_event event = fixture_await(fixture, ENGINE_POLL, 5);
    assert_int_equal(event.result, POLLIN);
    assert_false(event.has_more);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_false(fixture_has_come(fixture, ENGINE_POLL, 5));
    close(pair[0]);
    close(pair[1]);
}

static void watch_repeats_until_cancelled(void **state)
{
    struct fixture *fixture = *state;
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    engine_start_watch(fixture->engine, token_of(6, 1), fd);
    for (int i = 0; i < 5; i++) {
        assert_return_code(eventfd_write(fd, 1), 0);
        const struct engine_event event = fixture_await(fixture, ENGINE_WATCH, 6);
        assert_int_equal(event.result, POLLIN);
        assert_true(event.has_more);
    }
    engine_cancel(fixture->engine, ENGINE_WATCH, token_of(6, 1));
    const struct engine_event end = fixture_await(fixture, ENGINE_WATCH, 6);
    assert_int_equal(end.result, -ECANCELED);
    assert_false(end.has_more);
    for (uint32_t i = 0; i < URING_WATCHES_MAX; i++) { /* its place is free again */
        engine_start_watch(fixture->engine, token_of(10 + i, 1), fd);
    }
    fixture_settle(fixture);
    close(fd);
}

static void timeout_passes_or_is_cancelled(void **state)
{
    struct fixture *fixture = *state;
    engine_start_timeout(fixture->engine, token_of(7, 1), MINUTE_NS);
    engine_start_timeout(fixture->engine, token_of(8, 1), 1);
    const struct engine_event passed = fixture_await(fixture, ENGINE_TIMEOUT, 8);
    assert_int_equal(passed.result, 0);
    assert_false(passed.has_more);
    engine_cancel(fixture->engine, ENGINE_TIMEOUT, token_of(7, 1));
    assert_int_equal(fixture_await(fixture, ENGINE_TIMEOUT, 7).result, -ECANCELED);
}

static void timeouts_of_one_batch_keep_their_times(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < FIXTURE_ENTRIES - 1; i++) {
        engine_start_timeout(fixture->engine, token_of(100 + i, 1), i == 40 ? 1 : MINUTE_NS);
    }
    assert_int_equal(fixture_await(fixture, ENGINE_TIMEOUT, 140).result, 0);
    assert_int_equal(fixture->early_count, 0);
}

static void cancel_ends_only_the_one_meant(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    fixture_pair(pair);
    engine_start_poll(fixture->engine, token_of(1, 1), pair[0], POLLIN);
    engine_start_receive(fixture->engine, token_of(1, 1), pair[0]);
    engine_start_poll(fixture->engine, token_of(1, 2), pair[0], POLLIN);
    engine_cancel(fixture->engine, ENGINE_POLL, token_of(1, 2));
    engine_cancel(fixture->engine, ENGINE_POLL, token_of(9, 9)); /* never was: silent */
    const struct engine_event event = fixture_await(fixture, ENGINE_POLL, 1);
    assert_int_equal(event.result, -ECANCELED);
    assert_int_equal(event.token.generation, 2);
    assert_false(fixture_has_come(fixture, ENGINE_POLL, 1));
    assert_false(fixture_has_come(fixture, ENGINE_RECEIVE, 1));
    assert_int_equal(engine_counters(fixture->engine)->stale_events, 0);
    engine_cancel(fixture->engine, ENGINE_RECEIVE, token_of(1, 1));
    assert_int_equal(fixture_await(fixture, ENGINE_RECEIVE, 1).result, -ECANCELED);
    close(pair[0]);
    close(pair[1]);
}

static void close_fd_ends_the_connection(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    fixture_pair(pair);
    engine_close_fd(fixture->engine, pair[0]);
    engine_close_fd(fixture->engine, 999999); /* no such descriptor: silent */
    fixture_settle(fixture);
    char byte;
    assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0);
    assert_int_equal(fcntl(pair[0], F_GETFD), -1);
    assert_int_equal(fixture->early_count, 0);
    close(pair[1]);
}

static void wait_hands_out_what_is_ready_without_a_system_call(void **state)
{
    struct fixture *fixture = *state;
    const int fd = eventfd(1, EFD_CLOEXEC);
    for (uint32_t i = 0; i < 5; i++) {
        engine_start_poll(fixture->engine, token_of(i, 1), fd, POLLIN);
    }
    for (uint32_t i = 0; i < 5; i++) {
        struct engine_event event;
        assert_int_equal(engine_wait(fixture->engine, &event, 1), 1);
        assert_int_equal(event.token.index, i);
        assert_int_equal(engine_counters(fixture->engine)->waits, 1);
    }
    assert_int_equal(engine_counters(fixture->engine)->events, 5);
    close(fd);
}

static void completions_of_nobody_are_counted_and_dropped(void **state)
{
    struct fixture *fixture = *state;
    static const uint64_t strangers[] = {0, UINT64_MAX, UINT64_C(0x40) << 56};
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(&fixture_uring(fixture)->ring.io);
        io_uring_prep_nop(entry);
        entry->user_data = strangers[i];
    }
    fixture_settle(fixture);
    assert_int_equal(fixture->early_count, 0);
    assert_int_equal(engine_counters(fixture->engine)->stale_events, 3);
}

static void generations_keep_24_bits(void **state)
{
    struct fixture *fixture = *state;
    const int fd = eventfd(1, EFD_CLOEXEC);
    static const uint32_t generations[] = {0, 1, 0x800000, ENGINE_GENERATION_MASK};
    for (size_t i = 0; i < sizeof(generations) / sizeof(generations[0]); i++) {
        engine_start_poll(fixture->engine, token_of(UINT32_MAX, generations[i]), fd, POLLIN);
        const struct engine_event event = fixture_await(fixture, ENGINE_POLL, UINT32_MAX);
        assert_int_equal(event.token.generation, generations[i]);
    }
    close(fd);
}

static void on_signal(int number)
{
    (void)number;
}

struct nagger {
    pthread_t target;
    atomic_bool is_done;
};

static void *nag(void *context)
{
    struct nagger *nagger = context;
    while (!atomic_load(&nagger->is_done)) {
        (void)pthread_kill(nagger->target, SIGUSR1);
        (void)sched_yield();
    }
    return NULL;
}

static void wait_returns_nothing_when_a_signal_interrupts(void **state)
{
    struct fixture *fixture = *state;
    const struct sigaction action = {.sa_handler = on_signal};
    assert_return_code(sigaction(SIGUSR1, &action, NULL), 0);
    struct nagger nagger = {.target = pthread_self()};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, nag, &nagger), 0);
    engine_start_timeout(fixture->engine, token_of(1, 1), MINUTE_NS);
    for (int i = 0; i < 3; i++) {
        struct engine_event event;
        assert_int_equal(engine_wait(fixture->engine, &event, 1), 0);
    }
    atomic_store(&nagger.is_done, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    fixture_skip_without_uring();
    const struct CMUnitTest tests[] = {
        TEST(accept_repeats_and_closes_on_exec),
        TEST(accept_of_no_socket_ends_with_an_error),
        TEST(receive_repeats_until_end_of_stream),
        TEST(receive_splits_what_is_larger_than_a_buffer),
        TEST(send_is_finished_by_the_kernel),
        TEST(send_is_finished_on_a_nonblocking_socket),
        TEST(send_message_gathers),
        TEST(send_to_a_lost_peer_fails_without_a_signal),
        TEST(read_is_the_same_from_slot_and_descriptor),
        TEST(read_of_an_empty_slot_fails),
        TEST(poll_comes_once),
        TEST(watch_repeats_until_cancelled),
        TEST(timeout_passes_or_is_cancelled),
        TEST(timeouts_of_one_batch_keep_their_times),
        TEST(cancel_ends_only_the_one_meant),
        TEST(close_fd_ends_the_connection),
        TEST(wait_hands_out_what_is_ready_without_a_system_call),
        TEST(completions_of_nobody_are_counted_and_dropped),
        TEST(generations_keep_24_bits),
        TEST(wait_returns_nothing_when_a_signal_interrupts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
