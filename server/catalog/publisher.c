#include "server/catalog/publisher.h"

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/catalog/system.h"

void publisher_deinit(struct publisher *publisher)
{
    while (publisher->oldest != NULL) {
        struct generation *generation = publisher->oldest;
        publisher->oldest = generation->next;
        alloc_free(generation);
    }
    publisher->newest = NULL;
}

void publisher_acquire(struct version *version)
{
    ASSERT(version->reference_count > 0);
    version->reference_count++;
}

static void unlink_generation(struct publisher *publisher, const struct generation *generation)
{
    struct generation *previous = NULL;
    struct generation *at = publisher->oldest;
    while (at != generation) {
        ASSERT(at != NULL);
        previous = at;
        at = at->next;
    }
    if (previous == NULL) {
        publisher->oldest = generation->next;
    } else {
        previous->next = generation->next;
    }
    if (publisher->newest == generation) {
        publisher->newest = previous;
    }
}

static void link_generation(struct publisher *publisher, struct generation *generation)
{
    if (publisher->newest == NULL) {
        publisher->oldest = generation;
    } else {
        publisher->newest->next = generation;
    }
    publisher->newest = generation;
}

static void finish_if_drained(struct publisher *publisher, struct generation *generation)
{
    if (generation->unreleased_count > 0) {
        return;
    }
    ASSERT(generation->unapplied_count ==
           0); /* until then it names, and so holds, what it retired */
    const uint64_t drain_ns = clock_monotonic_ns(publisher->clock) - generation->noticed_ns;
    publisher->counters->generations_draining--;
    publisher->counters->generations_drained++;
    publisher->counters->drain_seconds_sum_ns += drain_ns;
    unlink_generation(publisher, generation);
    if (publisher->on_drained != NULL) {
        publisher->on_drained(publisher->drained_context, generation->id, drain_ns);
    }
    alloc_free(generation);
}

void publisher_release(struct publisher *publisher, struct version *version)
{
    ASSERT(version->reference_count > 0);
    version->reference_count--;
    if (version->reference_count > 0) {
        return;
    }
    ASSERT(version->entry == NULL);
    struct generation *generation = version->retired_by;
    loader_free(publisher->loader, version);
    if (generation != NULL) {
        publisher->counters->versions_released++;
        ASSERT(generation->unreleased_count > 0);
        generation->unreleased_count--;
        finish_if_drained(publisher, generation);
    }
}

struct generation *publisher_begin(uint32_t change_max)
{
    return system_alloc(sizeof(struct generation) + change_max * sizeof(struct change));
}

void publisher_change(struct publisher *publisher,
                      struct generation *generation,
                      struct version *retired,
                      struct version *version,
                      uint64_t holder_mask)
{
    ASSERT(holder_mask != 0);
    ASSERT(retired->retired_by == NULL);
    retired->retired_by = generation;
    retired->entry = NULL; /* its count stays: no longer the path's, but named by the generation */
    publisher->counters->versions_retired++;
    if (version != NULL) {
        version->reference_count += 1 + (uint32_t)__builtin_popcountll(holder_mask);
    }
    generation->changes[generation->change_count++] =
        (struct change){.retired = retired, .version = version, .holder_mask = holder_mask};
    generation->holder_mask |= holder_mask;
    generation->unreleased_count++;
}

struct generation *
publisher_publish(struct publisher *publisher, struct generation *generation, uint64_t noticed_ns)
{
    if (generation->change_count == 0) {
        alloc_free(generation);
        return NULL;
    }
    generation->id = ++publisher->counters->generation;
    generation->noticed_ns = noticed_ns;
    generation->unapplied_count = (uint32_t)__builtin_popcountll(generation->holder_mask);
    publisher->counters->generations_draining++;
    link_generation(publisher, generation);
    return generation;
}

void publisher_on_applied(struct publisher *publisher, struct generation *generation)
{
    ASSERT(generation->unapplied_count > 0);
    generation->unapplied_count--;
    if (generation->unapplied_count > 0) {
        return;
    }
    generation->unreleased_count++; /* so that it stays while it lets go */
    for (uint32_t i = 0; i < generation->change_count; i++) {
        struct change *change = &generation->changes[i];
        if (change->version != NULL) {
            publisher_release(publisher, change->version);
        }
        publisher_release(publisher, change->retired);
    }
    generation->unreleased_count--;
    finish_if_drained(publisher, generation);
}
