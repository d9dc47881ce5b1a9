/*
 * What the catalog costs: loads of a path three directories deep, and taking in a thousand
 * replaced files. One line a case: name, nanoseconds an operation, bytes a second, operations.
 */
#include "server/catalog/catalog.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/base/check.h"
#include "server/catalog/worker_fixture.h"

#define FILES     1000
#define LOADS     20000
#define ROTATIONS 20
#define DEEP      "one/two/three/a.html"

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_system());
}

static void report(const char *name, uint64_t ns, uint64_t operations)
{
    printf("%-32s %10.1f ns/op %12.0f bytes/s %8" PRIu64 "\n", name,
           (double)ns / (double)operations, 0.0, operations);
}

static struct sim *start(uint64_t memory_body_bytes)
{
    struct sim *sim = sim_create();
    tree_mkdir(&sim->tree, "root/one");
    tree_mkdir(&sim->tree, "root/one/two");
    tree_mkdir(&sim->tree, "root/one/two/three");
    tree_write(&sim->tree, "root/" DEEP, "a body of some bytes");
    sim_start(sim, &(struct sim_options){.memory_body_bytes = memory_body_bytes,
                                         .memory_total_bytes = UINT64_C(1) << 30});
    return sim;
}

static void release(struct sim *sim, struct version *version, bool is_evicted)
{
    if (is_evicted) {
        catalog_on_evicted(sim->catalog, 0, version);
    }
    catalog_on_released(sim->catalog, version);
}

/* Loaded, evicted, and loaded anew: nothing is cached but watches that have just become idle. */
static void bench_load_cold(const char *name, uint64_t memory_body_bytes)
{
    struct sim *sim = start(memory_body_bytes);
    struct generation *generation = NULL;
    const uint64_t start_ns = now_ns();
    for (unsigned i = 0; i < LOADS; i++) {
        const struct catalog_answer answer = catalog_load(sim->catalog, 0, SPAN(DEEP), &generation);
        ASSERT(answer.version != NULL);
        release(sim, answer.version, true);
    }
    report(name, now_ns() - start_ns, LOADS);
    sim_stop(sim);
    sim_destroy(sim);
}

/* Cached, and asked for again: walked, found to be the same. */
static void bench_load_again(void)
{
    struct sim *sim = start(0);
    struct generation *generation = NULL;
    const struct catalog_answer answer = catalog_load(sim->catalog, 0, SPAN(DEEP), &generation);
    const uint64_t start_ns = now_ns();
    for (unsigned i = 0; i < LOADS; i++) {
        ASSERT(catalog_load(sim->catalog, 0, SPAN(DEEP), &generation).status == 200);
    }
    report("load_again_depth_3", now_ns() - start_ns, LOADS);
    release(sim, answer.version, true);
    sim_stop(sim);
    sim_destroy(sim);
}

static void bench_load_missing(void)
{
    struct sim *sim = start(0);
    struct generation *generation = NULL;
    const uint64_t start_ns = now_ns();
    for (unsigned i = 0; i < LOADS; i++) {
        ASSERT(catalog_load(sim->catalog, 0, SPAN("one/two/three/none"), &generation).status ==
               404);
    }
    report("load_404_depth_3", now_ns() - start_ns, LOADS);
    sim_stop(sim);
    sim_destroy(sim);
}

static void replace_all(struct sim *sim, unsigned rotation)
{
    char path[64];
    char body[64];
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(path, sizeof(path), "root/one/two/three/%u.html", i);
        (void)snprintf(body, sizeof(body), "file %u of rotation %u", i, rotation);
        tree_replace(&sim->tree, path, body);
    }
}

static void bench_take(const char *name, uint64_t memory_body_bytes)
{
    struct sim *sim = start(memory_body_bytes);
    char key[64];
    uint64_t total_ns = 0;
    replace_all(sim, 0);
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(key, sizeof(key), "one/two/three/%u.html", i);
        ASSERT(sim_status(sim, 0, key) == 200);
    }
    for (unsigned rotation = 1; rotation <= ROTATIONS; rotation++) {
        replace_all(sim, rotation);
        const uint64_t start_ns = now_ns();
        const uint32_t changes = sim_take(sim);
        total_ns += now_ns() - start_ns;
        ASSERT(changes == FILES);
        sim_settle(sim);
    }
    report(name, total_ns, ROTATIONS);
    sim_stop(sim);
    sim_destroy(sim);
}

static void bench_flip(void)
{
    struct sim *sim = sim_create();
    char path[64];
    char key[32];
    tree_mkdir(&sim->tree, "1");
    tree_mkdir(&sim->tree, "2");
    tree_symlink(&sim->tree, "1", "current");
    for (unsigned i = 0; i < 2 * FILES; i++) {
        (void)snprintf(path, sizeof(path), "%u/%u.html", 1 + i % 2, i / 2);
        tree_write(&sim->tree, path, "a body of some bytes");
    }
    sim_start(sim, &(struct sim_options){.root = "current"});
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(key, sizeof(key), "%u.html", i);
        ASSERT(sim_status(sim, 0, key) == 200);
    }
    uint64_t total_ns = 0;
    for (unsigned rotation = 1; rotation <= ROTATIONS; rotation++) {
        tree_flip(&sim->tree, rotation % 2 == 0 ? "1" : "2", "current");
        const uint64_t start_ns = now_ns();
        const uint32_t changes = sim_take(sim);
        total_ns += now_ns() - start_ns;
        ASSERT(changes == FILES);
        sim_settle(sim);
    }
    report("take_flip_1000_files", total_ns, ROTATIONS);
    sim_stop(sim);
    sim_destroy(sim);
}

int main(void)
{
    bench_load_cold("load_cold_depth_3_file", 0);
    bench_load_cold("load_cold_depth_3_memory", 4096);
    bench_load_again();
    bench_load_missing();
    bench_take("take_1000_replaced_file", 0);
    bench_take("take_1000_replaced_memory", 4096);
    bench_flip();
    return 0;
}
