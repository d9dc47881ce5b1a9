/*
 * Bodies from memory and by reads: which operations are started, what they send, and what becomes
 * of an answer whose file fails or changes. sendfile(2) has its own tests in sendfile_test.c.
 */
#include "server/worker/sender.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/worker/answer.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define GET(path)          "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET_RANGE(path, r) "GET " path " HTTP/1.1\r\nHost: x\r\nRange: bytes=" r "\r\n\r\n"

static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig_start(rig);
    return rig;
}

static void assert_answers(struct rig *rig, struct engine_token conn, const char *expected)
{
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn), expected);
}

/* The body of the last answer is the file's bytes from `offset` on. */
static void assert_body(struct rig *rig, struct engine_token conn, size_t offset, size_t bytes)
{
    const struct span sent = fake_sent(rig->engine, conn);
    assert_true(sent.bytes > bytes);
    const uint8_t *body = sent.ptr + sent.bytes - bytes;
    assert_memory_equal(body - 4, "\r\n\r\n", 4);
    for (size_t i = 0; i < bytes; i++) {
        if (body[i] != "0123456789abcdef"[(offset + i) % 16]) {
            fail_msg("byte %zu of %zu is wrong", i, bytes);
        }
    }
}

static struct hand_version *version_of_size(struct rig *rig, const char *key, size_t bytes)
{
    char *body = malloc(bytes + 1);
    assert_non_null(body);
    for (size_t i = 0; i < bytes; i++) {
        body[i] = "0123456789abcdef"[i % 16];
    }
    body[bytes] = '\0';
    struct hand_version *version = version_memory(rig, key, body);
    free(body);
    return version;
}

/* ---- memory ---- */

static void small_body_of_memory_is_copied_and_a_larger_one_gathered(void **state)
{
    struct rig *rig = start(state);
    static const struct {
        const char *key;
        const char *request;
        size_t bytes;
        enum fake_verb verb;
    } cases[] = {
        {"1", GET("/1"), 1, FAKE_START_SEND},
        {"2", GET("/2"), BODY_COPY_MAX, FAKE_START_SEND},
        {"3", GET("/3"), BODY_COPY_MAX + 1, FAKE_START_SEND_MESSAGE},
        {"4", GET("/4"), 1000000, FAKE_START_SEND_MESSAGE},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        version_put(rig, version_of_size(rig, cases[i].key, cases[i].bytes));
        const struct engine_token conn = rig_open(rig);
        rig_request(rig, conn, cases[i].request);
        const struct fake_operation *send_of = fake_find(rig->engine, ENGINE_SEND, conn);
        assert_int_equal(send_of->verb, cases[i].verb);
        assert_false(send_of->has_more);
        fake_send_all(rig->engine, conn);
        rig_turn(rig);
        assert_int_equal(rig_state(rig, conn), CONN_IDLE);
        assert_body(rig, conn, 0, cases[i].bytes);
        rig_end(rig, conn, ENGINE_RECEIVE, 0);
    }
    assert_int_equal(RIG_COUNTER(rig, bodies_memory), ARRAY_COUNT(cases));
}

static void range_of_memory_is_sent(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_of_size(rig, "a", 50000));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET_RANGE("/a", "3-10"));
    assert_answers(rig, conn, "206 3456789a, ");
    rig_request(rig, conn, GET_RANGE("/a", "5-40004"));
    assert_answers(rig, conn, "206 3456789a, 206 56789abcdef01234..40000, ");
    assert_body(rig, conn, 5, 40000);
}

static void gathered_body_keeps_its_version_until_it_is_sent(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_of_size(rig, "a", 50000);
    version_put(rig, a);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    control_change(rig, a, NULL);
    rig_run(rig);
    assert_string_equal(control_said(rig), "applied 1, ");
    assert_answers(rig, conn, "200 0123456789abcdef..50000, ");
    assert_string_equal(control_said(rig), "released a#1, ");
}

static void gathered_send_that_stays_short_closes(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_of_size(rig, "a", 50000));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    rig_end(rig, conn, ENGINE_SEND, 49999);
    assert_int_equal(rig_state(rig, conn), CONN_CLOSING);
    assert_int_equal(RIG_COUNTER(rig, aborted_peer), 1);
    assert_int_equal(RIG_COUNTER(rig, bytes_sent), 49999);
}

/* ---- files by reads ---- */

static void file_is_read_behind_its_head_and_sent_in_one(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 60000));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    const struct fake_operation *read_of = fake_find(rig->engine, ENGINE_READ, conn);
    assert_true(read_of->file.is_slot);
    assert_int_equal(read_of->file.number, version_slot(rig, "a"));
    assert_int_equal(read_of->bytes, 60000);
    assert_int_equal(read_of->offset, 0);
    rig_read(rig, conn, UINT32_MAX);
    assert_false(fake_find(rig->engine, ENGINE_SEND, conn)->has_more);
    fake_send_all(rig->engine, conn);
    rig_turn(rig);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    assert_body(rig, conn, 0, 60000);
    assert_int_equal(RIG_COUNTER(rig, bodies_slot), 1);
}

