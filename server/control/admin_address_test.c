#include "server/control/admin_address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"

/* Longer than a socket's path can be. */
#define TEN     "/bcdefghij"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void address_parse_takes_addresses_and_none(void **state)
{
    (void)state;
    struct admin_address address;
    struct sentence error;
    assert_int_equal(admin_address_parse("none", &address, &error), 0);
    assert_true(address.is_none);
    assert_int_equal(admin_address_parse("unix:/run/x.sock", &address, &error), 0);
    assert_false(address.is_none);
    assert_string_equal(address.address.name.local.sun_path, "/run/x.sock");
    assert_int_equal(admin_address_parse("127.0.0.1:9090", &address, &error), 0);
    assert_int_equal(address.address.family, ADDRESS_IPV4);
}

static void address_parse_says_what_is_allowed(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "None", "/run/x.sock", "9090", "127.0.0.1", "unix:"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct admin_address address = {.is_none = true};
        struct sentence error = {.text = ""};
        print_message("%s\n", texts[i]);
        assert_int_equal(admin_address_parse(texts[i], &address, &error), -EINVAL);
        assert_true(address.is_none); /* untouched */
        assert_non_null(strstr(error.text, "unix:PATH, or none"));
    }
}

static void default_addresses_follow_the_environment(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct admin_places places;
        const char *want[ADMIN_DEFAULT_MAX];
    } cases[] = {
        {"a user without a session", {NULL, NULL, 7}, {"unix:/tmp/turntable-7/admin.sock"}},
        {"a user",
         {NULL, "/run/user/7", 7},
         {"unix:/run/user/7/turntable/admin.sock", "unix:/tmp/turntable-7/admin.sock"}},
        {"root",
         {NULL, NULL, 0},
         {"unix:/run/turntable/admin.sock", "unix:/tmp/turntable-0/admin.sock"}},
        {"a unit with two directories",
         {"/run/a:/run/b", NULL, 7},
         {"unix:/run/a/admin.sock", "unix:/tmp/turntable-7/admin.sock"}},
        {"everything",
         {"/run/a", "/run/user/0", 0},
         {"unix:/run/a/admin.sock", "unix:/run/user/0/turntable/admin.sock",
          "unix:/run/turntable/admin.sock", "unix:/tmp/turntable-0/admin.sock"}},
        {"empty and relative ones", {"", "run", 7}, {"unix:/tmp/turntable-7/admin.sock"}},
        {"one that is too long", {HUNDRED, NULL, 7}, {"unix:/tmp/turntable-7/admin.sock"}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct address addresses[ADMIN_DEFAULT_MAX];
        print_message("%s\n", cases[i].name);
        uint32_t count = admin_default_addresses(&cases[i].places, addresses);
        for (uint32_t k = 0; k < count; k++) {
            assert_non_null(cases[i].want[k]);
            assert_string_equal(address_format(&addresses[k]).text, cases[i].want[k]);
        }
        assert_true(count == ADMIN_DEFAULT_MAX || cases[i].want[count] == NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_parse_takes_addresses_and_none),
        cmocka_unit_test(address_parse_says_what_is_allowed),
        cmocka_unit_test(default_addresses_follow_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
