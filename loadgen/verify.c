#include "loadgen/verify.h"

#include <inttypes.h>
#include <xxhash.h>

#include "server/base/check.h"

/* A torn body is looked for among so many versions before and after the one it begins with. */
#define TORN_REACH ROTATION_DEPTH_MAX

/* For "%.*s": an int of the path's bytes, then the bytes. */
#define SPAN_ARGS(span) (int)(span).bytes, (const char *)(span).ptr

static enum outcome
judge_wrong(struct tally *tally, enum wrong_reason reason, const struct verify_answer *answer)
{
    tally->wrong_reasons[reason]++;
    /* Only if the caller had nothing more precise to say. */
    tally_sample(tally, OUTCOME_WRONG, "%.*s: %s", SPAN_ARGS(answer->path),
                 wrong_reason_text(reason));
    return OUTCOME_WRONG;
}

static enum outcome judge_foreign(const struct version_check *check,
                                  const struct verify_answer *answer,
                                  struct tally *tally)
{
    if (answer->is_cut && check->bytes < VERSION_HEADER_BYTES) {
        tally_sample(tally, OUTCOME_TRUNCATED, "%.*s: closed after %" PRIu64 " bytes",
                     SPAN_ARGS(answer->path), check->bytes);
        return OUTCOME_TRUNCATED;
    }
    if (answer->file_index != VERIFY_NO_FILE) {
        bool is_empty = check->bytes == 0;
        return judge_wrong(tally, is_empty ? WRONG_LENGTH : WRONG_DAMAGED, answer);
    }
    tally_sample(tally, OUTCOME_UNVERIFIABLE, "%.*s", SPAN_ARGS(answer->path));
    return OUTCOME_UNVERIFIABLE;
}

static bool is_torn(const struct version_check *check)
{
    if (!check->has_label) {
        return false;
    }
    uint64_t number = check->label.number;
    uint64_t first = number > TORN_REACH ? number - TORN_REACH : 1;
    uint64_t last = number < UINT64_MAX - TORN_REACH ? number + TORN_REACH : number;
    return version_check_is_torn(check, first, last);
}

static enum outcome judge_torn(const struct version_check *check,
                               const struct verify_answer *answer,
                               struct tally *tally)
{
    tally_sample(tally, OUTCOME_TORN,
                 "%.*s: version %" PRIu64 " up to byte %" PRIu64 ", then another",
                 SPAN_ARGS(answer->path), check->label.number, check->odd_offset);
    return OUTCOME_TORN;
}

static enum outcome judge_damaged(const struct version_check *check,
                                  const struct verify_answer *answer,
                                  struct tally *tally)
{
    tally_sample(tally, OUTCOME_WRONG, "%.*s: damaged from byte %" PRIu64 " on",
                 SPAN_ARGS(answer->path), check->odd_offset);
    return judge_wrong(tally, WRONG_DAMAGED, answer);
}

static enum outcome judge_length(const struct version_check *check,
                                 const struct verify_answer *answer,
                                 struct tally *tally)
{
    if (check->has_label) {
        tally_sample(tally, OUTCOME_WRONG,
                     "%.*s: %" PRIu64 " bytes of version %" PRIu64 ", which has %" PRIu64,
                     SPAN_ARGS(answer->path), check->bytes, check->label.number,
                     check->label.total_bytes);
    }
    return judge_wrong(tally, WRONG_LENGTH, answer);
}

/* Ended early: by a close, or by an end that its framing let pass for one. */
static enum outcome judge_short(const struct version_check *check,
                                const struct verify_answer *answer,
                                struct tally *tally)
{
    if (!answer->is_cut && answer->head->has_content_bytes) {
        return judge_length(check, answer, tally);
    }
    tally_sample(tally, OUTCOME_TRUNCATED, "%.*s: ended after %" PRIu64 " bytes",
                 SPAN_ARGS(answer->path), check->bytes);
    return OUTCOME_TRUNCATED;
}

