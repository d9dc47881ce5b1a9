#include "server/http/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/check.h"

struct decode_case {
    const char *path;
    uint32_t want_status;
    const char *want_key;
};

static const struct decode_case decode_cases[] = {
    {"/", 0, ""},
    {"", 0, ""},
    {"/a.html", 0, "a.html"},
    {"/dir/", 0, "dir/"},
    {"/dir/a.html", 0, "dir/a.html"},
    {"/a?b=/../%zz#", 0, "a"},
    {"?b", 0, ""},
    {"//", 0, ""},
    {"//a///b//", 0, "a/b/"},
    {"//evil.example/%61", 0, "evil.example/a"},
    {"/%61%62c", 0, "abc"},
    {"/a%20b", 0, "a b"},
    {"/caf%C3%A9", 0, "caf\xc3\xa9"},
    {"/caf\xc3\xa9", 0, "caf\xc3\xa9"},
    {"/%FF%80", 0, "\xff\x80"},
    {"/%3Fa%23b", 0, "?a#b"},
    {"/a;v=1,2", 0, "a;v=1,2"},
    {"/a+b", 0, "a+b"},
    {"/a:b@c", 0, "a:b@c"},
    {"/~user", 0, "~user"},
    {"/%252e%252e/a", 0, "%2e%2e/a"}, /* decoded once, and only once */
    {"/%25%32%65", 0, "%2e"},
    {"/...", 0, "..."},
    {"/a..b/..c", 0, "a..b/..c"},
    {"/a./b", 0, "a./b"},
    /* Percent-encodings that are none. */
    {"/%", 400, NULL},
    {"/%2", 400, NULL},
    {"/a%", 400, NULL},
    {"/%zz", 400, NULL},
    {"/%2x", 400, NULL},
    {"/%x2", 400, NULL},
    {"/%%61", 400, NULL},
    {"/%u002e", 400, NULL},
    {"/%2?5", 400, NULL},
    /* Bytes that no key has. */
    {"/%00", 400, NULL},
    {"/a%00.html", 400, NULL},
    {"/a%0a", 400, NULL},
    {"/a%0D%0Ab", 400, NULL},
    {"/%1f", 400, NULL},
    {"/%7f", 400, NULL},
    {"/a\x01", 400, NULL},
    {"/a\x7f", 400, NULL},
    {"/a b", 400, NULL},
    {"/a#b", 400, NULL},
    /* A second way to write a slash. */
    {"/a%2fb", 400, NULL},
    {"/a%2Fb", 400, NULL},
    {"/%2F", 400, NULL},
    {"/a\\b", 400, NULL},
    {"/a%5cb", 400, NULL},
    {"/..%5C..%5Ca", 400, NULL},
    {"/..\\a", 400, NULL},
    /* Dot segments. */
    {"/.", 400, NULL},
    {"/..", 400, NULL},
    {"/./", 400, NULL},
    {"/../", 400, NULL},
    {"/a/..", 400, NULL},
    {"/a/../b", 400, NULL},
    {"/a/./b", 400, NULL},
    {"/../etc/passwd", 400, NULL},
    {"/%2e", 400, NULL},
    {"/%2e%2e/a", 400, NULL},
    {"/.%2E/a", 400, NULL},
    {"/%2E./a", 400, NULL},
    {"/a//../b", 400, NULL},
    {"//..", 400, NULL},
    {"/.hidden/../a", 400, NULL},
    /* No path at all. */
    {"*", 400, NULL},
    {"a", 400, NULL},
    {"%2fa", 400, NULL},
    {"\\a", 400, NULL},
    {".", 400, NULL},
};

static void target_decode_gives_one_key_or_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(decode_cases); i++) {
        const struct decode_case *row = &decode_cases[i];
        char buffer[HTTP_PATH_MAX + 1];
        struct http_target target = {.key = SPAN("untouched")};
        uint32_t status =
            http_target_decode(span_of_string(row->path), buffer, sizeof(buffer), &target);
        const char *want = row->want_status == 0 ? row->want_key : "untouched";
        if (status != row->want_status || !span_equal(target.key, span_of_string(want))) {
            fail_msg("'%s': got %u '%.*s', want %u '%s'", row->path, status, (int)target.key.bytes,
                     target.key.ptr, row->want_status, want);
        }
        if (status == 0) {
            assert_ptr_equal(target.key.ptr, buffer);
            assert_int_equal(buffer[target.key.bytes], '\0');
            bool is_directory = *want == '\0' || want[strlen(want) - 1] == '/';
            assert_int_equal(target.is_directory, is_directory);
        }
    }
}

static struct http_target decode(const char *path)
{
    static char buffer[HTTP_PATH_MAX + 1];
    struct http_target target;
    assert_int_equal(http_target_decode(span_of_string(path), buffer, sizeof(buffer), &target), 0);
    return target;
}

static void target_decode_keeps_the_query(void **state)
{
    (void)state;
    assert_true(span_equal(decode("/a?x=%zz?y").query, SPAN("x=%zz?y")));
    assert_true(decode("/a?").query.ptr != NULL);
    assert_int_equal(decode("/a?").query.bytes, 0);
    assert_null(decode("/a").query.ptr);
    assert_null(decode("").query.ptr);
}

