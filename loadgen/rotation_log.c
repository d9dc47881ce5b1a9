#include "loadgen/rotation_log.h"

#include <errno.h>
#include <stdatomic.h>

#include "server/base/alloc.h"
#include "server/base/check.h"

/*
 * Written like a seqlock: `number` is 0 while the rest changes. The fields are stored with release
 * and loaded with acquire, so whoever saw a new field also sees that `number` moved.
 */
struct rotation_entry {
    _Atomic uint64_t number; /* 0: none */
    _Atomic uint64_t before_ns;
    _Atomic uint64_t after_ns;
    _Atomic uint64_t etag_hash; /* 0: none seen yet; set once, by the first thread that sees one */
    _Atomic uint64_t modified_hash;
    _Atomic uint64_t is_etag_shared; /* another version has it too */
};

struct rotation_file {
    struct rotation_entry *entries;
    _Atomic uint64_t newest;
    _Atomic uint64_t first; /* set with the first version, 0 before */
};

enum freshness freshness_judge(uint64_t sent_ns,
                               uint64_t first_byte_ns,
                               const struct rename_times *own,
                               const struct rename_times *next,
                               uint64_t *ret_stale_ns)
{
    if (own == NULL || own->before_ns > first_byte_ns) {
        return FRESHNESS_FUTURE;
    }
    if (next == NULL || next->after_ns >= sent_ns) {
        return FRESHNESS_LEGAL;
    }
    *ret_stale_ns = first_byte_ns - next->after_ns;
    return FRESHNESS_STALE;
}

static uint32_t choose_depth(uint32_t file_count)
{
    uint32_t depth = ROTATION_DEPTH_MAX;
    while (depth > ROTATION_DEPTH_MIN && (uint64_t)depth * file_count > ROTATION_ENTRIES_MAX) {
        depth /= 2;
    }
    return depth;
}

static_assert(ROTATION_DEPTH_MIN >= 2 * ROTATION_NEIGHBOURS, "neighbours are remembered");

int rotation_log_init(struct rotation_log *log, uint64_t seed, uint32_t file_count)
{
    ASSERT(file_count > 0);
    *log = (struct rotation_log){
        .seed = seed,
        .file_count = file_count,
        .depth = choose_depth(file_count),
    };
    log->files = alloc_zeroed(file_count, sizeof(struct rotation_file));
    if (log->files == NULL) {
        return -ENOMEM;
    }
    log->entries_bytes = (size_t)file_count * log->depth * sizeof(struct rotation_entry);
    log->entries = alloc_map(log->entries_bytes);
    if (log->entries == NULL) {
        rotation_log_deinit(log);
        return -ENOMEM;
    }
    struct rotation_entry *entries = log->entries;
    for (uint32_t i = 0; i < file_count; i++) {
        log->files[i].entries = entries + (size_t)i * log->depth;
    }
    return 0;
}

static struct rotation_entry *
entry_of(const struct rotation_log *log, uint32_t file_index, uint64_t number)
{
    ASSERT(file_index < log->file_count);
    return &log->files[file_index].entries[number & (log->depth - 1)];
}

void rotation_log_announce(struct rotation_log *log,
                           uint32_t file_index,
                           uint64_t number,
                           uint64_t before_ns)
{
    ASSERT(number > 0);
    struct rotation_file *file = &log->files[file_index];
    uint64_t newest = atomic_load_explicit(&file->newest, memory_order_relaxed);
    struct rotation_entry *entry = entry_of(log, file_index, number);
    atomic_store_explicit(&entry->number, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->before_ns, before_ns, memory_order_release);
    atomic_store_explicit(&entry->after_ns, UINT64_MAX, memory_order_release);
    atomic_store_explicit(&entry->etag_hash, 0, memory_order_release);
    atomic_store_explicit(&entry->modified_hash, 0, memory_order_release);
    atomic_store_explicit(&entry->is_etag_shared, 0, memory_order_release);
    atomic_store_explicit(&entry->number, number, memory_order_release);
    if (newest == 0) {
        atomic_store_explicit(&file->first, number, memory_order_release);
    } else {
        ASSERT(number == newest + 1);
    }
    atomic_store_explicit(&file->newest, number, memory_order_release);
}

void rotation_log_confirm(struct rotation_log *log, uint32_t file_index, uint64_t after_ns)
{
    uint64_t newest = rotation_log_newest(log, file_index);
    struct rotation_entry *entry = entry_of(log, file_index, newest);
    atomic_store_explicit(&entry->after_ns, after_ns, memory_order_release);
}

void rotation_log_withdraw(struct rotation_log *log, uint32_t file_index)
{
    struct rotation_file *file = &log->files[file_index];
    uint64_t newest = rotation_log_newest(log, file_index);
    bool is_first = newest == atomic_load_explicit(&file->first, memory_order_relaxed);
    atomic_store_explicit(&file->newest, is_first ? 0 : newest - 1, memory_order_release);
    struct rotation_entry *entry = entry_of(log, file_index, newest);
    atomic_store_explicit(&entry->number, 0, memory_order_release);
}

