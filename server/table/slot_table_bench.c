/* What the table costs a request and a change. Prints `name ns/op bytes/s n`. */
#include "server/table/slot_table.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/base/check.h"
#include "server/base/clock.h"

#define REPEATS 5

struct bench {
    struct slot_table *table;
    struct version *versions;
    char (*keys)[64];
    uint32_t *serials; /* by slot: of the last install */
    uint32_t mask;     /* of version numbers that are asked for */
};

typedef void (*bench_fn)(struct bench *bench, uint32_t number);

static void on_version(void *context, struct version *version)
{
    (void)context;
    (void)version;
}

static void *allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    ASSERT(memory != NULL);
    return memory;
}

/* A kernel that agrees at once. */
static void flush(struct bench *bench)
{
    struct slot_update updates[16];
    while (slot_table_has_updates(bench->table)) {
        uint32_t count = slot_table_take_updates(bench->table, updates, ARRAY_COUNT(updates));
        for (uint32_t i = 0; i < count; i++) {
            if (updates[i].fd >= 0) {
                bench->serials[updates[i].slot_index] = updates[i].serial;
            }
            slot_table_on_updated(bench->table, &updates[i], true);
        }
    }
}

/* A table that holds `version_count` (a power of two) versions, the first with a short key. */
static void
start(struct bench *bench, uint32_t version_count, uint32_t slot_count, bool is_registered)
{
    *bench = (struct bench){
        .versions = allocate(version_count, sizeof(struct version)),
        .keys = allocate(version_count, sizeof(*bench->keys)),
        .mask = version_count - 1,
    };
    bench->serials = allocate(slot_count, sizeof(*bench->serials));
    const struct slot_table_config config = {
        .slot_count = slot_count,
        .is_registered = is_registered,
        .hash_seed = 42,
        .on_evicted = on_version,
        .on_released = on_version,
    };
    ASSERT(slot_table_create(&config, &bench->table) == 0);
    for (uint32_t i = 0; i < version_count; i++) {
        const char *format = i == 0 ? "index.html" : "static/assets/page-%u.html";
        (void)snprintf(bench->keys[i], sizeof(bench->keys[i]), format, i);
        bench->versions[i] =
            (struct version){.key = span_of_string(bench->keys[i]), .fd = (int)(i + 3)};
        ASSERT(slot_table_publish(bench->table, &bench->versions[i]) != SLOT_NONE);
        flush(bench);
    }
}

static void stop(struct bench *bench)
{
    slot_table_destroy(bench->table);
    free(bench->versions);
    free(bench->keys);
    free(bench->serials);
}

static void find_one(struct bench *bench, uint32_t number)
{
    struct span key = bench->versions[number & bench->mask].key;
    ASSERT(slot_table_find(bench->table, key) != SLOT_NONE);
}

static void find_missing(struct bench *bench, uint32_t number)
{
    struct span key = bench->versions[number & bench->mask].key;
    ASSERT(slot_table_find(bench->table, span_skip(key, 1)) == SLOT_NONE);
}

/* What a request pays: find, use, and the end of use. */
static void use_one(struct bench *bench, uint32_t number)
{
    struct span key = bench->versions[number & bench->mask].key;
    uint32_t slot_index = slot_table_find(bench->table, key);
    slot_table_acquire(bench->table, slot_index);
    ASSERT(slot_table_is_installed(bench->table, slot_index));
    slot_table_release(bench->table, slot_index);
}

/* A change, from publish to the old version's tag. */
static void replace_one(struct bench *bench, uint32_t number)
{
    struct version *version = &bench->versions[number & bench->mask];
    uint32_t old_index = slot_table_find(bench->table, version->key);
    uint32_t old_serial = bench->serials[old_index];
    ASSERT(slot_table_publish(bench->table, version) != SLOT_NONE);
    flush(bench);
    slot_table_on_tag(bench->table, old_index, old_serial);
}

/* A miss that ends in a full table: the new path is published, and a cold one evicted. */
static void evict_one(struct bench *bench, uint32_t number)
{
    struct version *version = &bench->versions[number & bench->mask];
    if (slot_table_find(bench->table, version->key) == SLOT_NONE) {
        ASSERT(slot_table_publish(bench->table, version) != SLOT_NONE);
    }
}

/* The best of some runs: the machine's noise only adds. */
static void measure(const char *name, struct bench *bench, bench_fn run, uint32_t count)
{
    const struct clock *clock = clock_system();
    uint64_t best_ns = UINT64_MAX;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start_ns = clock_monotonic_ns(clock);
        uint32_t number = 0;
        for (uint32_t i = 0; i < count; i++) {
            run(bench, number);
            number = number * 1664525 + 1013904223; /* low bits go through every value */
        }
        uint64_t ns = clock_monotonic_ns(clock) - start_ns;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    printf("%-28s %8.1f ns/op %12s %u\n", name, (double)best_ns / count, "-", count);
}

static void measure_finds(uint32_t version_count)
{
    struct bench bench;
    char name[64];
    start(&bench, version_count, 2 * version_count, true);
    (void)snprintf(name, sizeof(name), "find_among_%u", version_count);
    measure(name, &bench, find_one, 2000000);
    stop(&bench);
}

int main(void)
{
    struct bench bench;
    start(&bench, 4096, 8192, true);
    uint32_t all = bench.mask;
    bench.mask = 0;
    measure("find_hot", &bench, find_one, 20000000);
    measure("find_acquire_release_hot", &bench, use_one, 20000000);
    bench.mask = all;
    measure("find_missing_among_4096", &bench, find_missing, 4000000);
    measure("replace_among_4096", &bench, replace_one, 1000000);
    stop(&bench);

    measure_finds(64);
    measure_finds(4096);
    measure_finds(1 << 16);
    measure_finds(1 << 19);

    start(&bench, 4096, 2048, false);
    measure("find_or_evict_half_of_4096", &bench, evict_one, 1000000);
    stop(&bench);
    return 0;
}
