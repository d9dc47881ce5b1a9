#include "server/ctl/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"

struct example {
    uint64_t value;
    const char *want;
};

static void
check_all(const struct example *examples, size_t count, void (*format)(uint64_t, char *))
{
    for (size_t i = 0; i < count; i++) {
        char text[UNITS_TEXT_BYTES];
        format(examples[i].value, text);
        assert_string_equal(text, examples[i].want);
    }
}

static void units_write_bytes(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {1048575, "1.0 MiB"},
        {UINT64_C(1) << 30, "1.0 GiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    check_all(examples, ARRAY_COUNT(examples), units_format_bytes);
}

static void units_write_seconds(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {0, "0 s"},
        {59, "59 s"},
        {60, "1 min 0 s"},
        {3599, "59 min 59 s"},
        {7380, "2 h 3 min"},
        {86400, "1 d 0 h"},
        {UINT64_MAX, "213503982334601 d 7 h"},
    };
    check_all(examples, ARRAY_COUNT(examples), units_format_seconds);
}

static void units_write_microseconds(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {0, "0 us"},
        {999, "999 us"},
        {1000, "1.0 ms"},
        {999949, "999.9 ms"},
        {999950, "1.0 s"},
        {2500000, "2.5 s"},
        {UINT64_MAX, "18446744073709.6 s"},
    };
    check_all(examples, ARRAY_COUNT(examples), units_format_microseconds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_write_bytes),
        cmocka_unit_test(units_write_seconds),
        cmocka_unit_test(units_write_microseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
