#include "loadgen/rotation_log.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/base/check.h"

#define NEVER UINT64_MAX

static void freshness_follows_the_rule(void **state)
{
    (void)state;
    /* The answer's version was put in place during 100..110. */
    static const struct {
        const char *name;
        uint64_t sent_ns;
        uint64_t first_byte_ns;
        bool has_next;
        struct rename_times next;
        enum freshness want;
        uint64_t want_stale_ns;
    } cases[] = {
        {"current", 200, 210, false, {0, 0}, FRESHNESS_LEGAL, 0},
        {"in place just as it was served", 90, 100, false, {0, 0}, FRESHNESS_LEGAL, 0},
        {"served while its rename had not returned", 104, 106, false, {0, 0}, FRESHNESS_LEGAL, 0},
        {"served before its rename began", 80, 99, false, {0, 0}, FRESHNESS_FUTURE, 0},
        {"replaced after the answer", 200, 210, true, {300, 310}, FRESHNESS_LEGAL, 0},
        {"replaced between request and answer", 200, 400, true, {300, 310}, FRESHNESS_LEGAL, 0},
        {"sent while the rename was going on", 305, 400, true, {300, 310}, FRESHNESS_LEGAL, 0},
        {"sent in the instant the rename returned", 310, 400, true, {300, 310}, FRESHNESS_LEGAL, 0},
        {"sent just after the rename returned", 311, 400, true, {300, 310}, FRESHNESS_STALE, 90},
        {"sent long after", 5000, 5010, true, {300, 310}, FRESHNESS_STALE, 4700},
        {"the next rename has not returned", 500, 510, true, {300, NEVER}, FRESHNESS_LEGAL, 0},
    };
    const struct rename_times own = {.before_ns = 100, .after_ns = 110};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t stale_ns = 0;
        enum freshness got = freshness_judge(cases[i].sent_ns, cases[i].first_byte_ns, &own,
                                             cases[i].has_next ? &cases[i].next : NULL, &stale_ns);
        if (got != cases[i].want || stale_ns != cases[i].want_stale_ns) {
            fail_msg("'%s': %d, stale %llu ns", cases[i].name, got, (unsigned long long)stale_ns);
        }
    }
    uint64_t untouched = 77;
    assert_int_equal(freshness_judge(1, 2, NULL, NULL, &untouched), FRESHNESS_FUTURE);
    assert_int_equal(untouched, 77);
}

static int set_up(void **state)
{
    struct rotation_log *log = calloc(1, sizeof(*log));
    *state = log;
    return log == NULL ? -1 : rotation_log_init(log, 42, 4);
}

static int tear_down(void **state)
{
    rotation_log_deinit(*state);
    free(*state);
    return 0;
}

/* Version n in place during n * 100 .. n * 100 + 10. */
static void put(struct rotation_log *log, uint32_t file_index, uint64_t number)
{
    rotation_log_announce(log, file_index, number, number * 100);
    rotation_log_confirm(log, file_index, number * 100 + 10);
}

static enum freshness
judge(const struct rotation_log *log, uint64_t number, uint64_t sent_ns, uint64_t *ret_stale_ns)
{
    return rotation_log_judge(log, 1, number, sent_ns, sent_ns + 5, ret_stale_ns);
}

static void log_judges_what_it_remembers(void **state)
{
    struct rotation_log *log = *state;
    uint64_t stale_ns = 0;
    assert_int_equal(rotation_log_newest(log, 1), 0);
    assert_int_equal(judge(log, 1, 50, &stale_ns), FRESHNESS_FUTURE);
    put(log, 1, 1);
    put(log, 1, 2);
    put(log, 1, 3);
    assert_int_equal(rotation_log_newest(log, 1), 3);
    assert_int_equal(judge(log, 3, 400, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, 2, 300, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, 2, 315, &stale_ns), FRESHNESS_STALE);
    assert_int_equal(stale_ns, 10);
    assert_int_equal(judge(log, 1, 315, &stale_ns), FRESHNESS_STALE);
    assert_int_equal(stale_ns, 110);
    assert_int_equal(judge(log, 4, 500, &stale_ns), FRESHNESS_FUTURE);
}

