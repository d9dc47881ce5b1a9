#include "config/check.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define NOBODY 65534

/* A folder of the test's own, and the current one while a test runs:
 *     dir/  file  closed/ (mode 000)  closed/dir/  unreadable/ (mode 311)  loop -> loop
 *     dangling -> nowhere  link -> dir */
static int make_tree(void **state)
{
    static char path[] = "/tmp/turntable-check-XXXXXX";
    *state = mkdtemp(path);
    if (*state == NULL || chmod(path, 0755) < 0 || chdir(path) < 0) {
        return -1;
    }
    bool is_made = mkdir("dir", 0755) == 0 && mkdir("closed", 0755) == 0 &&
                   mkdir("closed/dir", 0755) == 0 && mkdir("unreadable", 0311) == 0 &&
                   symlink("loop", "loop") == 0 && symlink("nowhere", "dangling") == 0 &&
                   symlink("dir", "link") == 0 && chmod("closed", 0) == 0 &&
                   close(open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0444)) == 0;
    return is_made ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int remove_tree(void **state)
{
    bool is_open = chmod("closed", 0755) == 0 && chmod("unreadable", 0755) == 0;
    return is_open && chdir("/") == 0 ? nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

/* Permissions mean nothing to root: the checks are made as somebody else. */
static void become_nobody(void)
{
    if (geteuid() == 0) {
        assert_int_equal(chown("unreadable", NOBODY, NOBODY), 0);
        assert_int_equal(seteuid(NOBODY), 0);
    }
}

static void become_oneself(void)
{
    assert_int_equal(seteuid(getuid()), 0);
}

static void give(struct settings *settings, enum setting_id id, const char *text)
{
    struct sentence sentence = {.text = ""};
    assert_int_equal(settings_assign(settings, id, span_of_string(text), &sentence), 0);
}

struct check_case {
    enum setting_id id;
    const char *text;
    const char *sentence; /* NULL: accepted */
};

static void check_cases(const struct check_case *cases, size_t case_count)
{
    for (size_t i = 0; i < case_count; i++) {
        struct settings settings;
        settings_init(&settings);
        give(&settings, cases[i].id, cases[i].text);
        struct findings errors = {.line_count = 0};
        struct findings warnings = {.line_count = 0};
        int rc = config_check(&settings, &errors, &warnings);
        print_message("%s: %s\n", cases[i].text, errors.lines[0].text);
        settings_deinit(&settings);
        assert_int_equal(rc, cases[i].sentence == NULL ? 0 : -EINVAL);
        assert_int_equal(findings_count(&errors), cases[i].sentence == NULL ? 0 : 1);
        if (cases[i].sentence != NULL) {
            assert_non_null(strstr(errors.lines[0].text, cases[i].sentence));
        }
    }
}

static void check_looks_at_the_root(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {SETTING_root, ".", NULL},
        {SETTING_root, "dir", NULL},
        {SETTING_root, "dir/", NULL},
        {SETTING_root, "./dir//", NULL},
        {SETTING_root, "link", NULL},
        {SETTING_root, "/", NULL},
        {SETTING_root, "nowhere", "--root 'nowhere': 'nowhere' does not exist; create it"},
        {SETTING_root, "dir/a/b", "--root 'dir/a/b': 'dir/a' does not exist"},
        {SETTING_root, "dangling", "'dangling' is a symbolic link that leads nowhere"},
        {SETTING_root, "dangling/x", "'dangling' is a symbolic link that leads nowhere"},
        {SETTING_root, "loop", "a loop of symbolic links"},
        {SETTING_root, "file", "--root 'file': 'file' is no directory, but a file"},
        {SETTING_root, "file/x", "--root 'file/x': 'file' is not a directory"},
        {SETTING_root, "/bin/ls/x", "'/bin/ls' is not a directory"},
        {SETTING_root, "closed", "may not read and search it: Permission denied"},
        {SETTING_root, "closed/dir", "may not pass 'closed'; give it search permission"},
        {SETTING_root, "unreadable", "may not read and search it: Permission denied"},
    };
    become_nobody();
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
    become_oneself();
}

static void check_refuses_a_root_of_endless_length(void **state)
{
    (void)state;
    static char path[8192];
    struct settings settings;
    settings_init(&settings);
    for (size_t segment_bytes = 2; segment_bytes < sizeof(path); segment_bytes *= 64) {
        memset(path, 'x', sizeof(path) - 1);
        for (size_t i = 0; i < sizeof(path) - 1; i += segment_bytes) {
            path[i] = '/';
        }
        give(&settings, SETTING_root, path);
        give(&settings, SETTING_access_log, path);
        struct findings errors = {.line_count = 0};
        struct findings warnings = {.line_count = 0};
        assert_int_equal(config_check(&settings, &errors, &warnings), -EINVAL);
        assert_int_equal(findings_count(&errors), 2);
    }
    settings_deinit(&settings);
}

