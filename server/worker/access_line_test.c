/*
 * The access log's lines: what they say, that nothing a client sends can break one, and that a full
 * log is counted, never waited for.
 */
#include "server/worker/access_line.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* The rig's wall clock. */
#define TIME "14/Nov/2023:22:13:20 +0000"

/* What any line must look like, whatever was sent. */
#define LINE_PATTERN                                                                               \
    "^[0-9a-fA-F.:unix]+ - - \\[[^]]+\\] \"[^\"]*\" [1-5][0-9][0-9] [0-9]+ \"[^\"]*\" "            \
    "\"[^\"]*\"\n$"

static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig->settings.access_log = "-"; /* where to is control's business */
    rig_start(rig);
    version_put(rig, version_memory(rig, "a", "alpha"));
    version_put(rig, version_file(rig, "file", 100000));
    return rig;
}

/* All lines since the last call. */
static const char *take_log(struct rig *rig)
{
    static char lines[65536];
    const size_t bytes = worker_take_log(rig->worker, lines, sizeof(lines) - 1);
    lines[bytes] = '\0';
    return lines;
}

static void assert_logs(struct rig *rig, const char *expected)
{
    assert_string_equal(take_log(rig), expected);
}

static void line_of_a_small_answer_says_it_all(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(
        rig, conn,
        "GET /a?x=y HTTP/1.1\r\nHost: x\r\nReferer: http://r/\r\nUser-Agent: agent/1 (x)\r\n"
        "\r\n" GET("/a"));
    rig_finish(rig, conn);
    assert_logs(rig, "unix: - - [" TIME "] \"GET /a?x=y HTTP/1.1\" 200 5 \"http://r/\" "
                     "\"agent/1 (x)\"\n"
                     "unix: - - [" TIME "] \"GET /a HTTP/1.1\" 200 5 \"-\" \"-\"\n");
}

static void line_of_a_tcp_peer_has_its_address(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open_tcp(rig);
    rig_request(rig, conn, GET("/a"));
    rig_finish(rig, conn);
    rig_close_peer(rig, conn);
    rig_request(rig, conn, GET("/a")); /* asked once: it is still known */
    rig_finish(rig, conn);
    assert_logs(rig, "127.0.0.1 - - [" TIME "] \"GET /a HTTP/1.1\" 200 5 \"-\" \"-\"\n"
                     "127.0.0.1 - - [" TIME "] \"GET /a HTTP/1.1\" 200 5 \"-\" \"-\"\n");
}

static void line_follows_the_clock(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig->wall_seconds += 86400;
    rig_request(rig, conn, GET("/a"));
    assert_non_null(strstr(take_log(rig), "[15/Nov/2023:22:13:20 +0000]"));
}

static void line_of_a_body_is_written_when_it_was_sent(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file") GET("/a"));
    assert_logs(rig, "");
    rig_read(rig, conn, UINT32_MAX);
    fake_send_all(rig->engine, conn);
    rig_turn(rig);
    assert_logs(rig, "");
    rig_finish(rig, conn);
    assert_logs(rig, "unix: - - [" TIME "] \"GET /file HTTP/1.1\" 200 100000 \"-\" \"-\"\n"
                     "unix: - - [" TIME "] \"GET /a HTTP/1.1\" 200 5 \"-\" \"-\"\n");
}

static void line_of_a_broken_answer_has_the_bytes_that_were_sent(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/file"));
    rig_read(rig, conn, 1000);
    fake_send_all(rig->engine, conn);
    rig_turn(rig);
    rig_end(rig, conn, ENGINE_READ, -EIO);
    rig_run(rig);
    assert_logs(rig, "unix: - - [" TIME "] \"GET /file HTTP/1.1\" 200 1000 \"-\" \"-\"\n");
}

