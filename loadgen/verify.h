/*
 * The verdict over an answer's body: torn, truncated, stale, wrong, unverifiable, or good. Joins
 * what the bytes say (version_file), what the head says, and what the rotator did (rotation_log).
 *
 * Any thread; knows no connections.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loadgen/response_reader.h"
#include "loadgen/rotation_log.h"
#include "loadgen/tally.h"
#include "loadgen/version_file.h"
#include "server/base/span.h"

/* The path of a request is of no file that the rotator of this run makes. */
#define VERIFY_NO_FILE UINT32_MAX

struct verify_answer {
    struct span path;    /* as requested, for the report */
    uint64_t path_id;    /* version_path_id() of its last segment */
    uint32_t file_index; /* in the rotation log, or VERIFY_NO_FILE */
    bool is_cut;         /* the peer closed before the end of the body */
    const struct response_head *head;
    uint64_t sent_ns;
    uint64_t first_byte_ns;
};

/**
 * Judges a 200 whose body went through `check`; counts reasons, staleness and samples in `tally`,
 * but not the outcome itself.
 *
 * log       NULL without --rotate; its notes of ETags are written
 * returns   OUTCOME_GOOD or one of the "verify" group
 */
enum outcome verify_judge(struct rotation_log *log,
                          const struct version_check *check,
                          const struct verify_answer *answer,
                          struct tally *tally);
