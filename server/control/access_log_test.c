#include "server/control/access_log.h"

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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/fault.h"
#include "server/control/fakes.h"

#define TEST_WORKERS 2

static uint64_t test_now_ns = NS_PER_SEC;

static uint64_t test_monotonic_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static const struct clock test_clock = {.monotonic_ns = test_monotonic_ns};

struct rig {
    char folder[32];
    char path[64];
    char moved_path[64];
    struct worker *workers[TEST_WORKERS];
    struct access_log *log;
    char text[262144];
};

static int rig_create(void **state)
{
    fake_reset();
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/access_log.XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    (void)snprintf(rig->path, sizeof(rig->path), "%s/access.log", rig->folder);
    (void)snprintf(rig->moved_path, sizeof(rig->moved_path), "%s/access.log.1", rig->folder);
    for (uint32_t i = 0; i < TEST_WORKERS; i++) {
        struct worker_config config = {.index = i};
        assert_int_equal(worker_create(&config, &rig->workers[i]), 0);
    }
    *state = rig;
    return 0;
}

static int rig_destroy(void **state)
{
    struct rig *rig = *state;
    access_log_destroy(rig->log);
    for (uint32_t i = 0; i < TEST_WORKERS; i++) {
        worker_destroy(rig->workers[i]);
    }
    (void)unlink(rig->path);
    (void)unlink(rig->moved_path);
    assert_int_equal(rmdir(rig->folder), 0);
    free(rig);
    return 0;
}

static int rig_open(struct rig *rig, const char *path)
{
    struct access_log_config config = {
        .path = path,
        .workers = rig->workers,
        .worker_count = TEST_WORKERS,
        .clock = &test_clock,
    };
    return access_log_create(&config, &rig->log);
}

static void leave(struct worker *worker, const char *lines)
{
    size_t bytes = strlen(lines);
    assert_true(worker->log_bytes + bytes <= sizeof(worker->log));
    memcpy(worker->log + worker->log_bytes, lines, bytes);
    worker->log_bytes += bytes;
}

static const char *text_of(struct rig *rig, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t bytes = read(fd, rig->text, sizeof(rig->text) - 1);
    assert_true(bytes >= 0);
    (void)close(fd);
    rig->text[bytes] = '\0';
    return rig->text;
}

static void log_appends_what_workers_leave(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig, rig->path), 0);
    leave(rig->workers[0], "a\nb\n");
    leave(rig->workers[1], "c\n");
    assert_false(access_log_write(rig->log));
    assert_string_equal(text_of(rig, rig->path), "a\nb\nc\n");
    leave(rig->workers[1], "d\n");
    assert_false(access_log_write(rig->log));
    assert_string_equal(text_of(rig, rig->path), "a\nb\nc\nd\n");
    assert_int_equal(access_log_lines_unwritten(rig->log), 0);
}

static void log_keeps_what_the_file_has(void **state)
{
    struct rig *rig = *state;
    FILE *file = fopen(rig->path, "we");
    assert_non_null(file);
    assert_true(fputs("before\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rig_open(rig, rig->path), 0);
    leave(rig->workers[0], "a\n");
    assert_false(access_log_write(rig->log));
    assert_string_equal(text_of(rig, rig->path), "before\na\n");
}

static void log_reopen_goes_on_in_a_new_file(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig, rig->path), 0);
    leave(rig->workers[0], "old\n");
    assert_int_equal(rename(rig->path, rig->moved_path), 0);
    assert_int_equal(access_log_reopen(rig->log), 0);
    leave(rig->workers[0], "new\n");
    assert_false(access_log_write(rig->log));
    assert_string_equal(text_of(rig, rig->moved_path), "old\n");
    assert_string_equal(text_of(rig, rig->path), "new\n");
}

static void log_reopen_keeps_the_old_file_when_there_is_no_new_one(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig, rig->path), 0);
    assert_int_equal(rename(rig->path, rig->moved_path), 0);
    assert_int_equal(mkdir(rig->path, 0700), 0); /* a directory cannot be written */
    assert_int_equal(access_log_reopen(rig->log), -EISDIR);
    leave(rig->workers[0], "a\n");
    assert_false(access_log_write(rig->log));
    assert_string_equal(text_of(rig, rig->moved_path), "a\n");
    assert_int_equal(rmdir(rig->path), 0);
}

static void log_drops_and_counts_on_a_full_disk(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig, "/dev/full"), 0);
    leave(rig->workers[0], "a\nb\n");
    leave(rig->workers[1], "c\n");
    assert_false(access_log_write(rig->log));
    assert_int_equal(access_log_lines_unwritten(rig->log), 3);
    assert_int_equal(rig->workers[0]->log_bytes, 0); /* taken: the ring is free again */
    assert_int_equal(rig->workers[1]->log_bytes, 0);
}

