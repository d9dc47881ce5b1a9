/* Long random runs of the table against its model; the seeds are fixed, so a failure repeats. */
#include "server/table/slot_table_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/base/alloc.h"
#include "server/base/check.h"

#define STEP_COUNT 200000

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = *state;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

/* With the allocator sealed: a table takes no memory once it is made. */
static struct model_counts run_model(const struct model_config *config, uint64_t seed)
{
    struct model *model = model_create(config);
    uint32_t check_interval = config->slot_count < 100 ? 16 : config->slot_count;
    alloc_seal_thread();
    for (uint32_t i = 0; i < STEP_COUNT; i++) {
        uint64_t random = next_random(&seed);
        model_step(model, (uint8_t)random, (uint16_t)(random >> 8));
        if (i % check_interval == 0) {
            model_check(model);
        }
    }
    alloc_unseal_thread();
    return model_finish(model);
}

static void table_agrees_with_model(void **state)
{
    (void)state;
    static const struct model_config configs[] = {
        {1, 3, true, 0, 40, 1},          {1, 3, false, 0, 0, 2},
        {2, 3, true, 60, 40, 3},         {3, 10, true, 20, 40, 4},
        {7, 8, true, 60, 200, 5},        {64, 100, true, 0, 0, 6},
        {64, 300, false, 60, 0, 7},      {65, 80, true, 60, 40, 8},
        {1000, 3000, true, 60, 40, 9},   {1000, 3000, true, 250, 40, 10},
        {5000, 60000, true, 30, 10, 11}, {5000, 60000, false, 0, 0, 12},
    };
    for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
        struct model_counts counts = run_model(&configs[i], configs[i].hash_seed * 1000);
        print_message("%u slots%s: %lu published, %lu refused, %lu evicted\n",
                      configs[i].slot_count, configs[i].is_registered ? "" : " not registered",
                      (unsigned long)counts.publishes, (unsigned long)counts.refusals,
                      (unsigned long)counts.evictions);
        assert_true(counts.publishes > 0);
        assert_true(counts.replacements > 0 || configs[i].slot_count == 1);
        assert_true(counts.evictions > 0);
        assert_true(counts.stale_tags > 0);
        assert_true((counts.releases_with_tag > 0) == configs[i].is_registered);
    }
}

static void model_reaches_the_corners(void **state)
{
    (void)state;
    const struct model_config config = {20, 40, true, 30, 60, 99};
    struct model_counts counts = run_model(&config, 4711);
    assert_true(counts.refusals > 100);
    assert_true(counts.replacements > 100);
    assert_true(counts.evictions > 100);
    assert_true(counts.releases_with_tag > 100);
    assert_true(counts.releases_with_tag < counts.releases);
    assert_true(counts.failed_installs > 100);
    assert_true(counts.failed_clears > 100);
    assert_true(counts.early_tags > 100);
    assert_true(counts.unwanted_installs > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_agrees_with_model),
        cmocka_unit_test(model_reaches_the_corners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
