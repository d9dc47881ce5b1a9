#include "config/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/fault.h"

static void file_sets_what_it_names(void **state)
{
    (void)state;
    static const char text[] = "# a comment\n"
                               "root: /srv/www\n"
                               "listen:\n"
                               "  - 127.0.0.1:80\n"
                               "  - \"[::1]:80\"\n"
                               "workers: auto\n"
                               "memory: '0'\n"
                               "idle-timeout: 90\n"
                               "files: plain\n"
                               "admin: none\n";
    struct settings settings;
    settings_init(&settings);
    struct findings errors = {.line_count = 0};
    assert_int_equal(config_file_parse("x", span_of_string(text), &settings, &errors), 0);
    assert_int_equal(findings_count(&errors), 0);
    assert_string_equal(settings.root, "/srv/www");
    assert_int_equal(settings.listen.count, 2);
    assert_string_equal(settings.listen.items[1], "[::1]:80");
    assert_int_equal(settings.workers, 0);
    assert_int_equal(settings.memory_total_bytes, 0);
    assert_int_equal(settings.idle_timeout_ms, 90000);
    assert_int_equal(settings.files, FILES_PLAIN);
    assert_true(settings_is_explicit(&settings, SETTING_workers));
    assert_false(settings_is_explicit(&settings, SETTING_index));
    settings_deinit(&settings);
}

static void file_takes_one_listener_as_a_string(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        const char *want;
        uint32_t count;
    } cases[] = {
        {SPAN("listen: :80\n"), ":80", 1},
        {SPAN("listen: [\":80\"]\n"), ":80", 1},
        {SPAN("listen: &a \":80\"\n"), ":80", 1},
        {SPAN("listen: [&a \":80\", *a]\n"), ":80", 2},
        {SPAN("{listen: localhost:80}"), "localhost:80", 1},
        {SPAN("\xef\xbb\xbflisten: localhost:80\r\n"), "localhost:80", 1},
        {SPAN(""), "127.0.0.1:8080", 1},
        {SPAN("--- # nothing\n"), "127.0.0.1:8080", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings settings;
        settings_init(&settings);
        struct findings errors = {.line_count = 0};
        int rc = config_file_parse("x", cases[i].text, &settings, &errors);
        print_message("%s\n", errors.lines[0].text);
        if (i == 7) {
            /* `---` begins a document whose value is null */
            assert_int_equal(rc, -EINVAL);
        } else {
            assert_int_equal(rc, 0);
        }
        assert_int_equal(settings.listen.count, cases[i].count);
        assert_string_equal(settings.listen.items[0], cases[i].want);
        settings_deinit(&settings);
    }
}

static void file_says_what_is_wrong_and_where(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        const char *sentence; /* the only one, from its beginning */
    } cases[] = {
        {SPAN("root: .\nrooot: a\n"), "x:2:1: unknown option 'rooot'; did you mean 'root'?"},
        {SPAN("  xyzzy: 1\n"), "x:1:3: unknown option 'xyzzy'; allowed: root, index, listen"},
        {SPAN("config: a\n"), "x:1:1: unknown option 'config'; allowed: "},
        {SPAN("workers: 65\n"), "x:1:10: 'workers': found '65'; allowed: a whole number from 1"},
        {SPAN("memory: 1X\n"), "x:1:9: 'memory': found '1X'; allowed: a size from 0 to 1024G"},
        {SPAN("files: fixd\n"), "x:1:8: 'files': found 'fixd'; allowed: fixed or plain; did you"},
        {SPAN("root:\n"), "x:1:6: 'root': found nothing; allowed: DIR"},
        {SPAN("root: ~\n"), "x:1:7: 'root': found nothing; allowed: DIR"},
        {SPAN("root: \"\"\n"), "x:1:7: 'root': found nothing; allowed: a value"},
        {SPAN("root: [a]\n"), "x:1:7: 'root': found a sequence; allowed: DIR"},
        {SPAN("root: {a: b}\n"), "x:1:7: 'root': found a mapping; allowed: DIR"},
        {SPAN("root: \"a\\0b\"\n"), "x:1:7: 'root': found a NUL; allowed: text without one"},
        {SPAN("listen: []\n"), "x:1:9: 'listen': found an empty sequence; allowed: one item"},
        {SPAN("listen: {a: b}\n"), "x:1:9: 'listen': found a mapping; allowed: ADDR"},
        {SPAN("listen:\n  - :80\n  - 80\n"), "x:3:5: 'listen': found '80': a port alone"},
        {SPAN("listen:\n  - :80\n  - [a]\n"), "x:3:5: 'listen': found a sequence; allowed: ADDR"},
        {SPAN("root: a\nindex: b\nroot: c\n"), "x:3:1: 'root' is set a second time; it stands in"},
        {SPAN("[root]\n"), "x:1:1: found a sequence; allowed: lines of 'option: value'"},
        {SPAN("root\n"), "x:1:1: found a value; allowed: lines of 'option: value'"},
        {SPAN("? [a]\n: b\n"), "x:1:3: found a sequence as the name of an option; allowed: "},
        {SPAN("\"a\\0\": b\n"), "x:1:1: found a NUL as the name of an option; allowed: "},
        {SPAN("root: a\n---\nroot: b\n"), "x:2:1: found a second document; allowed: one"},
        {SPAN("listen: *:80\n"), "x:1:10: not YAML: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings settings;
        settings_init(&settings);
        struct findings errors = {.line_count = 0};
        assert_int_equal(config_file_parse("x", cases[i].text, &settings, &errors), -EINVAL);
        print_message("%s\n", errors.lines[0].text);
        assert_int_equal(findings_count(&errors), 1);
        size_t bytes = strlen(cases[i].sentence);
        assert_true(strncmp(errors.lines[0].text, cases[i].sentence, bytes) == 0);
        settings_deinit(&settings);
    }
}

