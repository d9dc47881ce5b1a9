/*
 * A worker's counters. One thread writes them, any thread reads them: relaxed atomics, so that a
 * reader sees each number whole, and the writer pays a plain add.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct worker_counters {
#define COUNTER(field, metric, label, help) _Atomic uint64_t field;
#define GAUGE(field, metric, label, help)   _Atomic uint64_t field;
#include "server/base/counters.def"
#undef COUNTER
#undef GAUGE
};

/** Adds to a counter. Writer's thread only. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}

/** Sets a gauge. Writer's thread only. */
static inline void counter_set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

/** Any thread. */
static inline uint64_t counter_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}