uint64_t rotation_log_newest(const struct rotation_log *log, uint32_t file_index)
{
    ASSERT(file_index < log->file_count);
    return atomic_load_explicit(&log->files[file_index].newest, memory_order_acquire);
}

/* False when the log has forgotten the version. */
static bool find_times(const struct rotation_log *log,
                       uint32_t file_index,
                       uint64_t number,
                       struct rename_times *ret_times)
{
    struct rotation_entry *entry = entry_of(log, file_index, number);
    if (atomic_load_explicit(&entry->number, memory_order_acquire) != number) {
        return false;
    }
    ret_times->before_ns = atomic_load_explicit(&entry->before_ns, memory_order_acquire);
    ret_times->after_ns = atomic_load_explicit(&entry->after_ns, memory_order_acquire);
    return atomic_load_explicit(&entry->number, memory_order_acquire) == number;
}

/* When the version after `number` was in place, at the latest; false when nothing is known. */
static bool find_next_times(const struct rotation_log *log,
                            uint32_t file_index,
                            uint64_t number,
                            uint64_t newest,
                            struct rename_times *ret_times)
{
    uint64_t first = atomic_load_explicit(&log->files[file_index].first, memory_order_acquire);
    uint64_t next = number + 1 > first ? number + 1 : first;
    if (find_times(log, file_index, next, ret_times)) {
        return true;
    }
    /* Forgotten: whatever is remembered came after it. The very oldest may be going just now. */
    uint64_t oldest = newest - log->depth + 2;
    if (!find_times(log, file_index, oldest, ret_times)) {
        return false;
    }
    ret_times->after_ns = ret_times->before_ns;
    return true;
}

enum freshness rotation_log_judge(const struct rotation_log *log,
                                  uint32_t file_index,
                                  uint64_t number,
                                  uint64_t sent_ns,
                                  uint64_t first_byte_ns,
                                  uint64_t *ret_stale_ns)
{
    uint64_t newest = rotation_log_newest(log, file_index);
    if (number > newest || newest == 0) {
        return freshness_judge(sent_ns, first_byte_ns, NULL, NULL, ret_stale_ns);
    }
    struct rename_times own;
    if (number == 0 || !find_times(log, file_index, number, &own)) {
        own = (struct rename_times){0}; /* long ago */
    }
    struct rename_times next;
    bool has_next = number < newest && find_next_times(log, file_index, number, newest, &next);
    return freshness_judge(sent_ns, first_byte_ns, &own, has_next ? &next : NULL, ret_stale_ns);
}

/* Whether a version near `number` has this ETag too. */
static bool is_etag_of_neighbour(const struct rotation_log *log,
                                 uint32_t file_index,
                                 uint64_t number,
                                 uint64_t etag_hash)
{
    uint64_t begin = number > ROTATION_NEIGHBOURS ? number - ROTATION_NEIGHBOURS : 1;
    for (uint64_t other = begin; other <= number + ROTATION_NEIGHBOURS; other++) {
        struct rotation_entry *entry = entry_of(log, file_index, other);
        if (other != number && atomic_load(&entry->etag_hash) == etag_hash &&
            atomic_load(&entry->number) == other) {
            return true;
        }
    }
    return false;
}

/* True when `hash` is what the entry has, now or before. */
static bool note_hash(struct rotation_entry *entry,
                      uint64_t number,
                      _Atomic uint64_t *noted,
                      uint64_t hash,
                      bool *ret_is_first)
{
    uint64_t before = 0;
    *ret_is_first = atomic_compare_exchange_strong(noted, &before, hash);
    if (!*ret_is_first || atomic_load(&entry->number) == number) {
        return *ret_is_first || before == hash;
    }
    /* The entry went to a newer version under our hands: take back what is not that one's. */
    (void)atomic_compare_exchange_strong(noted, &hash, 0);
    *ret_is_first = false;
    return true;
}

enum validator_finding rotation_log_note_validators(struct rotation_log *log,
                                                    uint32_t file_index,
                                                    uint64_t number,
                                                    uint64_t etag_hash,
                                                    uint64_t modified_hash)
{
    struct rotation_entry *entry = entry_of(log, file_index, number);
    if (number == 0 || atomic_load(&entry->number) != number) {
        return VALIDATOR_SOUND; /* forgotten, or from before the log: nothing to compare with */
    }
    bool is_first;
    if (modified_hash != 0 &&
        !note_hash(entry, number, &entry->modified_hash, modified_hash, &is_first)) {
        return VALIDATOR_CHANGED;
    }
    if (etag_hash == 0) {
        return VALIDATOR_SOUND;
    }
    if (!note_hash(entry, number, &entry->etag_hash, etag_hash, &is_first)) {
        return VALIDATOR_CHANGED;
    }
    if (is_first && is_etag_of_neighbour(log, file_index, number, etag_hash)) {
        atomic_store(&entry->is_etag_shared, 1);
    }
    return atomic_load(&entry->is_etag_shared) != 0 ? VALIDATOR_SHARED : VALIDATOR_SOUND;
}

void rotation_log_deinit(struct rotation_log *log)
{
    alloc_unmap(log->entries, log->entries_bytes);
    alloc_free(log->files);
    *log = (struct rotation_log){0};
}