static void check_looks_at_the_access_log(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {SETTING_access_log, "none", NULL},
        {SETTING_access_log, "-", NULL},
        {SETTING_access_log, "/dev/null", NULL},
        {SETTING_access_log, "unreadable/log", NULL},
        {SETTING_access_log, "log", "may not make a file in '.': Permission denied"},
        {SETTING_access_log, "/log", "may not make a file in '/': Permission denied"},
        {SETTING_access_log, "dir/log", "--access-log 'dir/log': user "},
        {SETTING_access_log, "nowhere/log", "'nowhere' does not exist"},
        {SETTING_access_log, "dir", "a directory; name a file in it"},
        {SETTING_access_log, "file", "may not write it"},
        {SETTING_access_log, "file/log", "'file' is no directory, but a file"},
    };
    become_nobody();
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
    become_oneself();
}

static void check_finds_listeners_in_each_others_way(void **state)
{
    (void)state;
    static const struct {
        const char *first;
        const char *second;
        const char *admin;
        const char *sentence; /* NULL: accepted */
    } cases[] = {
        {"127.0.0.1:80", "[::1]:80", "127.0.0.1:81", NULL},
        {":0", ":0", ":0", NULL},
        {":80", "unix:a", "unix:b", NULL},
        {"127.0.0.1:80", "localhost:80", "none", "--listen 'localhost:80': taken by --listen '127"},
        {"*:80", "127.0.0.1:80", "none", "--listen '127.0.0.1:80': taken by --listen '*:80'"},
        {":1", ":2", ":2", "--admin ':2': taken by --listen ':2' already; leave one out"},
        {":1", "unix:a", "unix:a", "--admin 'unix:a': taken by --listen 'unix:a'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("%s %s %s\n", cases[i].first, cases[i].second, cases[i].admin);
        struct settings settings;
        settings_init(&settings);
        give(&settings, SETTING_listen, cases[i].first);
        give(&settings, SETTING_listen, cases[i].second);
        give(&settings, SETTING_admin, cases[i].admin);
        struct findings errors = {.line_count = 0};
        struct findings warnings = {.line_count = 0};
        int rc = config_check(&settings, &errors, &warnings);
        assert_int_equal(rc, cases[i].sentence == NULL ? 0 : -EINVAL);
        if (cases[i].sentence != NULL) {
            assert_int_equal(findings_count(&errors), 1);
            assert_non_null(strstr(errors.lines[0].text, cases[i].sentence));
        }
        settings_deinit(&settings);
    }
}

static void check_settles_the_workers(void **state)
{
    (void)state;
    cpu_set_t before;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    static const struct {
        const char *workers;
        const char *connections;
        uint32_t want; /* 0: refused; UINT32_MAX: as many as processors */
    } cases[] = {
        {"auto", "100", UINT32_MAX},
        {"auto", "1", 1},
        {"3", "3", 3},
        {"3", "2", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("%s %s\n", cases[i].workers, cases[i].connections);
        struct settings settings;
        settings_init(&settings);
        give(&settings, SETTING_workers, cases[i].workers);
        give(&settings, SETTING_max_connections, cases[i].connections);
        give(&settings, SETTING_table_slots, "10");
        struct findings errors = {.line_count = 0};
        struct findings warnings = {.line_count = 0};
        int rc = config_check(&settings, &errors, &warnings);
        assert_int_equal(rc, cases[i].want == 0 ? -EINVAL : 0);
        uint32_t processors = (uint32_t)CPU_COUNT(&before);
        uint32_t all = processors < 64 ? processors : 64;
        if (cases[i].want != 0) {
            assert_int_equal(settings.workers, cases[i].want == UINT32_MAX ? all : cases[i].want);
        }
        settings_deinit(&settings);
    }
}

static void check_says_all_errors_at_once(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    give(&settings, SETTING_root, "nowhere");
    give(&settings, SETTING_access_log, "nowhere/log");
    give(&settings, SETTING_listen, ":80");
    give(&settings, SETTING_listen, ":80");
    give(&settings, SETTING_workers, "3");
    give(&settings, SETTING_max_connections, "2");
    struct findings errors = {.line_count = 0};
    struct findings warnings = {.line_count = 0};
    assert_int_equal(config_check(&settings, &errors, &warnings), -EINVAL);
    assert_int_equal(findings_count(&errors), 4);
    settings_deinit(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_looks_at_the_root),
        cmocka_unit_test(check_refuses_a_root_of_endless_length),
        cmocka_unit_test(check_looks_at_the_access_log),
        cmocka_unit_test(check_finds_listeners_in_each_others_way),
        cmocka_unit_test(check_settles_the_workers),
        cmocka_unit_test(check_says_all_errors_at_once),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
