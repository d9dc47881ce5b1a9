#include "loadgen/target.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "loadgen/version_file.h"
#include "server/base/check.h"

static void assert_span(struct span got, const char *want)
{
    if (!span_equal(got, span_of_string(want))) {
        fail_msg("'%.*s', wanted '%s'", (int)got.bytes, (const char *)got.ptr, want);
    }
}

static void targets_are_whole_requests(void **state)
{
    (void)state;
    const char *const urls[] = {"http://127.0.0.1:8080/a/b?c", "http://[::1]"};
    const struct target_source source = {.urls = urls, .url_count = 2};
    char error[TARGET_ERROR_MAX];
    struct target_list list;
    assert_int_equal(target_list_init(&list, &source, error), 0);
    assert_int_equal(list.endpoint_count, 2);
    const struct endpoint *first = &list.endpoints[0];
    assert_int_equal(first->target_count, 1);
    assert_string_equal(first->host, "127.0.0.1");
    assert_int_equal(first->port, 8080);
    assert_span(first->targets[0].request, "GET /a/b?c HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
    assert_span(first->targets[0].path, "/a/b?c");
    assert_int_equal(first->targets[0].path_id, version_path_id(SPAN("b")));
    assert_true(first->targets[0].file_index == VERIFY_NO_FILE);
    const struct endpoint *second = &list.endpoints[1];
    assert_string_equal(second->host, "::1");
    assert_span(second->targets[0].request, "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    target_list_deinit(&list);
}

static void targets_join_url_and_path(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *path;
        const char *want;
    } cases[] = {
        {"http://h", "a", "/a"},
        {"http://h/", "a", "/a"},
        {"http://h/", "/a", "/a"},
        {"http://h/p", "a/b", "/p/a/b"},
        {"http://h/p/", "/a b", "/p/a%20b"},
        {"http://h/p//", "//a", "/p/a"},
        {"http://h/p", "/", "/p/"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct span path = span_of_string(cases[i].path);
        const struct target_source source = {
            .urls = &cases[i].url,
            .url_count = 1,
            .paths = &path,
            .path_count = 1,
        };
        char error[TARGET_ERROR_MAX];
        struct target_list list;
        assert_int_equal(target_list_init(&list, &source, error), 0);
        assert_span(list.endpoints[0].targets[0].path, cases[i].want);
        target_list_deinit(&list);
    }
}

static void targets_know_the_rotators_files(void **state)
{
    (void)state;
    const char *const urls[] = {"http://h/r/"};
    const struct span paths[] = {SPAN("rotate-003.bin"), SPAN("index.html"),
                                 SPAN("rotate-004.bin")};
    const struct target_source source = {
        .urls = urls,
        .url_count = 1,
        .paths = paths,
        .path_count = ARRAY_COUNT(paths),
        .rotated_file_count = 4,
    };
    char error[TARGET_ERROR_MAX];
    struct target_list list;
    assert_int_equal(target_list_init(&list, &source, error), 0);
    const struct target *targets = list.endpoints[0].targets;
    assert_int_equal(targets[0].file_index, 3);
    assert_true(targets[1].file_index == VERIFY_NO_FILE);
    assert_true(targets[2].file_index == VERIFY_NO_FILE);
    assert_int_equal(targets[0].path_id, version_path_id(SPAN("rotate-003.bin")));
    target_list_deinit(&list);
}

static void targets_name_the_bad_url(void **state)
{
    (void)state;
    const char *const urls[] = {"http://good/", "https://bad/"};
    const struct target_source source = {.urls = urls, .url_count = 2};
    char error[TARGET_ERROR_MAX];
    struct target_list list;
    assert_int_equal(target_list_init(&list, &source, error), -EINVAL);
    assert_string_equal(error, "'https://bad/': TLS is not supported by this version; use http://");
}

static int read_paths(const char *text, struct path_file *ret_file)
{
    char name[] = "/tmp/load_paths_XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    size_t bytes = strlen(text);
    assert_int_equal(write(fd, text, bytes), bytes);
    assert_int_equal(close(fd), 0);
    int result = path_file_init(ret_file, name);
    assert_int_equal(unlink(name), 0);
    return result;
}

static void path_file_is_a_path_a_line(void **state)
{
    (void)state;
    struct path_file file;
    assert_int_equal(read_paths("a.html\n\n/b c\r\nlast", &file), 0);
    assert_int_equal(file.path_count, 3);
    assert_span(file.paths[0], "a.html");
    assert_span(file.paths[1], "/b c");
    assert_span(file.paths[2], "last");
    path_file_deinit(&file);
}

static void path_file_refuses_an_empty_list(void **state)
{
    (void)state;
    struct path_file file;
    assert_int_equal(read_paths("", &file), -ENODATA);
    assert_int_equal(read_paths("\n\r\n\n", &file), -ENODATA);
    assert_int_equal(path_file_init(&file, "/no/such/list"), -ENOENT);
    assert_int_equal(path_file_init(&file, "/"), -EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_whole_requests),
        cmocka_unit_test(targets_join_url_and_path),
        cmocka_unit_test(targets_know_the_rotators_files),
        cmocka_unit_test(targets_name_the_bad_url),
        cmocka_unit_test(path_file_is_a_path_a_line),
        cmocka_unit_test(path_file_refuses_an_empty_list),
    };
    return cmocka_run_group_tests_name("load_target", tests, NULL, NULL);
}
