#include "server/table/path_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/table/slot.h"

#define SLOTS_MAX 64

/* A map over slots 0..SLOTS_MAX-1; slot i is given a key when it is put into the map. */
struct fixture {
    struct path_map map;
    struct slot slots[SLOTS_MAX];
    struct version versions[SLOTS_MAX];
    uint32_t key_count;
};

static void start(struct fixture *fixture, uint32_t slot_count)
{
    *fixture = (struct fixture){0};
    assert_int_equal(path_map_init(&fixture->map, fixture->slots, slot_count, 42), 0);
}

static void put(struct fixture *fixture, uint32_t slot_index, struct span key)
{
    uint32_t hash = path_map_hash(&fixture->map, key);
    fixture->versions[slot_index].key = key;
    fixture->slots[slot_index] =
        (struct slot){.state = SLOT_LIVE, .hash = hash, .version = &fixture->versions[slot_index]};
    path_map_insert(&fixture->map, hash, slot_index);
    path_map_verify(&fixture->map, ++fixture->key_count);
}

static uint32_t find(const struct fixture *fixture, struct span key)
{
    return path_map_find(&fixture->map, path_map_hash(&fixture->map, key), key);
}

static void drop(struct fixture *fixture, uint32_t slot_index)
{
    struct slot *slot = &fixture->slots[slot_index];
    path_map_remove(&fixture->map, slot->hash, slot_index);
    assert_int_equal(find(fixture, slot->version->key), SLOT_NONE);
    *slot = (struct slot){0};
    path_map_verify(&fixture->map, --fixture->key_count);
}

static void map_has_two_cells_a_slot_in_a_power_of_two(void **state)
{
    (void)state;
    static const struct {
        uint32_t slot_count;
        uint32_t want_cells;
    } cases[] = {{1, 2}, {2, 4}, {3, 8}, {4, 8}, {5, 16}, {4096, 8192}, {1 << 20, 1 << 21}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct path_map map;
        assert_int_equal(path_map_init(&map, NULL, cases[i].slot_count, 1), 0);
        assert_int_equal(map.mask + 1, cases[i].want_cells);
        path_map_deinit(&map);
    }
}

static void find_compares_whole_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"", "a", "a/", "a/b", "a/b.html", "a/b.htm", "A"};
    struct fixture f;
    start(&f, 7);
    for (uint32_t i = 0; i < ARRAY_COUNT(keys); i++) {
        assert_int_equal(find(&f, span_of_string(keys[i])), SLOT_NONE);
        put(&f, i, span_of_string(keys[i]));
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(keys); i++) {
        char *copy = strdup(keys[i]);
        assert_int_equal(find(&f, span_of_string(copy)), i);
        free(copy);
    }
    assert_int_equal(find(&f, SPAN("b")), SLOT_NONE);
    assert_int_equal(find(&f, SPAN("a\0")), SLOT_NONE);
    path_map_deinit(&f.map);
}

static void find_depends_on_the_seed(void **state)
{
    (void)state;
    struct path_map a;
    struct path_map b;
    assert_int_equal(path_map_init(&a, NULL, 1, 1), 0);
    assert_int_equal(path_map_init(&b, NULL, 1, 2), 0);
    assert_int_not_equal(path_map_hash(&a, SPAN("index.html")),
                         path_map_hash(&b, SPAN("index.html")));
    path_map_deinit(&a);
    path_map_deinit(&b);
}

static void replace_leads_to_the_new_slot(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 4);
    put(&f, 0, SPAN("a"));
    put(&f, 1, SPAN("b"));
    f.versions[2].key = SPAN("a");
    f.slots[2] = f.slots[0];
    f.slots[2].version = &f.versions[2];
    path_map_replace(&f.map, f.slots[0].hash, 0, 2);
    assert_int_equal(find(&f, SPAN("a")), 2);
    assert_int_equal(find(&f, SPAN("b")), 1);
    path_map_verify(&f.map, 2);
    path_map_deinit(&f.map);
}

