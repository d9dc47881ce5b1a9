#include "server/worker/log_ring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void read_gives_whole_lines_only(void **state)
{
    (void)state;
    struct log_ring ring = {0};
    char buffer[8];
    assert_int_equal(log_ring_init(&ring, 4096), 0);
    assert_true(log_ring_write(&ring, SPAN("abc\n")));
    assert_true(log_ring_write(&ring, SPAN("defgh\n")));
    assert_int_equal(log_ring_read(&ring, buffer, sizeof(buffer)), 4);
    assert_memory_equal(buffer, "abc\n", 4);
    assert_int_equal(log_ring_read(&ring, buffer, sizeof(buffer)), 6);
    assert_memory_equal(buffer, "defgh\n", 6);
    assert_int_equal(log_ring_read(&ring, buffer, sizeof(buffer)), 0);
    log_ring_deinit(&ring);
}

static void write_refuses_what_does_not_fit_and_wraps(void **state)
{
    (void)state;
    struct log_ring ring = {0};
    char line[100];
    char buffer[4096];
    memset(line, 'x', sizeof(line));
    line[99] = '\n';
    assert_int_equal(log_ring_init(&ring, 256), 0);
    for (int round = 0; round < 50; round++) {
        assert_true(log_ring_write(&ring, span_of(line, sizeof(line))));
        assert_true(log_ring_write(&ring, span_of(line, sizeof(line))));
        assert_false(log_ring_write(&ring, span_of(line, sizeof(line))));
        assert_int_equal(log_ring_read(&ring, buffer, sizeof(buffer)), 200);
        assert_memory_equal(buffer, line, 100);
        assert_memory_equal(buffer + 100, line, 100);
    }
    log_ring_deinit(&ring);
}

static void read_of_a_ring_that_is_off_gives_nothing(void **state)
{
    (void)state;
    struct log_ring ring = {0};
    char buffer[16];
    assert_int_equal(log_ring_read(&ring, buffer, sizeof(buffer)), 0);
}

#define LINES_COUNT 20000

static void *write_lines(void *context)
{
    struct log_ring *ring = context;
    for (int i = 0; i < LINES_COUNT; i++) {
        char line[32];
        int bytes = snprintf(line, sizeof(line), "%d\n", i);
        while (!log_ring_write(ring, span_of(line, (size_t)bytes))) {
        }
    }
    return NULL;
}

static void lines_cross_threads_in_order(void **state)
{
    (void)state;
    struct log_ring ring = {0};
    pthread_t writer;
    assert_int_equal(log_ring_init(&ring, 1024), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_lines, &ring), 0);
    int expected = 0;
    while (expected < LINES_COUNT) {
        char buffer[301];
        size_t bytes = log_ring_read(&ring, buffer, sizeof(buffer) - 1);
        buffer[bytes] = '\0';
        char *rest = buffer;
        while (*rest != '\0') {
            assert_int_equal(strtol(rest, &rest, 10), expected++);
            assert_int_equal(*rest++, '\n');
        }
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    log_ring_deinit(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_gives_whole_lines_only),
        cmocka_unit_test(write_refuses_what_does_not_fit_and_wraps),
        cmocka_unit_test(read_of_a_ring_that_is_off_gives_nothing),
        cmocka_unit_test(lines_cross_threads_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