static uint64_t hash_validator(const char *text, uint8_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    uint64_t hash = XXH3_64bits(text, bytes);
    return hash == 0 ? 1 : hash;
}

static enum outcome judge_validators(struct rotation_log *log,
                                     const struct version_check *check,
                                     const struct verify_answer *answer,
                                     struct tally *tally)
{
    const struct response_head *head = answer->head;
    enum validator_finding finding = rotation_log_note_validators(
        log, answer->file_index, check->label.number, hash_validator(head->etag, head->etag_bytes),
        hash_validator(head->modified, head->modified_bytes));
    if (finding == VALIDATOR_SOUND) {
        return OUTCOME_GOOD;
    }
    bool is_shared = finding == VALIDATOR_SHARED;
    tally_sample(tally, OUTCOME_WRONG, "%.*s: version %" PRIu64 " has ETag %.*s, %s",
                 SPAN_ARGS(answer->path), check->label.number, head->etag_bytes, head->etag,
                 is_shared ? "as another version has" : "and had another ETag or Last-Modified");
    return judge_wrong(tally, is_shared ? WRONG_ETAG_SHARED : WRONG_VALIDATOR_CHANGED, answer);
}

/* The body is one whole version: was it the right one to serve? */
static enum outcome judge_freshness(struct rotation_log *log,
                                    const struct version_check *check,
                                    const struct verify_answer *answer,
                                    struct tally *tally)
{
    uint64_t number = check->label.number;
    uint64_t stale_ns;
    /* Of another seed: made by an earlier run, whatever its number. */
    bool is_ours = check->label.seed == log->seed;
    switch (rotation_log_judge(log, answer->file_index, is_ours ? number : 0, answer->sent_ns,
                               answer->first_byte_ns, &stale_ns)) {
    case FRESHNESS_LEGAL:
        return judge_validators(log, check, answer, tally);
    case FRESHNESS_STALE:
        histogram_record(&tally->staleness, stale_ns);
        tally_sample(tally, OUTCOME_STALE, "%.*s: version %" PRIu64 ", replaced %.3f ms before",
                     SPAN_ARGS(answer->path), number, (double)stale_ns / 1e6);
        return OUTCOME_STALE;
    case FRESHNESS_FUTURE:
        break;
    }
    return judge_wrong(tally, WRONG_UNKNOWN_VERSION, answer);
}

static enum outcome judge_label(struct rotation_log *log,
                                const struct version_check *check,
                                const struct verify_answer *answer,
                                struct tally *tally)
{
    if (log == NULL || answer->file_index == VERIFY_NO_FILE) {
        return OUTCOME_GOOD; /* a sound version of this path; nobody says which is current */
    }
    return judge_freshness(log, check, answer, tally);
}

enum outcome verify_judge(struct rotation_log *log,
                          const struct version_check *check,
                          const struct verify_answer *answer,
                          struct tally *tally)
{
    tally->checked++;
    enum version_finding finding = version_check_finish(check);
    if (finding == VERSION_FOREIGN) {
        return judge_foreign(check, answer, tally);
    }
    if (check->has_label && check->label.path_id != answer->path_id) {
        return judge_wrong(tally, WRONG_OTHER_FILE, answer);
    }
    if ((finding == VERSION_LONG || finding == VERSION_DAMAGED) && is_torn(check)) {
        return judge_torn(check, answer, tally);
    }
    if (answer->is_cut && finding != VERSION_DAMAGED) {
        return judge_short(check, answer, tally);
    }
    switch (finding) {
    case VERSION_DAMAGED:
        return judge_damaged(check, answer, tally);
    case VERSION_SHORT:
        return judge_short(check, answer, tally);
    case VERSION_LONG:
        return judge_length(check, answer, tally);
    case VERSION_INTACT:
        return judge_label(log, check, answer, tally);
    case VERSION_FOREIGN:
        break;
    }
    ASSERT(false); /* foreign bodies were judged above */
    return OUTCOME_WRONG;
}
