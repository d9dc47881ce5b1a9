#include "server/base/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#ifdef TURNTABLE_FAULT_POINTS

/* First of the tests: the environment is read at the first visit. */
static void environment_arms_points(void **state)
{
    (void)state;
    assert_int_equal(setenv("TURNTABLE_FAULTS", "mmap:1:2:12,open:0:1:24", 1), 0);
    assert_int_equal(FAULT("mmap"), 0);
    assert_int_equal(FAULT("mmap"), ENOMEM);
    assert_int_equal(FAULT("open"), EMFILE);
    assert_int_equal(FAULT("open"), 0);
    assert_int_equal(FAULT("mmap"), ENOMEM);
    assert_int_equal(FAULT("mmap"), 0);
    fault_disarm_all();
}

static void point_skips_then_fails_then_passes(void **state)
{
    (void)state;
    static const int want[] = {0, 0, EIO, EIO, EIO, 0, 0};
    fault_arm("read", 2, 3, EIO);
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_int_equal(FAULT("read"), want[i]);
        assert_int_equal(FAULT("rea"), 0);
        assert_int_equal(FAULT("reads"), 0);
    }
    fault_disarm_all();
}

static void point_armed_twice_goes_on_with_the_second(void **state)
{
    (void)state;
    fault_arm("read", 1, 1, EIO);
    fault_arm("read", 1, 1, EINTR);
    assert_int_equal(FAULT("read"), 0);
    assert_int_equal(FAULT("read"), EIO);
    assert_int_equal(FAULT("read"), 0);
    assert_int_equal(FAULT("read"), EINTR);
    assert_int_equal(FAULT("read"), 0);
    fault_disarm_all();
}

static void disarmed_points_pass_and_can_be_armed_again(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < FAULT_ARMED_MAX; i++) { /* the table is empty each time */
            fault_arm("read", 0, 1, EIO);
        }
        fault_disarm_all();
        assert_int_equal(FAULT("read"), 0);
    }
}

#else

static void points_are_constant_zero(void **state)
{
    (void)state;
    _Static_assert(FAULT("read") == 0, "costs nothing where users run it");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef TURNTABLE_FAULT_POINTS
        cmocka_unit_test(environment_arms_points),
        cmocka_unit_test(point_skips_then_fails_then_passes),
        cmocka_unit_test(point_armed_twice_goes_on_with_the_second),
        cmocka_unit_test(disarmed_points_pass_and_can_be_armed_again),
#else
        cmocka_unit_test(points_are_constant_zero),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