static void log_lets_an_announced_version_be_seen(void **state)
{
    struct rotation_log *log = *state;
    uint64_t stale_ns = 0;
    put(log, 1, 1);
    rotation_log_announce(log, 1, 2, 200);
    assert_int_equal(judge(log, 2, 203, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, 1, 203, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, 2, 100, &stale_ns), FRESHNESS_FUTURE);
    rotation_log_withdraw(log, 1);
    assert_int_equal(rotation_log_newest(log, 1), 1);
    assert_int_equal(judge(log, 2, 300, &stale_ns), FRESHNESS_FUTURE);
    assert_int_equal(judge(log, 1, 300, &stale_ns), FRESHNESS_LEGAL);
    put(log, 1, 2);
    assert_int_equal(judge(log, 1, 300, &stale_ns), FRESHNESS_STALE);
}

static void log_may_begin_at_any_version(void **state)
{
    struct rotation_log *log = *state;
    uint64_t stale_ns = 0;
    put(log, 1, 58);
    assert_int_equal(judge(log, 58, 6000, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, 57, 5805, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, 3, 5805, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, 57, 6000, &stale_ns), FRESHNESS_STALE);
    assert_int_equal(stale_ns, 6005 - 5810);
    assert_int_equal(judge(log, 3, 6000, &stale_ns), FRESHNESS_STALE);
    assert_int_equal(judge(log, 0, 6000, &stale_ns), FRESHNESS_STALE);
    assert_int_equal(judge(log, 59, 6000, &stale_ns), FRESHNESS_FUTURE);
}

static void log_withdraws_even_the_first(void **state)
{
    struct rotation_log *log = *state;
    rotation_log_announce(log, 1, 58, 5800);
    rotation_log_withdraw(log, 1);
    assert_int_equal(rotation_log_newest(log, 1), 0);
    put(log, 1, 1);
    assert_int_equal(rotation_log_newest(log, 1), 1);
}

static void log_judges_forgotten_versions_by_the_oldest_it_has(void **state)
{
    struct rotation_log *log = *state;
    uint64_t newest = log->depth + 500;
    for (uint64_t number = 1; number <= newest; number++) {
        put(log, 1, number);
    }
    uint64_t stale_ns = 0;
    uint64_t oldest = newest - log->depth + 2;
    assert_int_equal(judge(log, 1, newest * 100, &stale_ns), FRESHNESS_STALE);
    assert_int_equal(stale_ns, newest * 100 + 5 - oldest * 100);
    assert_int_equal(judge(log, 1, oldest * 100, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, newest, newest * 100 + 50, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(judge(log, newest - 1, newest * 100 + 50, &stale_ns), FRESHNESS_STALE);
}

static void log_keeps_files_apart(void **state)
{
    struct rotation_log *log = *state;
    put(log, 0, 1);
    put(log, 3, 1);
    put(log, 3, 2);
    uint64_t stale_ns = 0;
    assert_int_equal(rotation_log_judge(log, 0, 1, 900, 905, &stale_ns), FRESHNESS_LEGAL);
    assert_int_equal(rotation_log_judge(log, 3, 1, 900, 905, &stale_ns), FRESHNESS_STALE);
    assert_int_equal(rotation_log_judge(log, 1, 1, 900, 905, &stale_ns), FRESHNESS_FUTURE);
}

static void validators_must_be_one_a_version(void **state)
{
    struct rotation_log *log = *state;
    put(log, 1, 1);
    put(log, 1, 2);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 0, 0), VALIDATOR_SOUND);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 11, 5), VALIDATOR_SOUND);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 11, 5), VALIDATOR_SOUND);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 12, 5), VALIDATOR_CHANGED);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 11, 6), VALIDATOR_CHANGED);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 11, 5), VALIDATOR_SOUND);
    assert_int_equal(rotation_log_note_validators(log, 1, 2, 22, 5), VALIDATOR_SOUND);
}

