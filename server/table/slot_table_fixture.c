#include "server/table/slot_table_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/check.h"

static void record(struct fixture *fixture, const char *event, const struct version *version)
{
    if (fixture->is_quiet) {
        return;
    }
    size_t bytes = strlen(fixture->events);
    size_t room = sizeof(fixture->events) - bytes;
    int written = snprintf(fixture->events + bytes, room, "%s %.*s, ", event,
                           (int)version->key.bytes, (const char *)version->key.ptr);
    ASSERT((size_t)written < room);
}

static void on_evicted(void *context, struct version *version)
{
    struct fixture *fixture = context;
    fixture->evicted_count++;
    record(fixture, "evicted", version);
}

static void on_released(void *context, struct version *version)
{
    struct fixture *fixture = context;
    fixture->released_count++;
    record(fixture, "released", version);
}

void fixture_start(struct fixture *fixture, uint32_t slot_count, bool is_registered)
{
    *fixture = (struct fixture){
        .versions = calloc(FIXTURE_VERSIONS_MAX, sizeof(struct version)),
        .keys = calloc(FIXTURE_VERSIONS_MAX, sizeof(*fixture->keys)),
    };
    ASSERT(fixture->versions != NULL);
    ASSERT(fixture->keys != NULL);
    const struct slot_table_config config = {
        .slot_count = slot_count,
        .is_registered = is_registered,
        .hash_seed = 42,
        .context = fixture,
        .on_evicted = on_evicted,
        .on_released = on_released,
    };
    ASSERT(slot_table_create(&config, &fixture->table) == 0);
}

void fixture_stop(struct fixture *fixture)
{
    slot_table_verify(fixture->table);
    slot_table_destroy(fixture->table);
    free(fixture->versions);
    free(fixture->keys);
}

struct version *fixture_version(struct fixture *fixture, const char *key, bool is_memory)
{
    uint32_t i = fixture->version_count++;
    ASSERT(i < FIXTURE_VERSIONS_MAX);
    (void)snprintf(fixture->keys[i], sizeof(fixture->keys[i]), "%s", key);
    fixture->versions[i] = (struct version){
        .key = span_of_string(fixture->keys[i]),
        .fd = is_memory ? -1 : (int)i,
    };
    return &fixture->versions[i];
}

uint32_t fixture_publish(struct fixture *fixture, const char *key)
{
    return slot_table_publish(fixture->table, fixture_version(fixture, key, false));
}

uint32_t fixture_find(struct fixture *fixture, const char *key)
{
    return slot_table_find(fixture->table, span_of_string(key));
}

bool fixture_retire(struct fixture *fixture, const char *key)
{
    return slot_table_retire(fixture->table, span_of_string(key));
}

struct slot_update fixture_take(struct fixture *fixture)
{
    struct slot_update updates[2];
    ASSERT(slot_table_take_updates(fixture->table, updates, 2) == 1);
    return updates[0];
}

void fixture_flush(struct fixture *fixture)
{
    struct slot_update updates[3];
    while (slot_table_has_updates(fixture->table)) {
        uint32_t count = slot_table_take_updates(fixture->table, updates, 3);
        for (uint32_t i = 0; i < count; i++) {
            slot_table_on_updated(fixture->table, &updates[i], true);
        }
    }
}

uint32_t fixture_install(struct fixture *fixture, const char *key, uint32_t *ret_serial)
{
    uint32_t slot_index = fixture_publish(fixture, key);
    struct slot_update update = fixture_take(fixture);
    ASSERT(update.slot_index == slot_index);
    slot_table_on_updated(fixture->table, &update, true);
    ASSERT(slot_table_is_installed(fixture->table, slot_index));
    *ret_serial = update.serial;
    return slot_index;
}

void fixture_fill(struct fixture *fixture, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char key[24];
        (void)snprintf(key, sizeof(key), "%u", i);
        ASSERT(fixture_publish(fixture, key) != SLOT_NONE);
        fixture_flush(fixture);
    }
}

const char *fixture_events(struct fixture *fixture)
{
    slot_table_verify(fixture->table);
    memcpy(fixture->taken_events, fixture->events, sizeof(fixture->events));
    fixture->events[0] = '\0';
    return fixture->taken_events;
}