static void large_file_goes_in_pieces_of_one_buffer(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 300000));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    uint64_t offset = 0;
    uint32_t pieces = 0;
    while (rig_state(rig, conn) == CONN_SENDING) {
        const struct fake_operation *read_of = fake_find(rig->engine, ENGINE_READ, conn);
        assert_int_equal(read_of->offset, offset);
        assert_true(read_of->bytes <= CONN_OUTPUT_BYTES);
        offset += read_of->bytes;
        rig_read(rig, conn, UINT32_MAX);
        assert_int_equal(fake_find(rig->engine, ENGINE_SEND, conn)->has_more, offset < 300000);
        fake_send_all(rig->engine, conn);
        rig_turn(rig);
        pieces++;
    }
    assert_int_equal(pieces, 5);
    assert_body(rig, conn, 0, 300000);
}

static void range_of_a_file_is_read(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 300000));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET_RANGE("/a", "100007-200000"));
    assert_int_equal(fake_find(rig->engine, ENGINE_READ, conn)->offset, 100007);
    rig_finish(rig, conn);
    assert_body(rig, conn, 100007, 99994);
}

static void short_reads_go_on_where_they_stopped(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 1000));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    static const uint32_t sizes[] = {1, 499, 300, 200};
    uint64_t offset = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        assert_int_equal(fake_find(rig->engine, ENGINE_READ, conn)->offset, offset);
        rig_read(rig, conn, sizes[i]);
        offset += sizes[i];
        assert_int_equal(fake_find(rig->engine, ENGINE_SEND, conn)->has_more, offset < 1000);
        fake_send_all(rig->engine, conn);
        rig_turn(rig);
    }
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    assert_body(rig, conn, 0, 1000);
}

static void read_that_has_to_be_repeated_is(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 1000));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    static const int32_t passing[] = {-EAGAIN, -EINTR};
    for (size_t i = 0; i < ARRAY_COUNT(passing); i++) {
        rig_end(rig, conn, ENGINE_READ, passing[i]);
        assert_int_equal(fake_find(rig->engine, ENGINE_READ, conn)->bytes, 1000);
    }
    rig_finish(rig, conn);
    assert_body(rig, conn, 0, 1000);
}

static void read_that_fails_breaks_the_answer_off(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 100000));
    static const int32_t errors[] = {-EIO, -EBADF, -ENOMEM};
    for (uint32_t i = 0; i < ARRAY_COUNT(errors); i++) {
        const struct engine_token conn = rig_open(rig);
        rig_request(rig, conn, GET("/a"));
        rig_read(rig, conn, UINT32_MAX);
        fake_send_all(rig->engine, conn);
        rig_turn(rig);
        rig_end(rig, conn, ENGINE_READ, errors[i]);
        rig_run(rig);
        assert_int_equal(rig_state(rig, conn), CONN_FREE);
        assert_string_equal(rig_answers(rig, conn), "200 0123456789abcdef..100000 cut, ");
        assert_int_equal(RIG_COUNTER(rig, aborted_read), i + 1);
    }
}

static void file_that_ends_early_breaks_the_answer_off(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 100000);
    version_put(rig, a);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    rig_read(rig, conn, UINT32_MAX);
    assert_int_equal(truncate(a->path, 50000), 0);
    fake_send_all(rig->engine, conn);
    rig_turn(rig);
    rig_read(rig, conn, UINT32_MAX); /* nothing is there any more */
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_FREE);
    assert_int_equal(RIG_COUNTER(rig, aborted_changed), 1);
}

static void files_are_read_by_their_descriptors_when_asked_for(void **state)
{
    struct rig *rig = *state;
    rig->settings.files = FILES_PLAIN;
    rig_start(rig);
    struct hand_version *a = version_file(rig, "a", 100000);
    version_put(rig, a);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    const struct fake_operation *read_of = fake_find(rig->engine, ENGINE_READ, conn);
    assert_false(read_of->file.is_slot);
    assert_int_equal(read_of->file.number, a->version.fd);
    rig_finish(rig, conn);
    assert_body(rig, conn, 0, 100000);
    assert_int_equal(RIG_COUNTER(rig, bodies_plain), 1);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_UPDATE_SLOT), 0);
}

/* ---- law L7: files that change in place while they are sent ---- */

static void append_byte(const char *path)
{
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_int_equal(fputc('x', file), 'x');
    assert_int_equal(fclose(file), 0);
}

/* Up to the read of the last piece, which is done but not taken. */
static struct engine_token send_all_but_the_last_piece(struct rig *rig)
{
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    rig_read(rig, conn, UINT32_MAX);
    fake_send_all(rig->engine, conn);
    rig_turn(rig);
    assert_true(rig_is_in_flight(rig, conn, ENGINE_READ));
    return conn;
}

