#include "server/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"

/* Standard error is a pipe between capture_start() and capture_end(). */
struct capture {
    int saved_fd;
    int read_fd;
    char text[2 * LOG_LINE_MAX];
};

static void capture_start(struct capture *capture)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    capture->saved_fd = dup(STDERR_FILENO);
    capture->read_fd = pipe_fds[0];
    assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
    (void)close(pipe_fds[1]);
}

static void capture_end(struct capture *capture)
{
    assert_true(dup2(capture->saved_fd, STDERR_FILENO) >= 0); /* closes the pipe's write end */
    (void)close(capture->saved_fd);
    ssize_t bytes = read(capture->read_fd, capture->text, sizeof(capture->text) - 1);
    assert_true(bytes >= 0);
    capture->text[bytes] = '\0';
    (void)close(capture->read_fd);
}

static void write_makes_one_line(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture);
    log_error("open() '%s' failed: errno=%d", "/srv/a", 2);
    log_warn("two");
    log_info("%s", "");
    capture_end(&capture);
    assert_string_equal(capture.text, "turntable: error open() '/srv/a' failed: errno=2\n"
                                      "turntable: warn two\n"
                                      "turntable: info \n");
}

static void write_replaces_control_bytes(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture);
    log_info("name='%s'", "a\nturntable: error forged\r\x1b[31m\x7f\xc3\xa4");
    capture_end(&capture);
    assert_string_equal(capture.text,
                        "turntable: info name='a?turntable: error forged??[31m?\xc3\xa4'\n");
}

static void write_passes_over_what_is_too_verbose(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture);
    log_debug("not by default");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("now");
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("no more");
    bool is_warn_enabled = log_is_enabled(LOG_LEVEL_WARN);
    bool is_error_enabled = log_is_enabled(LOG_LEVEL_ERROR);
    log_set_level(LOG_LEVEL_INFO);
    capture_end(&capture);
    assert_string_equal(capture.text, "turntable: debug now\n");
    assert_false(is_warn_enabled);
    assert_true(is_error_enabled);
}

static void write_cuts_long_lines(void **state)
{
    (void)state;
    const size_t prefix_bytes = strlen("turntable: info ");
    const size_t whole_max = LOG_LINE_MAX - prefix_bytes - 2; /* newline, and the NUL while made */
    static const size_t excess[] = {0, 1, 2, 3, 500};
    for (size_t i = 0; i < ARRAY_COUNT(excess); i++) {
        struct capture capture;
        char text[2 * LOG_LINE_MAX];
        size_t text_bytes = whole_max + excess[i];
        memset(text, 'x', text_bytes);
        text[text_bytes] = '\0';
        capture_start(&capture);
        log_info("%s", text);
        capture_end(&capture);
        assert_int_equal(strlen(capture.text), LOG_LINE_MAX - 1);
        assert_string_equal(capture.text + LOG_LINE_MAX - 5, excess[i] == 0 ? "xxx\n" : "...\n");
    }
}

static void limit_admits_one_line_an_interval(void **state)
{
    (void)state;
    static const struct {
        uint64_t now_ns;
        bool want;
        uint64_t want_held_back;
    } cases[] = {
        {1000, true, 0}, /* the first, whatever the time */
        {1000, false, 0}, {1099, false, 0}, {1100, true, 2},
        {1150, false, 0}, {5000, true, 1}, /* after a pause: no burst is saved up */
        {5001, false, 0}, {5100, true, 1},  {5200, true, 0},
    };
    struct log_limit limit = {0};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t held_back = 77;
        bool is_admitted = log_limit_admit(&limit, cases[i].now_ns, 100, &held_back);
        print_message("at %lu\n", (unsigned long)cases[i].now_ns);
        assert_int_equal(is_admitted, cases[i].want);
        assert_int_equal(held_back, cases[i].want ? cases[i].want_held_back : 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_makes_one_line),
        cmocka_unit_test(write_replaces_control_bytes),
        cmocka_unit_test(write_passes_over_what_is_too_verbose),
        cmocka_unit_test(write_cuts_long_lines),
        cmocka_unit_test(limit_admits_one_line_an_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