static void line_of_a_gathered_body_has_its_bytes(void **state)
{
    struct rig *rig = start(state);
    char body[5001];
    memset(body, 'x', sizeof(body) - 1);
    body[5000] = '\0';
    version_put(rig, version_memory(rig, "b", body));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/b"));
    rig_finish(rig, conn);
    assert_logs(rig, "unix: - - [" TIME "] \"GET /b HTTP/1.1\" 200 5000 \"-\" \"-\"\n");
}

static void line_of_a_body_by_sendfile_has_its_bytes(void **state)
{
    struct rig *rig = *state;
    rig->settings.sendfile_bytes = 1;
    (void)start(state);
    const struct hand_version *file = rig->control.versions;
    assert_int_equal(fdatasync(file->version.fd), 0);
    assert_int_equal(posix_fadvise(file->version.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    for (int i = 0; i < 2; i++) { /* first by reads, where the file system lets a file be cold */
        const struct engine_token conn = rig_open(rig);
        rig_request(rig, conn, GET("/file"));
        rig_finish(rig, conn);
        assert_int_equal(rig_state(rig, conn), CONN_IDLE);
        assert_logs(rig, "unix: - - [" TIME "] \"GET /file HTTP/1.1\" 200 100000 \"-\" \"-\"\n");
    }
    assert_int_equal(RIG_COUNTER(rig, bodies_sendfile), 2);
}

/* The number of bytes does not count the head: that of an empty body is 0. */
static void line_of_an_answer_without_a_body_has_no_bytes(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn,
                "HEAD /file HTTP/1.1\r\nHost: x\r\n\r\n"
                "GET /a HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"1-2-3\"\r\n\r\n"
                "HEAD /.hidden HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_finish(rig, conn);
    assert_logs(rig, "unix: - - [" TIME "] \"HEAD /file HTTP/1.1\" 200 0 \"-\" \"-\"\n"
                     "unix: - - [" TIME "] \"GET /a HTTP/1.1\" 304 0 \"-\" \"-\"\n"
                     "unix: - - [" TIME "] \"HEAD /.hidden HTTP/1.1\" 404 0 \"-\" \"-\"\n");
}

/* Pages of our own: their bodies are as long as their heads say. */
static void line_of_a_page_has_the_bytes_of_its_body(void **state)
{
    struct rig *rig = start(state);
    static const struct {
        const char *request;
        const char *line;
        uint32_t status;
    } cases[] = {
        {GET("/.hidden"), "GET /.hidden HTTP/1.1", 404},
        {"POST /a HTTP/1.1\r\nHost: x\r\n\r\n", "POST /a HTTP/1.1", 405},
        {"GET /a HTTP/1.1\r\nHost: x\r\nIf-Match: \"z\"\r\n\r\n", "GET /a HTTP/1.1", 412},
        {"GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=9-\r\n\r\n", "GET /a HTTP/1.1", 416},
        {"GET /\r\n\r\n", "", 400},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct engine_token conn = rig_open(rig);
        rig_request(rig, conn, cases[i].request);
        rig_finish(rig, conn);
        const char *length = strstr(rig_raw(rig, conn), "Content-Length: ");
        assert_non_null(length);
        char expected[256];
        (void)snprintf(expected, sizeof(expected), "unix: - - [%s] \"%s\" %u %lu \"-\" \"-\"\n",
                       TIME, cases[i].line, cases[i].status,
                       strtoul(length + strlen("Content-Length: "), NULL, 10));
        assert_logs(rig, expected);
        rig_end(rig, conn, ENGINE_RECEIVE, 0);
    }
}

static void line_of_a_timeout_has_no_request(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, "GET /a");
    rig_pass_ms(rig, rig->settings.header_timeout_ms + 1000);
    rig_finish(rig, conn);
    assert_non_null(strstr(take_log(rig), "] \"\" 408 "));
}

static void bytes_that_would_break_a_line_are_escaped(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn,
                "GET /a?\"\\\xc3\xa9 HTTP/1.1\r\nHost: x\r\nReferer: a\tb\"\\\r\n"
                "User-Agent: \x80\xff end\r\n\r\n");
    rig_finish(rig, conn);
    const char *log = take_log(rig);
    assert_non_null(strstr(log, "\"a\\x09b\\x22\\x5C\" \"\\x80\\xFF end\"\n"));
    assert_non_null(strstr(log, "\\xC3\\xA9 HTTP/1.1\""));
}