static void change_in_place_breaks_the_answer_off_before_its_last_bytes(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 100000);
    version_put(rig, a);
    const struct engine_token conn = send_all_but_the_last_piece(rig);
    append_byte(a->path);
    freshness_begin(&rig->gate); /* a round that came and went while the body was sent */
    freshness_finish(&rig->gate);
    rig_read(rig, conn, UINT32_MAX);
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_FREE);
    assert_string_equal(rig_answers(rig, conn), "200 0123456789abcdef..100000 cut, ");
    assert_int_equal(RIG_COUNTER(rig, aborted_changed), 1);
}

static void change_in_place_is_seen_while_its_signal_is_under_way(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 100000);
    version_put(rig, a);
    const struct engine_token conn = send_all_but_the_last_piece(rig);
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, a->path, times, 0), 0); /* same size, other time */
    freshness_begin(&rig->gate);
    rig_read(rig, conn, UINT32_MAX);
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_FREE);
    assert_int_equal(RIG_COUNTER(rig, aborted_changed), 1);
    freshness_finish(&rig->gate);
}

/* A size that moved tells as well, even if the time was put back. */
static void change_of_size_alone_is_seen(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 100000);
    version_put(rig, a);
    const struct engine_token conn = send_all_but_the_last_piece(rig);
    struct stat before;
    assert_int_equal(stat(a->path, &before), 0);
    append_byte(a->path);
    const struct timespec times[2] = {before.st_mtim, before.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, a->path, times, 0), 0);
    freshness_begin(&rig->gate);
    rig_read(rig, conn, UINT32_MAX);
    rig_run(rig);
    assert_int_equal(rig_state(rig, conn), CONN_FREE);
    assert_int_equal(RIG_COUNTER(rig, aborted_changed), 1);
    freshness_finish(&rig->gate);
}

/* Replacing and removing a file move its ctime, but its bytes are still the right ones. */
static void replaced_file_is_sent_to_its_end(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 100000);
    version_put(rig, a);
    const struct engine_token conn = send_all_but_the_last_piece(rig);
    assert_int_equal(unlink(a->path), 0);
    freshness_begin(&rig->gate);
    control_change(rig, a, NULL);
    rig_turn(rig);
    freshness_finish(&rig->gate);
    rig_finish(rig, conn);
    assert_body(rig, conn, 0, 100000);
    assert_int_equal(rig_state(rig, conn), CONN_IDLE);
}

/* Nothing was signalled: the file is not looked at. Its version says what was promised. */
static void file_is_not_looked_at_when_nothing_was_signalled(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 1000);
    version_put(rig, a);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    append_byte(a->path);
    rig_finish(rig, conn);
    assert_body(rig, conn, 0, 1000);
}

/* ---- answers without a body ---- */

static void answers_without_a_body_are_sent_at_once(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 1000));
    version_put(rig, version_memory(rig, "empty", ""));
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn,
                "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n"
                "GET /a HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"1-2-3\"\r\n\r\n" GET("/empty"));
    rig_finish(rig, conn);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_START_READ), 0);
    assert_int_equal(fake_verb_count(rig->engine, FAKE_START_SEND), 1);
    const char *sent = rig_raw(rig, conn);
    assert_int_equal(strncmp(sent, "HTTP/1.1 200 OK\r\n", 17), 0);
    assert_non_null(strstr(sent, "Content-Length: 1000\r\n"));
    assert_non_null(strstr(sent, "\r\n\r\nHTTP/1.1 304 Not Modified\r\n"));
    assert_non_null(strstr(sent, "Content-Length: 0\r\n"));
    assert_int_equal(RIG_COUNTER(rig, requests), 3);
    assert_int_equal(RIG_COUNTER(rig, responses_3xx), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_body_of_memory_is_copied_and_a_larger_one_gathered),
        TEST(range_of_memory_is_sent),
        TEST(gathered_body_keeps_its_version_until_it_is_sent),
        TEST(gathered_send_that_stays_short_closes),
        TEST(file_is_read_behind_its_head_and_sent_in_one),
        TEST(large_file_goes_in_pieces_of_one_buffer),
        TEST(range_of_a_file_is_read),
        TEST(short_reads_go_on_where_they_stopped),
        TEST(read_that_has_to_be_repeated_is),
        TEST(read_that_fails_breaks_the_answer_off),
        TEST(file_that_ends_early_breaks_the_answer_off),
        TEST(files_are_read_by_their_descriptors_when_asked_for),
        TEST(change_in_place_breaks_the_answer_off_before_its_last_bytes),
        TEST(change_in_place_is_seen_while_its_signal_is_under_way),
        TEST(change_of_size_alone_is_seen),
        TEST(replaced_file_is_sent_to_its_end),
        TEST(file_is_not_looked_at_when_nothing_was_signalled),
        TEST(answers_without_a_body_are_sent_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