/* Four keys whose home is the same cell `home`. */
static void keys_of_home(const struct path_map *map, uint32_t home, char keys[4][16])
{
    int count = 0;
    for (uint32_t number = 0; count < 4; number++) {
        (void)snprintf(keys[count], sizeof(keys[count]), "k%u", number);
        count += (path_map_hash(map, span_of_string(keys[count])) & map->mask) == home;
    }
}

static void remove_keeps_the_rest_of_a_cluster_in_any_order(void **state)
{
    (void)state;
    for (uint32_t order = 0; order < 4 * 4 * 4 * 4 * 8; order++) {
        struct fixture f;
        char keys[4][16];
        start(&f, 4); /* 8 cells: each home in turn, so that the cluster wraps around the end */
        keys_of_home(&f.map, order % 8, keys);
        for (uint32_t i = 0; i < 4; i++) {
            put(&f, i, span_of_string(keys[i]));
        }
        for (uint32_t rest = order / 8; rest != 0 && f.key_count > 0; rest /= 4) {
            if (f.slots[rest % 4].version != NULL) {
                drop(&f, rest % 4);
            }
        }
        path_map_deinit(&f.map);
    }
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Two numbers whose keys have all 32 bits of hash in common. */
static void find_equal_hashes(const struct path_map *map, char keys[2][16])
{
    const uint32_t count = 400000; /* about 18 pairs */
    uint64_t *hashes = calloc(count, sizeof(*hashes));
    assert_non_null(hashes);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(keys[0], sizeof(keys[0]), "k%u", i);
        hashes[i] = (uint64_t)path_map_hash(map, span_of_string(keys[0])) << 32 | i;
    }
    qsort(hashes, count, sizeof(*hashes), compare_hashes);
    uint32_t found = 0;
    while (found + 2 < count && hashes[found] >> 32 != hashes[found + 1] >> 32) {
        found++;
    }
    for (uint32_t i = 0; i < 2; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%u", (uint32_t)hashes[found + i]);
    }
    free(hashes);
}

static void find_tells_apart_keys_of_equal_hash(void **state)
{
    (void)state;
    struct fixture f;
    char keys[2][16];
    start(&f, 4);
    find_equal_hashes(&f.map, keys);
    struct span a = span_of_string(keys[0]);
    struct span b = span_of_string(keys[1]);
    assert_int_equal(path_map_hash(&f.map, a), path_map_hash(&f.map, b));
    assert_false(span_equal(a, b));
    put(&f, 0, a);
    assert_int_equal(find(&f, b), SLOT_NONE);
    put(&f, 1, b);
    assert_int_equal(find(&f, a), 0);
    assert_int_equal(find(&f, b), 1);
    drop(&f, 0);
    assert_int_equal(find(&f, b), 1);
    path_map_deinit(&f.map);
}

static void full_map_agrees_with_a_list(void **state)
{
    (void)state;
    struct fixture f;
    char keys[SLOTS_MAX][16];
    unsigned seed = 7;
    start(&f, SLOTS_MAX);
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "dir/%u", i);
    }
    for (int step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rand_r(&seed) % SLOTS_MAX;
        bool is_present = f.slots[i].version != NULL;
        assert_int_equal(find(&f, span_of_string(keys[i])), is_present ? i : SLOT_NONE);
        if (is_present && rand_r(&seed) % 8 != 0) { /* mostly full */
            continue;
        }
        if (is_present) {
            drop(&f, i);
        } else {
            put(&f, i, span_of_string(keys[i]));
        }
    }
    path_map_deinit(&f.map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_has_two_cells_a_slot_in_a_power_of_two),
        cmocka_unit_test(find_compares_whole_keys),
        cmocka_unit_test(find_depends_on_the_seed),
        cmocka_unit_test(replace_leads_to_the_new_slot),
        cmocka_unit_test(remove_keeps_the_rest_of_a_cluster_in_any_order),
        cmocka_unit_test(find_tells_apart_keys_of_equal_hash),
        cmocka_unit_test(full_map_agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
