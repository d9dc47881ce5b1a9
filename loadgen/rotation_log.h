/*
 * What the rotator did, as the verifying threads need it: for each file, which version was put in
 * place when, and which ETag a server gave it. From that follows whether an answer was fresh.
 *
 * One thread (the rotator's) writes versions; any number of threads read, and note ETags, without
 * locks. A file remembers its last ROTATION_DEPTH_MAX versions (fewer when there are many files).
 * Knows no files and no clock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROTATION_DEPTH_MAX 4096
#define ROTATION_DEPTH_MIN 64
/* All files together remember about so many versions: 48 bytes each, touched as they are used. */
#define ROTATION_ENTRIES_MAX (1U << 20)
/* An ETag is compared with those of so many versions before and after. */
#define ROTATION_NEIGHBOURS 32

/* When a version took its path. */
struct rename_times {
    uint64_t before_ns; /* monotonic, just before rename(2) */
    uint64_t after_ns;  /* just after it; UINT64_MAX as long as it has not returned */
};

enum freshness {
    FRESHNESS_LEGAL,  /* current at some instant between request and first byte */
    FRESHNESS_STALE,  /* replaced before the request was sent */
    FRESHNESS_FUTURE, /* not yet in place, or never made at all */
};

/**
 * The rule: an answer is legal if its version was current at some instant in [sent, first byte].
 *
 * own            of the answer's version; NULL: no such version was ever made
 * next           of the version after it; NULL: there is none
 * ret_stale_ns   set when STALE: how long before the first byte the version had been replaced
 * Pure.
 */
enum freshness freshness_judge(uint64_t sent_ns,
                               uint64_t first_byte_ns,
                               const struct rename_times *own,
                               const struct rename_times *next,
                               uint64_t *ret_stale_ns);

struct rotation_file;

struct rotation_log {
    uint64_t seed; /* of all the versions in it */
    struct rotation_file *files;
    uint32_t file_count;
    uint32_t depth; /* versions remembered of each file, a power of two */
    void *entries;  /* file_count * depth */
    size_t entries_bytes;
};

/** returns   0 or -ENOMEM */
[[gnu::warn_unused_result]] int
rotation_log_init(struct rotation_log *log, uint64_t seed, uint32_t file_count);
void rotation_log_deinit(struct rotation_log *log);

/** Rotator: version `number`, any at first and then one more, is about to take its path. */
void rotation_log_announce(struct rotation_log *log,
                           uint32_t file_index,
                           uint64_t number,
                           uint64_t before_ns);

/** Rotator: the version announced last is in place. */
void rotation_log_confirm(struct rotation_log *log, uint32_t file_index, uint64_t after_ns);

/** Rotator: the version announced last did not take its path (rename failed). */
void rotation_log_withdraw(struct rotation_log *log, uint32_t file_index);

/** The newest version announced, 0 when none was. Any thread. */
uint64_t rotation_log_newest(const struct rotation_log *log, uint32_t file_index);

/**
 * Judges an answer of version `number`; see freshness_judge(). Any thread.
 *
 * A version from before the log began (0, or a smaller number than the log's first) is one that the
 * log's first replaced. One that the log has forgotten is judged by the oldest it remembers: late,
 * never wrongly.
 */
enum freshness rotation_log_judge(const struct rotation_log *log,
                                  uint32_t file_index,
                                  uint64_t number,
                                  uint64_t sent_ns,
                                  uint64_t first_byte_ns,
                                  uint64_t *ret_stale_ns);

/* What an answer's validators say beside those of other answers. */
enum validator_finding {
    VALIDATOR_SOUND,
    VALIDATOR_CHANGED, /* another answer of the same version had another ETag or Last-Modified */
    VALIDATOR_SHARED,  /* another version of the path has the same ETag */
};

/**
 * Notes which validators an answer of version `number` had. Any thread.
 *
 * etag_hash, modified_hash   hashes of the fields' values; 0: the answer had none
 */
enum validator_finding rotation_log_note_validators(struct rotation_log *log,
                                                    uint32_t file_index,
                                                    uint64_t number,
                                                    uint64_t etag_hash,
                                                    uint64_t modified_hash);