static void validators_must_differ_between_versions(void **state)
{
    struct rotation_log *log = *state;
    put(log, 1, 1);
    put(log, 1, 2);
    put(log, 1, 3);
    assert_int_equal(rotation_log_note_validators(log, 1, 2, 11, 0), VALIDATOR_SOUND);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 11, 0), VALIDATOR_SHARED);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 11, 0), VALIDATOR_SHARED);
    assert_int_equal(rotation_log_note_validators(log, 1, 2, 11, 0), VALIDATOR_SOUND);
    assert_int_equal(rotation_log_note_validators(log, 1, 3, 33, 0), VALIDATOR_SOUND);
    /* Another path may well have the same. */
    put(log, 2, 1);
    assert_int_equal(rotation_log_note_validators(log, 2, 1, 11, 0), VALIDATOR_SOUND);
    /* Nothing is known of versions from before the log. */
    assert_int_equal(rotation_log_note_validators(log, 2, 9, 11, 0), VALIDATOR_SOUND);
}

static void validators_are_forgotten_with_their_version(void **state)
{
    struct rotation_log *log = *state;
    put(log, 1, 1);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 11, 0), VALIDATOR_SOUND);
    for (uint64_t number = 2; number <= log->depth + 1; number++) {
        put(log, 1, number);
    }
    assert_int_equal(rotation_log_note_validators(log, 1, log->depth + 1, 22, 0), VALIDATOR_SOUND);
    assert_int_equal(rotation_log_note_validators(log, 1, 1, 11, 0), VALIDATOR_SOUND);
}

/* A reader that never sees a time of another version, while the ring turns over many times. */
struct race {
    struct rotation_log *log;
    atomic_bool is_done;
};

static void *read_while_written(void *argument)
{
    struct race *race = argument;
    uint64_t stale_ns = 0;
    while (!atomic_load(&race->is_done)) {
        uint64_t newest = rotation_log_newest(race->log, 1);
        if (newest < 2) {
            continue;
        }
        /* Sent just after the newest was in place: whatever comes meanwhile, it is legal. */
        uint64_t sent_ns = newest * 100 + 11;
        ASSERT(judge(race->log, newest, sent_ns, &stale_ns) == FRESHNESS_LEGAL);
        /* The one before is stale, unless the newest is announced and not yet confirmed. */
        ASSERT(judge(race->log, newest - 1, sent_ns, &stale_ns) != FRESHNESS_FUTURE);
        (void)rotation_log_note_validators(race->log, 1, newest, newest, 0);
    }
    return NULL;
}

static void log_can_be_read_while_it_is_written(void **state)
{
    struct race race = {.log = *state};
    pthread_t readers[2];
    for (size_t i = 0; i < ARRAY_COUNT(readers); i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_while_written, &race), 0);
    }
    for (uint64_t number = 1; number <= 200000; number++) {
        put(race.log, 1, number);
    }
    atomic_store(&race.is_done, true);
    for (size_t i = 0; i < ARRAY_COUNT(readers); i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freshness_follows_the_rule),
        cmocka_unit_test_setup_teardown(log_judges_what_it_remembers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_lets_an_announced_version_be_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_may_begin_at_any_version, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_withdraws_even_the_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_judges_forgotten_versions_by_the_oldest_it_has, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(log_keeps_files_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(validators_must_be_one_a_version, set_up, tear_down),
        cmocka_unit_test_setup_teardown(validators_must_differ_between_versions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(validators_are_forgotten_with_their_version, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(log_can_be_read_while_it_is_written, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("load_rotation_log", tests, NULL, NULL);
}
