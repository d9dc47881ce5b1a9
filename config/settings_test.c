#include "config/settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/fault.h"

static int assign(struct settings *settings, enum setting_id id, const char *text)
{
    struct sentence sentence = {.text = ""};
    int rc = settings_assign(settings, id, span_of_string(text), &sentence);
    assert_int_equal(rc == 0, sentence.text[0] == '\0');
    return rc;
}

static void settings_begin_with_the_defaults(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    assert_string_equal(settings.root, ".");
    assert_int_equal(settings.listen.count, 1);
    assert_string_equal(settings.listen.items[0], "127.0.0.1:8080");
    assert_int_equal(settings.workers, 0);
    assert_int_equal(settings.memory_total_bytes, 67108864);
    assert_int_equal(settings.idle_timeout_ms, 60000);
    assert_int_equal(settings.files, FILES_FIXED);
    assert_int_equal(settings.explicit_rows, 0);
    settings_deinit(&settings);
    settings_deinit(NULL);
}

static void settings_take_a_value_of_each_kind(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    assert_int_equal(assign(&settings, SETTING_root, "/srv"), 0);
    assert_int_equal(assign(&settings, SETTING_workers, "3"), 0);
    assert_int_equal(assign(&settings, SETTING_memory_total_bytes, "2G"), 0);
    assert_int_equal(assign(&settings, SETTING_idle_timeout_ms, "5s"), 0);
    assert_int_equal(assign(&settings, SETTING_files, "plain"), 0);
    assert_int_equal(assign(&settings, SETTING_log_level, "debug"), 0);
    assert_string_equal(settings.root, "/srv");
    assert_int_equal(settings.workers, 3);
    assert_int_equal(settings.memory_total_bytes, INT64_C(2) << 30);
    assert_int_equal(settings.idle_timeout_ms, 5000);
    assert_int_equal(settings.files, FILES_PLAIN);
    assert_int_equal(settings.log_level, LOG_CHOICE_DEBUG);
    /* The neighbours of what was stored. */
    assert_int_equal(settings.max_connections, 8192);
    assert_int_equal(settings.memory_body_bytes, 32768);
    assert_int_equal(settings.engine, ENGINE_CHOICE_AUTO);
    settings_deinit(&settings);
}

static void settings_keep_their_own_copy(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    char text[] = "/srv";
    assert_int_equal(assign(&settings, SETTING_root, text), 0);
    text[1] = 'x';
    assert_string_equal(settings.root, "/srv");
    settings_deinit(&settings);
    assert_string_equal(settings.root, ".");
}

static void settings_remember_what_was_given(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    assert_int_equal(assign(&settings, SETTING_table_slots, "8192"),
                     0); /* the default, but given */
    assert_int_equal(assign(&settings, SETTING_workers, "99"), -EINVAL);
    assert_int_equal(assign(&settings, SETTING_access_log, "-"), 0);
    assert_true(settings_is_explicit(&settings, SETTING_table_slots));
    assert_true(settings_is_explicit(&settings, SETTING_access_log));
    assert_false(settings_is_explicit(&settings, SETTING_workers));
    assert_false(settings_is_explicit(&settings, SETTING_max_connections));
    settings_deinit(&settings);
}

static void settings_collect_lists(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    assert_int_equal(assign(&settings, SETTING_listen, ":1"), 0);
    assert_int_equal(assign(&settings, SETTING_listen, ":2"), 0);
    assert_int_equal(settings.listen.count, 2);
    assert_string_equal(settings.listen.items[0], ":1");
    assert_string_equal(settings.listen.items[1], ":2");

    settings_restart_list(&settings, SETTING_listen);
    assert_int_equal(assign(&settings, SETTING_listen, "wrong"), -EINVAL);
    assert_int_equal(settings.listen.count, 2);
    assert_int_equal(assign(&settings, SETTING_listen, ":3"), 0);
    assert_int_equal(settings.listen.count, 1);
    assert_string_equal(settings.listen.items[0], ":3");

    settings_restart_list(&settings, SETTING_root); /* not a list: no effect */
    settings_deinit(&settings);
}

static void settings_refuse_one_item_too_many(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    for (int i = 0; i < SETTINGS_LIST_MAX; i++) {
        assert_int_equal(assign(&settings, SETTING_listen, ":0"), 0);
    }
    assert_int_equal(assign(&settings, SETTING_listen, ":0"), -EINVAL);
    assert_int_equal(settings.listen.count, SETTINGS_LIST_MAX);
    settings_deinit(&settings);
}

static void settings_are_as_before_after_a_refusal(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    struct settings before = settings;
    assert_int_equal(assign(&settings, SETTING_root, ""), -EINVAL);
    assert_int_equal(assign(&settings, SETTING_workers, "many"), -EINVAL);
    assert_int_equal(assign(&settings, SETTING_memory_total_bytes, "1X"), -EINVAL);
    assert_int_equal(assign(&settings, SETTING_idle_timeout_ms, "0"), -EINVAL);
    assert_int_equal(assign(&settings, SETTING_engine, "kqueue"), -EINVAL);
    assert_int_equal(assign(&settings, SETTING_listen, "80"), -EINVAL);
    assert_memory_equal(&settings, &before, sizeof(settings));
    settings_deinit(&settings);
}

static void settings_survive_a_lack_of_memory(void **state)
{
    (void)state;
#ifdef TURNTABLE_FAULT_POINTS
    struct settings settings;
    settings_init(&settings);
    fault_arm("settings_keep", 0, 2, ENOMEM);
    assert_int_equal(assign(&settings, SETTING_root, "/srv"), -ENOMEM);
    assert_int_equal(assign(&settings, SETTING_listen, ":1"), -ENOMEM);
    assert_string_equal(settings.root, ".");
    assert_string_equal(settings.listen.items[0], "127.0.0.1:8080");
    assert_int_equal(assign(&settings, SETTING_root, "/srv"), 0);
    fault_disarm_all();
    settings_deinit(&settings);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_begin_with_the_defaults),
        cmocka_unit_test(settings_take_a_value_of_each_kind),
        cmocka_unit_test(settings_keep_their_own_copy),
        cmocka_unit_test(settings_remember_what_was_given),
        cmocka_unit_test(settings_collect_lists),
        cmocka_unit_test(settings_refuse_one_item_too_many),
        cmocka_unit_test(settings_are_as_before_after_a_refusal),
        cmocka_unit_test(settings_survive_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