/* Long fields of bytes that all have to be escaped are cut; the line stays a line. */
static void line_keeps_its_form_whatever_is_sent(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    regex_t pattern;
    assert_int_equal(regcomp(&pattern, LINE_PATTERN, REG_EXTENDED | REG_NOSUB), 0);
    static const size_t sizes[] = {1, 100, 500, 511, 512, 513, 1000, 1023, 1024, 1025, 3000};
    static const char bytes[] = {'x', '\x80'};
    char request[16384];
    char field[3001];
    for (size_t i = 0; i < ARRAY_COUNT(sizes) * ARRAY_COUNT(bytes) * 3; i++) {
        const size_t size = sizes[i % ARRAY_COUNT(sizes)];
        memset(field, bytes[i / ARRAY_COUNT(sizes) % ARRAY_COUNT(bytes)], size);
        field[size] = '\0';
        const size_t where = i / ARRAY_COUNT(sizes) / ARRAY_COUNT(bytes);
        (void)snprintf(request, sizeof(request),
                       "GET /a?%s HTTP/1.1\r\nHost: x\r\nReferer: %s\r\nUser-Agent: %s\r\n\r\n",
                       where == 0 ? field : "q", where == 1 ? field : "r",
                       where == 2 ? field : "u");
        rig_request(rig, conn, request);
        rig_finish(rig, conn);
        const char *line = take_log(rig);
        if (regexec(&pattern, line, 0, NULL, 0) != 0) {
            fail_msg("field %zu of %zu bytes: %s", where, size, line);
        }
        assert_non_null(strstr(line, "\" 200 5 \""));
        assert_true(strlen(line) <= ACCESS_LINE_MAX);
    }
    regfree(&pattern);
}

static void full_log_is_counted(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    static uint8_t filler[65536];
    filler[sizeof(filler) - 1] = '\n';
    while (log_ring_write(&rig->worker->log_ring, span_of(filler, sizeof(filler)))) {
    }
    rig_request(rig, conn, GET("/a") GET("/file"));
    rig_finish(rig, conn);
    assert_int_equal(RIG_COUNTER(rig, access_log_dropped), 2);
    assert_string_equal(rig_answers(rig, conn), "200 alpha, 200 0123456789abcdef..100000, ");
    (void)take_log(rig);
    rig_request(rig, conn, GET("/a"));
    assert_int_equal(RIG_COUNTER(rig, access_log_dropped), 2);
}

static void log_that_is_off_costs_nothing(void **state)
{
    struct rig *rig = *state;
    rig_start(rig);
    version_put(rig, version_memory(rig, "a", "alpha"));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    rig_finish(rig, conn);
    assert_logs(rig, "");
    assert_int_equal(rig_conn(rig, conn)->peer_text_bytes, 0); /* not even asked */
    assert_int_equal(RIG_COUNTER(rig, access_log_dropped), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(line_of_a_small_answer_says_it_all),
        TEST(line_of_a_tcp_peer_has_its_address),
        TEST(line_follows_the_clock),
        TEST(line_of_a_body_is_written_when_it_was_sent),
        TEST(line_of_a_broken_answer_has_the_bytes_that_were_sent),
        TEST(line_of_a_gathered_body_has_its_bytes),
        TEST(line_of_a_body_by_sendfile_has_its_bytes),
        TEST(line_of_an_answer_without_a_body_has_no_bytes),
        TEST(line_of_a_page_has_the_bytes_of_its_body),
        TEST(line_of_a_timeout_has_no_request),
        TEST(bytes_that_would_break_a_line_are_escaped),
        TEST(line_keeps_its_form_whatever_is_sent),
        TEST(full_log_is_counted),
        TEST(log_that_is_off_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
