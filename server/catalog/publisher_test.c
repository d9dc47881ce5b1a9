/* Counts of versions and generations: who is the last decides when something is drained. */
#include "server/catalog/publisher.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/catalog/tree_fixture.h"

struct publisher_case {
    struct test_clock clock;
    struct catalog_counters counters;
    struct loader loader;
    struct publisher publisher;
    uint64_t drained_ids[8];
    uint64_t drained_ns[8];
    unsigned drained_count;
};

static void on_drained(void *context, uint64_t generation_id, uint64_t drain_ns)
{
    struct publisher_case *c = context;
    c->drained_ids[c->drained_count] = generation_id;
    c->drained_ns[c->drained_count] = drain_ns;
    c->drained_count++;
}

/* A version of this very program: any regular file will do. */
static struct version *build(struct publisher_case *c)
{
    struct version *version = NULL;
    struct resolved found = {.status = 200};
    found.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(found.fd >= 0);
    assert_int_equal(fstat(found.fd, &found.stat), 0);
    assert_int_equal(loader_build(&c->loader, SPAN("a"), &found, NULL, &version), 0);
    return version;
}

static struct generation *change(struct publisher_case *c,
                                 struct version *retired,
                                 struct version *version,
                                 uint64_t holder_mask)
{
    struct generation *generation = publisher_begin(1);
    assert_non_null(generation);
    publisher_change(&c->publisher, generation, retired, version, holder_mask);
    generation = publisher_publish(&c->publisher, generation, c->clock.now_ns);
    assert_non_null(generation);
    return generation;
}

static void empty_generation_is_none(void **state)
{
    struct publisher_case *c = *state;
    assert_null(publisher_publish(&c->publisher, publisher_begin(5), 0));
    assert_int_equal(c->counters.generation, 0);
    assert_int_equal(c->counters.generations_draining, 0);
}

static void generation_drains_with_the_last_release(void **state)
{
    struct publisher_case *c = *state;
    struct version *one = build(c);
    publisher_acquire(one); /* worker 0 */
    publisher_acquire(one); /* worker 5 */
    struct version *two = build(c);
    struct generation *generation = change(c, one, two, 0x21);
    assert_int_equal(generation->id, 1);
    assert_int_equal(generation->unapplied_count, 2);
    assert_int_equal(one->reference_count, 3);
    assert_int_equal(two->reference_count, 4);
    publisher_on_applied(&c->publisher, generation);
    publisher_release(&c->publisher, one);
    publisher_on_applied(&c->publisher, generation);
    assert_int_equal(two->reference_count, 3);
    assert_int_equal(c->drained_count, 0);
    c->clock.now_ns += 77;
    publisher_release(&c->publisher, one);
    assert_int_equal(c->drained_count, 1);
    assert_int_equal(c->drained_ids[0], 1);
    assert_int_equal(c->drained_ns[0], 77);
    assert_int_equal(c->counters.drain_seconds_sum_ns, 77);
    assert_int_equal(c->counters.versions_released, 1);
    assert_int_equal(c->counters.open_files, 1);
}

/* RELEASED may come before APPLIED of a slower worker: the name in the generation holds it. */
static void generation_drains_with_the_last_apply(void **state)
{
    struct publisher_case *c = *state;
    struct version *one = build(c);
    publisher_acquire(one);
    struct generation *generation = change(c, one, NULL, 0x3);
    publisher_on_applied(&c->publisher, generation);
    publisher_release(&c->publisher, one);
    assert_int_equal(c->drained_count, 0);
    assert_int_equal(c->counters.open_files, 1);
    publisher_on_applied(&c->publisher, generation);
    assert_int_equal(c->drained_count, 1);
    assert_int_equal(c->counters.open_files, 0);
}

/* Law L4: what was replaced later is not held up by what was replaced before. */
static void generations_drain_out_of_order(void **state)
{
    struct publisher_case *c = *state;
    struct version *versions[4] = {build(c)};
    publisher_acquire(versions[0]);
    for (size_t i = 1; i < ARRAY_COUNT(versions); i++) {
        versions[i] = build(c);
        publisher_on_applied(&c->publisher, change(c, versions[i - 1], versions[i], 1));
    }
    assert_int_equal(c->counters.generations_draining, 3);
    publisher_release(&c->publisher, versions[2]);
    publisher_release(&c->publisher, versions[0]);
    publisher_release(&c->publisher, versions[1]);
    static const uint64_t want[] = {3, 1, 2};
    assert_int_equal(c->drained_count, 3);
    assert_memory_equal(c->drained_ids, want, sizeof(want));
    assert_int_equal(c->counters.generations_draining, 0);
    assert_null(c->publisher.oldest);
    assert_null(c->publisher.newest);
    /* And the list is fit for more. */
    publisher_on_applied(&c->publisher, change(c, versions[3], NULL, 1));
    publisher_release(&c->publisher, versions[3]);
    assert_int_equal(c->drained_count, 4);
}

static void deinit_frees_what_is_draining(void **state)
{
    struct publisher_case *c = *state;
    struct version *one = build(c);
    (void)change(c, one, build(c), 1);
    publisher_deinit(&c->publisher);
    assert_null(c->publisher.oldest);
}

static int set_up(void **state)
{
    struct publisher_case *c = calloc(1, sizeof(*c));
    test_clock_init(&c->clock);
    c->loader = (struct loader){.root_path = "/",
                                .index_name = "index.html",
                                .clock = &c->clock.clock,
                                .counters = &c->counters};
    loader_init(&c->loader);
    c->publisher = (struct publisher){.loader = &c->loader,
                                      .clock = &c->clock.clock,
                                      .counters = &c->counters,
                                      .on_drained = on_drained,
                                      .drained_context = c};
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct publisher_case *c = *state;
    publisher_deinit(&c->publisher);
    loader_deinit(&c->loader);
    assert_int_equal(c->counters.open_files, 0);
    free(c);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(empty_generation_is_none),
        CASE(generation_drains_with_the_last_release),
        CASE(generation_drains_with_the_last_apply),
        CASE(generations_drain_out_of_order),
        CASE(deinit_frees_what_is_draining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
