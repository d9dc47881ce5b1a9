/*
 * A table with versions to put into it and a record of its callbacks, for the unit tests. The
 * kernel is the test itself. One thread, one table at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/table/slot_table.h"

#define FIXTURE_VERSIONS_MAX 8192

struct fixture {
    struct slot_table *table;
    struct version *versions; /* FIXTURE_VERSIONS_MAX, used from the front */
    char (*keys)[24];
    uint32_t version_count;
    uint32_t evicted_count;
    uint32_t released_count;
    char events[1024]; /* "evicted a, released a, "; stays empty while `is_quiet` */
    char taken_events[1024];
    bool is_quiet;
};

void fixture_start(struct fixture *fixture, uint32_t slot_count, bool is_registered);
void fixture_stop(struct fixture *fixture);

/** A new version of `key`; fd is distinct and >= 0, or -1 when `is_memory`. */
struct version *fixture_version(struct fixture *fixture, const char *key, bool is_memory);

/** Publishes a new version of `key` with a descriptor. */
uint32_t fixture_publish(struct fixture *fixture, const char *key);

uint32_t fixture_find(struct fixture *fixture, const char *key);
bool fixture_retire(struct fixture *fixture, const char *key);

/** Takes what must be the only queued update. */
struct slot_update fixture_take(struct fixture *fixture);

/** Takes every queued update and reports it as done. */
void fixture_flush(struct fixture *fixture);

/** Publishes and installs; ret_serial: what its tag will say. */
uint32_t fixture_install(struct fixture *fixture, const char *key, uint32_t *ret_serial);

/** Publishes keys "0".."count-1" in this order, flushing after each. */
void fixture_fill(struct fixture *fixture, uint32_t count);

/** The events since the last call, which stay until the next. Verifies the table, too. */
const char *fixture_events(struct fixture *fixture);