/* A disk that fills within a line: what comes after does not join the torn line. */
static void log_goes_on_after_a_torn_line(void **state)
{
    struct rig *rig = *state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(rig_open(rig, rig->path), 0);
    struct rlimit small = {.rlim_cur = 6, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    leave(rig->workers[0], "one\ntwo\nthree\n"); /* a short write, then EFBIG */
    assert_false(access_log_write(rig->log));
    leave(rig->workers[0], "four\n");
    assert_false(access_log_write(rig->log));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(access_log_lines_unwritten(rig->log), 3);
    leave(rig->workers[0], "five\nsix\n");
    assert_false(access_log_write(rig->log));
    assert_string_equal(text_of(rig, rig->path), "one\ntw\nfive\nsix\n");
    assert_int_equal(access_log_lines_unwritten(rig->log), 3);
}

/* A pipe whose reader rests must not stop the control thread; nothing of what was taken is lost. */
static void log_waits_for_a_slow_reader_without_blocking(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(mkfifo(rig->path, 0600), 0);
    int reader = open(rig->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    assert_int_equal(rig_open(rig, rig->path), 0);
    char line[101];
    memset(line, 'x', sizeof(line) - 2);
    memcpy(line + sizeof(line) - 2, "\n", 2);
    size_t left_bytes = 0;
    size_t got_bytes = 0;
    for (uint32_t round = 0; round < 4; round++) {
        while (rig->workers[0]->log_bytes + 100 <= FAKE_LOG_BYTES) {
            leave(rig->workers[0], line);
            left_bytes += 100;
        }
        assert_false(access_log_write(rig->log));
    }
    assert_true(rig->workers[0]->log_bytes > 0); /* it waits in the ring, where it is bounded */
    for (uint32_t round = 0; round < 16; round++) {
        ssize_t got = read(reader, rig->text, sizeof(rig->text));
        got_bytes += got > 0 ? (size_t)got : 0;
        assert_false(access_log_write(rig->log));
    }
    assert_int_equal(got_bytes, left_bytes);
    assert_int_equal(access_log_lines_unwritten(rig->log), 0);

    (void)close(reader);
    void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
    leave(rig->workers[0], "nobody reads this\n");
    assert_false(access_log_write(rig->log));
    assert_int_equal(access_log_lines_unwritten(rig->log), 1);
    (void)signal(SIGPIPE, handler);
}

static void log_open_fails_for_what_cannot_be_written(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig, "/nowhere/access.log"), -ENOENT);
    assert_int_equal(rig_open(rig, rig->folder), -EISDIR);
    assert_int_equal(mkfifo(rig->path, 0600), 0);
    assert_int_equal(rig_open(rig, rig->path), -ENXIO); /* nobody reads: it does not wait */
    assert_null(rig->log);
}

static void log_writes_to_standard_output(void **state)
{
    struct rig *rig = *state;
    int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    int fd = open(rig->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(saved >= 0 && fd >= 0);
    assert_int_equal(fflush(stdout), 0);
    assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    int error = rig_open(rig, "-");
    leave(rig->workers[0], "a\n");
    bool has_more = error == 0 && access_log_write(rig->log);
    int reopen_error = error == 0 ? access_log_reopen(rig->log) : 0;
    access_log_destroy(rig->log);
    rig->log = NULL;
    bool is_open = fcntl(STDOUT_FILENO, F_GETFD) >= 0; /* it was not ours to close */
    assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    (void)close(saved);
    (void)close(fd);
    assert_int_equal(error, 0);
    assert_false(has_more);
    assert_int_equal(reopen_error, 0);
    assert_true(is_open);
    assert_string_equal(text_of(rig, rig->path), "a\n");
}

#ifdef TURNTABLE_FAULT_POINTS
static void log_survives_interrupted_writes(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_open(rig, rig->path), 0);
    fault_arm("access_log_write", 0, 2, EINTR);
    leave(rig->workers[0], "a\n");
    assert_false(access_log_write(rig->log));
    assert_string_equal(text_of(rig, rig->path), "a\n");
    fault_disarm_all();
    fault_arm("access_log_write", 0, 1, ENOSPC);
    leave(rig->workers[0], "b\n");
    assert_false(access_log_write(rig->log));
    leave(rig->workers[0], "c\n");
    assert_false(access_log_write(rig->log));
    assert_string_equal(text_of(rig, rig->path), "a\nc\n"); /* no torn line, no empty one */
    assert_int_equal(access_log_lines_unwritten(rig->log), 1);
    fault_disarm_all();
}
#endif

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_create, rig_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(log_appends_what_workers_leave),
        RIG_TEST(log_keeps_what_the_file_has),
        RIG_TEST(log_reopen_goes_on_in_a_new_file),
        RIG_TEST(log_reopen_keeps_the_old_file_when_there_is_no_new_one),
        RIG_TEST(log_drops_and_counts_on_a_full_disk),
        RIG_TEST(log_goes_on_after_a_torn_line),
        RIG_TEST(log_waits_for_a_slow_reader_without_blocking),
        RIG_TEST(log_open_fails_for_what_cannot_be_written),
        RIG_TEST(log_writes_to_standard_output),
#ifdef TURNTABLE_FAULT_POINTS
        RIG_TEST(log_survives_interrupted_writes),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