static void target_decode_flags_hidden_segments(void **state)
{
    (void)state;
    static const char *const hidden[] = {
        "/.git/config", "/.htaccess",       "/a/.env",           "/%2egit/",      "/...",
        "/..a",         "/a/.well-known/b", "/.well-known/.git", "/.well-knownx", "/.Well-Known/a",
    };
    for (size_t i = 0; i < ARRAY_COUNT(hidden); i++) {
        if (!decode(hidden[i]).is_hidden) {
            fail_msg("'%s' is not hidden", hidden[i]);
        }
    }
    static const char *const shown[] = {
        "/.well-known/acme-challenge/x",
        "//.well-known/security.txt",
        "/%2ewell-known/a",
        "/.well-known",
        "/a.b/c.d",
        "/",
    };
    for (size_t i = 0; i < ARRAY_COUNT(shown); i++) {
        if (decode(shown[i]).is_hidden) {
            fail_msg("'%s' is hidden", shown[i]);
        }
    }
}

/* "/" and `count` times `unit`. */
static uint32_t decode_repeated(const char *unit, size_t count, size_t *ret_key_bytes)
{
    size_t unit_bytes = strlen(unit);
    char *path = malloc(1 + count * unit_bytes);
    assert_non_null(path);
    path[0] = '/';
    for (size_t i = 0; i < count; i++) {
        memcpy(path + 1 + i * unit_bytes, unit, unit_bytes);
    }
    char *buffer = malloc(HTTP_PATH_MAX + 1); /* exact, for the address sanitizer */
    assert_non_null(buffer);
    struct http_target target = {.query = {NULL, 0}};
    uint32_t status = http_target_decode(span_of(path, 1 + count * unit_bytes), buffer,
                                         HTTP_PATH_MAX + 1, &target);
    *ret_key_bytes = target.key.bytes;
    free(buffer);
    free(path);
    return status;
}

static void target_decode_bounds_segments_and_paths(void **state)
{
    (void)state;
    size_t key_bytes;
    assert_int_equal(decode_repeated("a", HTTP_SEGMENT_MAX, &key_bytes), 0);
    assert_int_equal(key_bytes, HTTP_SEGMENT_MAX);
    assert_int_equal(decode_repeated("a", HTTP_SEGMENT_MAX + 1, &key_bytes), 404);
    assert_int_equal(decode_repeated("%61", HTTP_SEGMENT_MAX, &key_bytes), 0);
    assert_int_equal(decode_repeated("%61", HTTP_SEGMENT_MAX + 1, &key_bytes), 404);
    assert_int_equal(decode_repeated("a", HTTP_PATH_MAX + 1, &key_bytes), 414);
    assert_int_equal(decode_repeated("%61", HTTP_PATH_MAX + 1, &key_bytes), 414);
    assert_int_equal(decode_repeated("abcd/", HTTP_PATH_MAX / 5, &key_bytes), 0);
    assert_int_equal(key_bytes, HTTP_PATH_MAX);
    assert_int_equal(decode_repeated("abcd/", HTTP_PATH_MAX / 5 + 1, &key_bytes), 414);
    assert_int_equal(decode_repeated("abcde/", HTTP_PATH_MAX / 6 + 1, &key_bytes), 414);
    /* Its last slash is the byte too many. */
    assert_int_equal(decode_repeated("abcdefg/", (HTTP_PATH_MAX + 1) / 8, &key_bytes), 414);
    assert_int_equal(decode_repeated("/", 8000, &key_bytes), 0);
    assert_int_equal(key_bytes, 0);
}

static void target_encode_path_escapes_what_a_path_cannot_hold(void **state)
{
    (void)state;
    char buffer[64];
    const struct span key = SPAN("a b/c%d?e#f\xc3\xa9\"<~!$&'()*+,;=:@-._/");
    const struct span want = SPAN("/a%20b/c%25d%3Fe%23f%C3%A9%22%3C~!$&'()*+,;=:@-._/");
    assert_int_equal(http_target_encode_path(key, buffer, sizeof(buffer)), want.bytes);
    assert_memory_equal(buffer, want.ptr, want.bytes);
    assert_int_equal(http_target_encode_path(SPAN(""), buffer, sizeof(buffer)), 1);
}

static void target_encode_path_refuses_to_be_cut(void **state)
{
    (void)state;
    char buffer[8];
    assert_int_equal(http_target_encode_path(SPAN("ab c"), buffer, 7), 7);
    for (size_t bytes = 0; bytes < 7; bytes++) {
        assert_int_equal(http_target_encode_path(SPAN("ab c"), buffer, bytes), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_decode_gives_one_key_or_refuses),
        cmocka_unit_test(target_decode_keeps_the_query),
        cmocka_unit_test(target_decode_flags_hidden_segments),
        cmocka_unit_test(target_decode_bounds_segments_and_paths),
        cmocka_unit_test(target_encode_path_escapes_what_a_path_cannot_hold),
        cmocka_unit_test(target_encode_path_refuses_to_be_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
