#include "config/descriptors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "server/base/fault.h"

#define ONE_WORKER (DESCRIPTORS_RESERVE_PROCESS + DESCRIPTORS_RESERVE_WORKER)

struct fit_case {
    const char *name;
    const char *slots; /* NULL: not given */
    const char *connections;
    uint64_t hard_limit;
    uint64_t want_limit; /* 0: an error */
    uint32_t want_slots;
    uint32_t want_connections;
    bool has_warning;
};

static void give(struct settings *settings, enum setting_id id, const char *text)
{
    struct sentence sentence = {.text = ""};
    if (text != NULL) {
        assert_int_equal(settings_assign(settings, id, span_of_string(text), &sentence), 0);
    }
}

static void descriptors_fit_under_the_limit(void **state)
{
    (void)state;
    static const struct fit_case cases[] = {
        {"room", NULL, NULL, 1 << 20, 8192 + 8192 + ONE_WORKER, 8192, 8192, false},
        {"exactly", NULL, NULL, 16384 + ONE_WORKER, 16384 + ONE_WORKER, 8192, 8192, false},
        {"one short", NULL, NULL, 16383 + ONE_WORKER, 16383 + ONE_WORKER, 8191, 8192, true},
        {"small", NULL, NULL, 1024, 1024, 444, 444, true},
        {"least", NULL, NULL, ONE_WORKER + 2, ONE_WORKER + 2, 1, 1, true},
        {"too small", NULL, NULL, ONE_WORKER + 1, 0, 8192, 8192, false},
        {"none", NULL, NULL, 0, 0, 8192, 8192, false},
        {"slots given", "8192", NULL, 1024, 0, 8192, 8192, false},
        {"connections given", NULL, "1000", 1024, 0, 8192, 1000, false},
        {"both given, fit", "100", "100", 1024, 200 + ONE_WORKER, 100, 100, false},
        {"unlimited", NULL, NULL, UINT64_MAX, 16384 + ONE_WORKER, 8192, 8192, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("%s\n", cases[i].name);
        struct settings settings;
        settings_init(&settings);
        settings.workers = 1;
        give(&settings, SETTING_table_slots, cases[i].slots);
        give(&settings, SETTING_max_connections, cases[i].connections);
        struct findings errors = {.line_count = 0};
        struct findings warnings = {.line_count = 0};
        uint64_t limit = descriptors_fit(&settings, cases[i].hard_limit, &errors, &warnings);
        assert_int_equal(limit, cases[i].want_limit);
        assert_int_equal(settings.table_slots, cases[i].want_slots);
        assert_int_equal(settings.max_connections, cases[i].want_connections);
        assert_int_equal(findings_count(&errors), cases[i].want_limit == 0 ? 1 : 0);
        assert_int_equal(findings_count(&warnings), cases[i].has_warning ? 1 : 0);
        settings_deinit(&settings);
    }
}

static void descriptors_ask_for_every_workers_own_files(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    settings.workers = 4;
    uint64_t reserve = DESCRIPTORS_RESERVE_PROCESS + 4 * DESCRIPTORS_RESERVE_WORKER;
    struct findings errors = {.line_count = 0};
    struct findings warnings = {.line_count = 0};
    assert_int_equal(descriptors_fit(&settings, 1 << 20, &errors, &warnings), 5 * 8192 + reserve);
    assert_int_equal(descriptors_fit(&settings, 20000, &errors, &warnings), 20000);
    assert_int_equal(findings_count(&errors) + findings_count(&warnings), 0);
    settings_deinit(&settings);
}

/* Defaults of another proportion: what one does not use, the other may. */
static void descriptors_leave_neither_above_its_default(void **state)
{
    (void)state;
    static const struct {
        uint32_t slots;
        uint32_t connections;
        uint32_t want_slots;
        uint32_t want_connections;
    } cases[] = {
        {8192, 100, 900, 100},
        {100, 8192, 100, 900},
        {8192, 8192, 500, 500},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings settings;
        settings_init(&settings);
        settings.workers = 1;
        settings.table_slots = cases[i].slots;
        settings.max_connections = cases[i].connections;
        struct findings errors = {.line_count = 0};
        struct findings warnings = {.line_count = 0};
        uint64_t hard_limit = 1000 + ONE_WORKER;
        assert_int_equal(descriptors_fit(&settings, hard_limit, &errors, &warnings), hard_limit);
        assert_int_equal(settings.table_slots, cases[i].want_slots);
        assert_int_equal(settings.max_connections, cases[i].want_connections);
    }
}

static void descriptors_leave_each_worker_a_connection(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 64; workers++) {
        struct settings settings;
        settings_init(&settings);
        settings.workers = workers;
        uint64_t reserve = DESCRIPTORS_RESERVE_PROCESS + DESCRIPTORS_RESERVE_WORKER * workers;
        struct findings errors = {.line_count = 0};
        struct findings warnings = {.line_count = 0};
        uint64_t least = reserve + 2 * workers;
        assert_int_equal(descriptors_fit(&settings, least - 1, &errors, &warnings), 0);
        assert_int_equal(descriptors_fit(&settings, least, &errors, &warnings), least);
        assert_true(settings.max_connections >= workers);
        assert_true(settings.table_slots > 0);
    }
}

