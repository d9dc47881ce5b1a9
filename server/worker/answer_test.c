/*
 * From a request to its status: what is decided before a file is looked for, which key the loader
 * is asked for, and what conditions and ranges make of a file that is there.
 */
#include "server/worker/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define GET(path)         "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET_WITH(path, f) "GET " path " HTTP/1.1\r\nHost: x\r\n" f "\r\n\r\n"

static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig_start(rig);
    version_put(rig, version_memory(rig, "a", "0123456789"));
    return rig;
}

struct answer_case {
    const char *name;
    const char *request;
    const char *answer;   /* as rig_answers() has it */
    const char *contains; /* the answer's bytes; NULL: whatever */
};

/* Nobody has to be asked for these. */
static const struct answer_case own_cases[] = {
    {"get", GET("/a"), "200 0123456789, ", "ETag: \"1-2-3\"\r\n"},
    {"query is for nobody", GET("/a?b=c"), "200 0123456789, ", NULL},
    {"absolute form", "GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", "200 0123456789, ", NULL},
    {"slashes are one", GET("///a"), "200 0123456789, ", NULL},
    {"encoded letter", GET("/%61"), "200 0123456789, ", NULL},
    {"post", "POST /a HTTP/1.1\r\nHost: x\r\n\r\n", "405, ", "Allow: GET, HEAD"},
    {"options", "OPTIONS /a HTTP/1.1\r\nHost: x\r\n\r\n", "405, ", "Allow: GET, HEAD"},
    {"body is not read", "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
     "405 close, ", NULL},
    {"bad encoding", GET("/%zz"), "400, ", NULL},
    {"encoded slash", GET("/x%2fy"), "400, ", NULL},
    {"dot segment", GET("/../a"), "400, ", NULL},
    {"hidden", GET("/.git/config"), "404, ", NULL},
    {"hidden below", GET("/x/.y"), "404, ", NULL},
    {"no host", "GET /a HTTP/1.1\r\n\r\n", "400 close, ", NULL},
    {"http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 close, ", NULL},
    {"nonsense", "\x16\x03\x01\x02", "400 close, ", NULL}, /* TLS on a plain port */
    {"same etag", GET_WITH("/a", "If-None-Match: \"1-2-3\""), "304, ", "ETag: \"1-2-3\"\r\n"},
    {"other etag", GET_WITH("/a", "If-None-Match: \"9\""), "200 0123456789, ", NULL},
    {"if-match fails", GET_WITH("/a", "If-Match: \"9\""), "412, ", NULL},
    {"range", GET_WITH("/a", "Range: bytes=2-4"), "206 234, ", "Content-Range: bytes 2-4/10\r\n"},
    {"range past the end", GET_WITH("/a", "Range: bytes=10-"), "416, ", "bytes */10\r\n"},
    {"two ranges", GET_WITH("/a", "Range: bytes=1-2,4-5"), "200 0123456789, ", NULL},
};

static void request_is_answered_without_asking(void **state)
{
    struct rig *rig = start(state);
    for (size_t i = 0; i < ARRAY_COUNT(own_cases); i++) {
        const struct answer_case *test = &own_cases[i];
        const struct engine_token conn = rig_open(rig);
        rig_request(rig, conn, test->request);
        rig_finish(rig, conn);
        const char *answer = rig_answers(rig, conn);
        if (strcmp(answer, test->answer) != 0) {
            fail_msg("case '%s': answered %s", test->name, answer);
        }
        if (test->contains != NULL && strstr(rig_raw(rig, conn), test->contains) == NULL) {
            fail_msg("case '%s': not in\n%s", test->name, rig_raw(rig, conn));
        }
        rig_end(rig, conn, ENGINE_RECEIVE, 0);
    }
    assert_int_equal(RIG_COUNTER(rig, misses), 0);
    assert_int_equal(RIG_COUNTER(rig, requests), ARRAY_COUNT(own_cases));
    assert_int_equal(RIG_COUNTER(rig, responses_2xx) + RIG_COUNTER(rig, responses_3xx) +
                         RIG_COUNTER(rig, responses_4xx) + RIG_COUNTER(rig, responses_5xx),
                     ARRAY_COUNT(own_cases));
}

