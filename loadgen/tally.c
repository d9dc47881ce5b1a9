#include "loadgen/tally.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/base/check.h"

static const struct {
    const char *name;
    const char *group;
    const char *text;
} outcomes[] = {
#define OUTCOME(id, name, group, text) [OUTCOME_##id] = {name, group, text},
#include "loadgen/outcome.def"
#undef OUTCOME
};

static_assert(ARRAY_COUNT(outcomes) == OUTCOME_COUNT, "OUTCOME_COUNT names the last outcome");

static const struct {
    const char *name;
    const char *text;
} wrong_reasons[] = {
#define WRONG_REASON(id, name, text) [WRONG_##id] = {name, text},
#include "loadgen/wrong_reason.def"
#undef WRONG_REASON
};

static_assert(ARRAY_COUNT(wrong_reasons) == WRONG_REASON_COUNT, "it names the last reason");

const char *outcome_name(enum outcome outcome)
{
    return outcomes[outcome].name;
}

const char *outcome_group(enum outcome outcome)
{
    return outcomes[outcome].group;
}

const char *outcome_text(enum outcome outcome)
{
    return outcomes[outcome].text;
}

const char *wrong_reason_name(enum wrong_reason reason)
{
    return wrong_reasons[reason].name;
}

const char *wrong_reason_text(enum wrong_reason reason)
{
    return wrong_reasons[reason].text;
}

void tally_reset(struct tally *tally)
{
    *tally = (struct tally){0};
    histogram_reset(&tally->service);
    histogram_reset(&tally->first_byte);
    histogram_reset(&tally->staleness);
}

void tally_count(struct tally *tally, enum outcome outcome, uint64_t elapsed_ns)
{
    tally->requests++;
    tally->outcomes[outcome]++;
    histogram_record(&tally->service, elapsed_ns);
}

void tally_sample(struct tally *tally, enum outcome outcome, const char *format, ...)
{
    char *sample = tally->samples[outcome];
    if (sample[0] != '\0') {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sample, TALLY_SAMPLE_MAX, format, args); /* a cut sample is still a sample */
    va_end(args);
}

void tally_merge(struct tally *tally, const struct tally *other)
{
    tally->requests += other->requests;
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        tally->outcomes[i] += other->outcomes[i];
        if (tally->samples[i][0] == '\0') {
            memcpy(tally->samples[i], other->samples[i], TALLY_SAMPLE_MAX);
        }
    }
    for (size_t i = 0; i < WRONG_REASON_COUNT; i++) {
        tally->wrong_reasons[i] += other->wrong_reasons[i];
    }
    for (size_t i = 0; i < TALLY_STATUS_MAX; i++) {
        tally->statuses[i] += other->statuses[i];
    }
    tally->checked += other->checked;
    tally->unfinished += other->unfinished;
    if (other->unfinished_max_ns > tally->unfinished_max_ns) {
        tally->unfinished_max_ns = other->unfinished_max_ns;
    }
    tally->received_bytes += other->received_bytes;
    tally->connects += other->connects;
    histogram_merge(&tally->service, &other->service);
    histogram_merge(&tally->first_byte, &other->first_byte);
    histogram_merge(&tally->staleness, &other->staleness);
}

uint64_t tally_complete_count(const struct tally *tally)
{
    return tally->outcomes[OUTCOME_GOOD] + tally->outcomes[OUTCOME_TORN] +
           tally->outcomes[OUTCOME_STALE] + tally->outcomes[OUTCOME_WRONG] +
           tally->outcomes[OUTCOME_UNVERIFIABLE];
}

uint64_t tally_bad_count(const struct tally *tally)
{
    return tally->requests - tally->outcomes[OUTCOME_GOOD];
}
