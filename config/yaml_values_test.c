#include "config/yaml_values.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/fault.h"

#define TEXT "root: /srv\nlisten: [a, b]\nworkers: 4\nunknown: {x: [y]}\nindex: [ignored]\n"

static const struct yaml_shapes shapes = {
    .rows =
        {
            [SETTING_root] = YAML_SHAPE_ONE,
            [SETTING_listen] = YAML_SHAPE_MANY,
            [SETTING_workers] = YAML_SHAPE_ONE,
        },
};

static void yaml_values_are_the_strings_of_the_text(void **state)
{
    (void)state;
    struct yaml_values *values = NULL;
    struct sentence sentence = {.text = ""};
    assert_int_equal(yaml_values_create(SPAN(TEXT), &shapes, &values, &sentence), 0);
    assert_string_equal(values->rows[SETTING_root].one, "/srv");
    assert_string_equal(values->rows[SETTING_workers].one, "4");
    assert_int_equal(values->rows[SETTING_listen].many_count, 2);
    assert_string_equal(values->rows[SETTING_listen].many[1], "b");
    assert_null(values->rows[SETTING_index].one);
    assert_null(values->rows[SETTING_files].one);
    yaml_values_destroy(values, &shapes);
    yaml_values_destroy(NULL, &shapes);
}

static void yaml_values_take_a_list_as_one_string(void **state)
{
    (void)state;
    struct yaml_shapes one = {.rows = {[SETTING_listen] = YAML_SHAPE_ONE}};
    struct yaml_values *values = NULL;
    struct sentence sentence = {.text = ""};
    assert_int_equal(yaml_values_create(SPAN("listen: a\n"), &one, &values, &sentence), 0);
    assert_string_equal(values->rows[SETTING_listen].one, "a");
    yaml_values_destroy(values, &one);
}

static void yaml_values_fail_with_a_word(void **state)
{
    (void)state;
    struct yaml_values *values = NULL;
    struct sentence sentence = {.text = ""};
    assert_int_equal(yaml_values_create(SPAN("root: [a]\n"), &shapes, &values, &sentence), -EINVAL);
    assert_null(values);
    assert_non_null(strstr(sentence.text, "libcyaml"));
}

/* Each allocation in turn: an error, nothing leaked (asan), and in the end a success. */
static void yaml_values_survive_each_lack_of_memory(void **state)
{
    (void)state;
#ifdef TURNTABLE_FAULT_POINTS
    int rc = -ENOMEM;
    uint64_t failed_count = 0;
    for (uint64_t skip_count = 0; rc < 0 && skip_count < 1000; skip_count++) {
        struct yaml_values *values = NULL;
        struct sentence sentence = {.text = ""};
        fault_arm("yaml_values_alloc", skip_count, 1, ENOMEM);
        rc = yaml_values_create(SPAN(TEXT), &shapes, &values, &sentence);
        fault_disarm_all();
        if (rc < 0) {
            assert_int_equal(rc, -ENOMEM);
            assert_null(values);
            failed_count++;
        } else {
            yaml_values_destroy(values, &shapes);
        }
    }
    assert_int_equal(rc, 0);
    assert_true(failed_count > 5);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_values_are_the_strings_of_the_text),
        cmocka_unit_test(yaml_values_take_a_list_as_one_string),
        cmocka_unit_test(yaml_values_fail_with_a_word),
        cmocka_unit_test(yaml_values_survive_each_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