static void answer_to_head_has_no_body(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    static const char *const paths[] = {"/a", "/.hidden", "/%zz"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        const size_t before = strlen(rig_raw(rig, conn));
        char request[64];
        (void)snprintf(request, sizeof(request), "HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
        rig_request(rig, conn, request);
        rig_finish(rig, conn);
        const char *sent = rig_raw(rig, conn);
        assert_string_equal(strstr(sent + before, "\r\n\r\n"), "\r\n\r\n");
        assert_non_null(strstr(sent + before, "Content-Length: "));
    }
}

/* Which key leaves for which path. */
static void loader_is_asked_for_the_decoded_key(void **state)
{
    struct rig *rig = start(state);
    static const struct {
        const char *request;
        const char *said;
    } cases[] = {
        {GET("/"), "miss , "},
        {GET("/dir/"), "miss dir/, "},
        {GET("/dir//x%20y?z"), "miss dir/x y, "},
        {GET("/.well-known/z"), "miss .well-known/z, "},
        {GET("/A"), "miss A, "},
    };
    const struct engine_token conn = rig_open(rig);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        rig_request(rig, conn, cases[i].request);
        assert_string_equal(control_said(rig), cases[i].said);
        control_load(rig, 404, NULL);
        rig_turn(rig);
        rig_finish(rig, conn);
    }
}

static void longest_key_is_asked_for_and_a_longer_one_refused(void **state)
{
    struct rig *rig = start(state);
    for (size_t bytes = PATH_KEY_MAX; bytes <= PATH_KEY_MAX + 1; bytes++) {
        char request[PATH_KEY_MAX + 64];
        int at = snprintf(request, sizeof(request), "GET /");
        for (size_t i = 1; i <= bytes; i++) { /* no segment is longer than a file's name may be */
            request[at++] = i % 200 == 0 ? '/' : 'x';
        }
        (void)snprintf(request + at, sizeof(request) - (size_t)at, " HTTP/1.1\r\nHost: x\r\n\r\n");
        const struct engine_token conn = rig_open(rig);
        rig_request(rig, conn, request);
        if (bytes == PATH_KEY_MAX) {
            assert_int_equal(rig_state(rig, conn), CONN_PARKED);
            control_load(rig, 301, NULL);
            rig_turn(rig);
            rig_finish(rig, conn);
            assert_string_equal(rig_answers(rig, conn), "301, ");
        } else {
            rig_finish(rig, conn);
            assert_string_equal(rig_answers(rig, conn), "414, ");
        }
    }
}

static void redirect_keeps_the_query_and_encodes_the_path(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/d%20r?x=%20y"));
    control_load(rig, 301, NULL);
    rig_turn(rig);
    rig_finish(rig, conn);
    assert_non_null(strstr(rig_raw(rig, conn), "Location: /d%20r/?x=%20y\r\n"));
    assert_int_equal(RIG_COUNTER(rig, responses_3xx), 1);
}

static void date_follows_the_clock(void **state)
{
    struct rig *rig = start(state);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    rig_finish(rig, conn);
    assert_non_null(strstr(rig_raw(rig, conn), "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
    rig->wall_seconds++;
    rig_request(rig, conn, GET("/.hidden"));
    rig_finish(rig, conn);
    assert_non_null(strstr(rig_raw(rig, conn), "Date: Tue, 14 Nov 2023 22:13:21 GMT\r\n"));
}

/* Status, head and body are of one version, whatever replaces it meanwhile (law L1). */
static void answer_is_of_one_version(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *old = version_file(rig, "f", 100000);
    struct hand_version *new = version_file(rig, "f", 50);
    version_put(rig, old);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/f") GET("/f"));
    control_change(rig, old, new);
    rig_turn(rig);
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn),
                        "200 0123456789abcdef..100000, 200 0123456789abcdef..50, ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(request_is_answered_without_asking),
        TEST(answer_to_head_has_no_body),
        TEST(loader_is_asked_for_the_decoded_key),
        TEST(longest_key_is_asked_for_and_a_longer_one_refused),
        TEST(redirect_keeps_the_query_and_encodes_the_path),
        TEST(date_follows_the_clock),
        TEST(answer_is_of_one_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