static void descriptors_error_names_the_number_and_the_remedy(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    settings.workers = 1;
    give(&settings, SETTING_table_slots, "5000");
    give(&settings, SETTING_max_connections, "3000");
    struct findings errors = {.line_count = 0};
    struct findings warnings = {.line_count = 0};
    assert_int_equal(descriptors_fit(&settings, 4096, &errors, &warnings), 0);
    const char *text = errors.lines[0].text;
    assert_non_null(strstr(text, "8136 descriptors are needed"));
    assert_non_null(strstr(text, "the hard limit is 4096"));
    assert_non_null(strstr(text, "ulimit -n 8136"));
    assert_non_null(strstr(text, "LimitNOFILE=8136"));
    settings_deinit(&settings);
}

/* Lowers the soft limit of this process for the test, never the hard one. */
static struct rlimit lower_soft_limit(rlim_t soft)
{
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit lowered = {.rlim_cur = soft, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lowered), 0);
    return before;
}

static void descriptors_raise_the_soft_limit_and_never_lower_it(void **state)
{
    (void)state;
    struct rlimit before = lower_soft_limit(64);
    struct settings settings;
    settings_init(&settings);
    settings.workers = 1;
    give(&settings, SETTING_table_slots, "20");
    give(&settings, SETTING_max_connections, "10");
    struct findings errors = {.line_count = 0};
    struct findings warnings = {.line_count = 0};
    descriptors_settle(&settings, &errors, &warnings);
    struct rlimit now;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(now.rlim_cur, 30 + ONE_WORKER);
    assert_int_equal(now.rlim_max, before.rlim_max);

    settings.table_slots = 1;
    descriptors_settle(&settings, &errors, &warnings);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(now.rlim_cur, 30 + ONE_WORKER);
    assert_int_equal(findings_count(&errors) + findings_count(&warnings), 0);
    settings_deinit(&settings);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void descriptors_report_a_refusal_of_the_system(void **state)
{
    (void)state;
#ifdef TURNTABLE_FAULT_POINTS
    struct rlimit before = lower_soft_limit(64);
    struct settings settings;
    settings_init(&settings);
    settings.workers = 1;
    struct findings errors = {.line_count = 0};
    struct findings warnings = {.line_count = 0};
    fault_arm("descriptors_setrlimit", 0, 1, EPERM);
    descriptors_settle(&settings, &errors, &warnings);
    fault_disarm_all();
    assert_int_equal(findings_count(&errors), 1);
    assert_non_null(strstr(errors.lines[0].text, "setrlimit() failed"));
    settings_deinit(&settings);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_fit_under_the_limit),
        cmocka_unit_test(descriptors_ask_for_every_workers_own_files),
        cmocka_unit_test(descriptors_leave_neither_above_its_default),
        cmocka_unit_test(descriptors_leave_each_worker_a_connection),
        cmocka_unit_test(descriptors_error_names_the_number_and_the_remedy),
        cmocka_unit_test(descriptors_raise_the_soft_limit_and_never_lower_it),
        cmocka_unit_test(descriptors_report_a_refusal_of_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
