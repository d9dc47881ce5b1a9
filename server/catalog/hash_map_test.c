/* The hash map against a plain array, through growth, removal and equal hashes. */
#include "server/catalog/hash_map.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/fault.h"

#define NODES 3000

struct item {
    struct hash_node node;
    bool is_in;
};

static size_t count_of(const struct hash_map *map, uint64_t hash)
{
    size_t count = 0;
    for (struct hash_node *node = hash_map_first(map, hash); node != NULL;
         node = hash_map_next(node)) {
        assert_int_equal(node->hash, hash);
        count++;
    }
    return count;
}

static void check_all(const struct hash_map *map, const struct item *items, uint64_t hash_count)
{
    size_t in_count = 0;
    for (uint64_t hash = 0; hash < hash_count; hash++) {
        size_t want = 0;
        for (size_t i = hash; i < NODES; i += hash_count) {
            want += items[i].is_in ? 1 : 0;
        }
        assert_int_equal(count_of(map, hash), want);
        in_count += want;
    }
    assert_int_equal(map->node_count, in_count);
}

/* Item i has the hash i % hash_count. */
static void run(uint64_t hash_count)
{
    struct item *items = calloc(NODES, sizeof(*items));
    struct hash_map map;
    unsigned short random[3] = {1, 2, (unsigned short)hash_count};
    assert_int_equal(hash_map_init(&map), 0);
    for (unsigned step = 0; step < 4 * NODES; step++) {
        const size_t i = (size_t)nrand48(random) % NODES;
        if (items[i].is_in) {
            hash_map_remove(&map, &items[i].node);
        } else {
            hash_map_insert(&map, &items[i].node, i % hash_count);
        }
        items[i].is_in = !items[i].is_in;
    }
    check_all(&map, items, hash_count);
    hash_map_deinit(&map);
    free(items);
}

static void nodes_are_found_by_their_hash(void **state)
{
    (void)state;
    run(NODES);
    run(7);
    run(1);
}

#ifdef TURNTABLE_FAULT_POINTS
static void map_that_cannot_grow_still_finds(void **state)
{
    (void)state;
    struct item *items = calloc(NODES, sizeof(*items));
    struct hash_map map;
    assert_int_equal(hash_map_init(&map), 0);
    const size_t bucket_count = map.bucket_count;
    fault_arm("catalog_alloc", 0, UINT64_MAX, ENOMEM);
    for (size_t i = 0; i < NODES; i++) {
        hash_map_insert(&map, &items[i].node, i);
        items[i].is_in = true;
    }
    fault_disarm_all();
    assert_int_equal(map.bucket_count, bucket_count);
    check_all(&map, items, NODES);
    hash_map_deinit(&map);
    free(items);
}

static void init_reports_that_there_is_no_memory(void **state)
{
    (void)state;
    struct hash_map map = {0};
    fault_arm("catalog_alloc", 0, 1, ENOMEM);
    assert_int_equal(hash_map_init(&map), -ENOMEM);
    fault_disarm_all();
    hash_map_deinit(&map);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_found_by_their_hash),
#ifdef TURNTABLE_FAULT_POINTS
        cmocka_unit_test(map_that_cannot_grow_still_finds),
        cmocka_unit_test(init_reports_that_there_is_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