static void file_says_all_errors_at_once(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    struct findings errors = {.line_count = 0};
    struct span text = SPAN("rooot: a\nworkers: 0\nlisten: [a, b]\nindex: a/b\n");
    assert_int_equal(config_file_parse("x", text, &settings, &errors), -EINVAL);
    assert_int_equal(findings_count(&errors), 5);
    settings_deinit(&settings);
}

static void file_refuses_more_listeners_than_there_is_room(void **state)
{
    (void)state;
    static const char item[] = "  - :0\n";
    char text[400] = "listen:\n";
    size_t used = strlen(text);
    for (int i = 0; i <= SETTINGS_LIST_MAX; i++) {
        memcpy(text + used, item, sizeof(item));
        used += sizeof(item) - 1;
    }
    struct settings settings;
    settings_init(&settings);
    struct findings errors = {.line_count = 0};
    assert_int_equal(config_file_parse("x", span_of_string(text), &settings, &errors), -EINVAL);
    assert_string_equal(errors.lines[0].text,
                        "x:18:5: 'listen': found one more; allowed: up to 16 of them");
    settings_deinit(&settings);
}

static void file_replaces_lists_of_lower_rank(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    struct findings errors = {.line_count = 0};
    assert_int_equal(config_file_parse("x", SPAN("listen: [':1', ':2']"), &settings, &errors), 0);
    assert_int_equal(config_file_parse("y", SPAN("listen: ':3'"), &settings, &errors), 0);
    assert_int_equal(settings.listen.count, 1);
    assert_string_equal(settings.listen.items[0], ":3");
    settings_deinit(&settings);
}

/* A file with these bytes; the caller removes it. */
static void make_file(char path[static 32], const void *bytes, size_t count)
{
    (void)snprintf(path, 32, "%s", "/tmp/turntable-file-XXXXXX"); /* fits */
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, count), (ssize_t)count);
    assert_int_equal(close(fd), 0);
}

static int load(const char *path, struct findings *ret_errors)
{
    *ret_errors = (struct findings){.line_count = 0};
    struct settings settings;
    settings_init(&settings);
    int rc = config_file_load(path, &settings, ret_errors);
    settings_deinit(&settings);
    assert_int_equal(rc == 0, findings_count(ret_errors) == 0);
    return rc;
}

static void file_is_read_from_disk(void **state)
{
    (void)state;
    char path[32];
    make_file(path, "root: .\n", 8);
    struct findings errors;
    assert_int_equal(load(path, &errors), 0);
    assert_int_equal(unlink(path), 0);
}

static void file_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    struct findings errors;
    assert_int_equal(load("/nonexistent/x.yaml", &errors), -EINVAL);
    assert_string_equal(errors.lines[0].text,
                        "configuration file '/nonexistent/x.yaml': open() failed: No such file or "
                        "directory; give the path of a YAML file to --config");
    assert_int_equal(load("/", &errors), -EINVAL);
    assert_non_null(strstr(errors.lines[0].text, "--config takes a file, not a directory"));
}

static void file_that_is_too_big_is_an_error(void **state)
{
    (void)state;
    static char spaces[CONFIG_FILE_BYTES_MAX + 1];
    memset(spaces, ' ', sizeof(spaces));
    char path[32];
    struct findings errors;
    make_file(path, spaces, sizeof(spaces));
    assert_int_equal(load(path, &errors), -EINVAL);
    assert_non_null(strstr(errors.lines[0].text, "at most 1 MiB"));
    assert_int_equal(truncate(path, CONFIG_FILE_BYTES_MAX), 0);
    assert_int_equal(load(path, &errors), 0);
    assert_int_equal(unlink(path), 0);
}

static void file_survives_failures_of_the_system(void **state)
{
    (void)state;
#ifdef TURNTABLE_FAULT_POINTS
    static const struct {
        const char *point;
        int error_number;
        const char *sentence; /* NULL: goes on */
    } cases[] = {
        {"config_file_open", EACCES, "open() failed: Permission denied; make it readable"},
        {"config_file_read", EIO, "read() failed: Input/output error"},
        {"config_file_read", EINTR, NULL},
        {"config_file_alloc", ENOMEM, "calloc() failed: Cannot allocate memory"},
        {"document_parser", ENOMEM, ":1:1: out of memory"},
        {"yaml_values_alloc", ENOMEM, ":1:1: libcyaml could not load it: "},
        {"settings_keep", ENOMEM, ":1:7: 'root': out of memory"},
    };
    char path[32];
    make_file(path, "root: .\n", 8);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct findings errors;
        fault_arm(cases[i].point, 0, 1, cases[i].error_number);
        int rc = load(path, &errors);
        fault_disarm_all();
        print_message("%s\n", errors.lines[0].text);
        assert_int_equal(rc, cases[i].sentence == NULL ? 0 : -EINVAL);
        if (cases[i].sentence != NULL) {
            assert_non_null(strstr(errors.lines[0].text, cases[i].sentence));
        }
    }
    assert_int_equal(unlink(path), 0);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_sets_what_it_names),
        cmocka_unit_test(file_takes_one_listener_as_a_string),
        cmocka_unit_test(file_says_what_is_wrong_and_where),
        cmocka_unit_test(file_says_all_errors_at_once),
        cmocka_unit_test(file_refuses_more_listeners_than_there_is_room),
        cmocka_unit_test(file_replaces_lists_of_lower_rank),
        cmocka_unit_test(file_is_read_from_disk),
        cmocka_unit_test(file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(file_that_is_too_big_is_an_error),
        cmocka_unit_test(file_survives_failures_of_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
