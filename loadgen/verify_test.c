#include "loadgen/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"

#define SEED       42
#define FILE_INDEX 2
#define BODY_MAX   2000

struct fixture {
    struct rotation_log log;
    struct tally tally;
    uint64_t path_id;
    uint8_t body[BODY_MAX];
    struct response_head head;
};

/* Versions 1, 2, 3 of 500, 600, 700 bytes, in place at 1000, 2000, 3000 ns; ETags as put. */
static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL || rotation_log_init(&fixture->log, SEED, 4) < 0) {
        return -1;
    }
    tally_reset(&fixture->tally);
    fixture->path_id = version_path_id(SPAN("rotate-002.bin"));
    for (uint64_t number = 1; number <= 3; number++) {
        rotation_log_announce(&fixture->log, FILE_INDEX, number, number * 1000 - 10);
        rotation_log_confirm(&fixture->log, FILE_INDEX, number * 1000);
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    rotation_log_deinit(&fixture->log);
    free(fixture);
    return 0;
}

static size_t version_bytes(uint64_t number)
{
    return 400 + (size_t)number * 100;
}

/* A whole version into the body, with a head that fits it. */
static void put_version(struct fixture *fixture, uint64_t seed, uint64_t path_id, uint64_t number)
{
    const struct version_label label = {
        .seed = seed,
        .path_id = path_id,
        .number = number,
        .total_bytes = version_bytes(number),
    };
    version_header_encode(&label, fixture->body);
    version_stream_fill(version_stream_key(seed, path_id, number), VERSION_HEADER_BYTES,
                        fixture->body + VERSION_HEADER_BYTES,
                        (size_t)label.total_bytes - VERSION_HEADER_BYTES);
    fixture->head = (struct response_head){
        .status = 200,
        .is_keep_alive = true,
        .has_content_bytes = true,
        .content_bytes = label.total_bytes,
    };
    int bytes = snprintf(fixture->head.etag, sizeof(fixture->head.etag), "\"v%d\"", (int)number);
    fixture->head.etag_bytes = (uint8_t)bytes;
}

static void put_current(struct fixture *fixture)
{
    put_version(fixture, SEED, fixture->path_id, 3);
}

/* The first `bytes` of the body, asked for at `sent_ns`. */
static enum outcome
judge(struct fixture *fixture, size_t bytes, bool is_cut, uint32_t file_index, uint64_t sent_ns)
{
    struct version_check check;
    version_check_init(&check);
    version_check_feed(&check, span_of(fixture->body, bytes));
    const struct verify_answer answer = {
        .path = SPAN("/r/rotate-002.bin"),
        .path_id = fixture->path_id,
        .file_index = file_index,
        .is_cut = is_cut,
        .head = &fixture->head,
        .sent_ns = sent_ns,
        .first_byte_ns = sent_ns + 100,
    };
    bool has_log = file_index != VERIFY_NO_FILE;
    return verify_judge(has_log ? &fixture->log : NULL, &check, &answer, &fixture->tally);
}

static enum outcome judge_now(struct fixture *fixture, size_t bytes)
{
    return judge(fixture, bytes, false, FILE_INDEX, 5000);
}

static void assert_wrong(struct fixture *fixture, enum outcome got, enum wrong_reason reason)
{
    assert_int_equal(got, OUTCOME_WRONG);
    assert_int_equal(fixture->tally.wrong_reasons[reason], 1);
    assert_true(fixture->tally.samples[OUTCOME_WRONG][0] != '\0');
}

static void verify_passes_the_current_version(void **state)
{
    struct fixture *fixture = *state;
    put_current(fixture);
    assert_int_equal(judge_now(fixture, 700), OUTCOME_GOOD);
    assert_int_equal(judge(fixture, 700, false, VERIFY_NO_FILE, 5000), OUTCOME_GOOD);
    assert_int_equal(fixture->tally.checked, 2);
}

static void verify_names_torn(void **state)
{
    struct fixture *fixture = *state;
    put_version(fixture, SEED, fixture->path_id, 2);
    uint8_t other[BODY_MAX];
    memcpy(other, fixture->body, sizeof(other));
    put_current(fixture);
    memcpy(fixture->body + 300, other + 300, 300);
    assert_int_equal(judge_now(fixture, 700), OUTCOME_TORN);
    assert_int_equal(judge(fixture, 500, true, FILE_INDEX, 5000), OUTCOME_TORN);
    /* Also where nobody logged the versions. */
    assert_int_equal(judge(fixture, 700, false, VERIFY_NO_FILE, 5000), OUTCOME_TORN);
}

static void verify_names_truncated(void **state)
{
    struct fixture *fixture = *state;
    put_current(fixture);
    static const size_t lengths[] = {0, 1, 63, 64, 300, 699};
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        assert_int_equal(judge(fixture, lengths[i], true, FILE_INDEX, 5000), OUTCOME_TRUNCATED);
        assert_int_equal(judge(fixture, lengths[i], true, VERIFY_NO_FILE, 5000), OUTCOME_TRUNCATED);
    }
    /* All of the version, but more was promised. */
    fixture->head.content_bytes = 800;
    assert_int_equal(judge(fixture, 700, true, FILE_INDEX, 5000), OUTCOME_TRUNCATED);
    /* No length was promised: chunks that end early. */
    fixture->head.has_content_bytes = false;
    assert_int_equal(judge_now(fixture, 300), OUTCOME_TRUNCATED);
}

static void verify_names_stale_and_how_stale(void **state)
{
    struct fixture *fixture = *state;
    put_version(fixture, SEED, fixture->path_id, 2);
    assert_int_equal(judge(fixture, 600, false, FILE_INDEX, 2500), OUTCOME_GOOD);
    assert_int_equal(judge(fixture, 600, false, FILE_INDEX, 3000), OUTCOME_GOOD);
    assert_int_equal(judge(fixture, 600, false, FILE_INDEX, 3001), OUTCOME_STALE);
    assert_int_equal(fixture->tally.staleness.count, 1);
    assert_int_equal(fixture->tally.staleness.max_ns, 101);
    put_version(fixture, SEED, fixture->path_id, 1);
    assert_int_equal(judge(fixture, 500, false, FILE_INDEX, 3001), OUTCOME_STALE);
    assert_int_equal(fixture->tally.staleness.max_ns, 1101);
}

static void verify_names_stale_what_an_earlier_run_made(void **state)
{
    struct fixture *fixture = *state;
    put_version(fixture, SEED + 1, fixture->path_id, 9);
    assert_int_equal(judge(fixture, version_bytes(9), false, FILE_INDEX, 5000), OUTCOME_STALE);
    assert_int_equal(fixture->tally.staleness.max_ns, 5100 - 1000);
}

static void verify_names_wrong_damage(void **state)
{
    struct fixture *fixture = *state;
    put_current(fixture);
    fixture->body[400] ^= 0x20;
    assert_wrong(fixture, judge_now(fixture, 700), WRONG_DAMAGED);
}

static void verify_names_wrong_what_is_no_version(void **state)
{
    struct fixture *fixture = *state;
    put_current(fixture);
    memset(fixture->body, 'x', 700);
    assert_wrong(fixture, judge_now(fixture, 700), WRONG_DAMAGED);
}

static void verify_names_wrong_another_file(void **state)
{
    struct fixture *fixture = *state;
    put_version(fixture, SEED, version_path_id(SPAN("rotate-003.bin")), 3);
    assert_wrong(fixture, judge_now(fixture, 700), WRONG_OTHER_FILE);
}

static void verify_names_wrong_a_version_not_yet_made(void **state)
{
    struct fixture *fixture = *state;
    put_version(fixture, SEED, fixture->path_id, 4);
    assert_wrong(fixture, judge_now(fixture, version_bytes(4)), WRONG_UNKNOWN_VERSION);
}

static void verify_names_wrong_a_length_of_another_version(void **state)
{
    struct fixture *fixture = *state;
    put_current(fixture);
    fixture->head.content_bytes = 600;
    assert_wrong(fixture, judge_now(fixture, 600), WRONG_LENGTH);
    fixture->head.content_bytes = 0;
    assert_int_equal(judge_now(fixture, 0), OUTCOME_WRONG);
    memset(fixture->body + 700, 0, 100);
    fixture->head.content_bytes = 800;
    assert_int_equal(judge_now(fixture, 800), OUTCOME_WRONG);
    assert_int_equal(fixture->tally.wrong_reasons[WRONG_LENGTH], 3);
}

static void verify_names_wrong_an_etag_of_another_version(void **state)
{
    struct fixture *fixture = *state;
    put_version(fixture, SEED, fixture->path_id, 2);
    assert_int_equal(judge(fixture, 600, false, FILE_INDEX, 2500), OUTCOME_GOOD);
    struct response_head old_head = fixture->head;
    put_current(fixture);
    memcpy(fixture->head.etag, old_head.etag, sizeof(old_head.etag));
    assert_wrong(fixture, judge_now(fixture, 700), WRONG_ETAG_SHARED);
}

static void verify_names_wrong_two_etags_of_one_version(void **state)
{
    struct fixture *fixture = *state;
    put_current(fixture);
    assert_int_equal(judge_now(fixture, 700), OUTCOME_GOOD);
    fixture->head.etag[1] = 'w';
    assert_wrong(fixture, judge_now(fixture, 700), WRONG_VALIDATOR_CHANGED);
}

static void verify_names_unverifiable_what_the_rotator_does_not_make(void **state)
{
    struct fixture *fixture = *state;
    put_current(fixture);
    memset(fixture->body, 'x', 700);
    assert_int_equal(judge(fixture, 700, false, VERIFY_NO_FILE, 5000), OUTCOME_UNVERIFIABLE);
    assert_int_equal(judge(fixture, 5, false, VERIFY_NO_FILE, 5000), OUTCOME_UNVERIFIABLE);
    assert_int_equal(judge(fixture, 0, false, VERIFY_NO_FILE, 5000), OUTCOME_UNVERIFIABLE);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(verify_passes_the_current_version),
        CASE(verify_names_torn),
        CASE(verify_names_truncated),
        CASE(verify_names_stale_and_how_stale),
        CASE(verify_names_stale_what_an_earlier_run_made),
        CASE(verify_names_wrong_damage),
        CASE(verify_names_wrong_what_is_no_version),
        CASE(verify_names_wrong_another_file),
        CASE(verify_names_wrong_a_version_not_yet_made),
        CASE(verify_names_wrong_a_length_of_another_version),
        CASE(verify_names_wrong_an_etag_of_another_version),
        CASE(verify_names_wrong_two_etags_of_one_version),
        CASE(verify_names_unverifiable_what_the_rotator_does_not_make),
    };
#undef CASE
    return cmocka_run_group_tests_name("load_verify", tests, NULL, NULL);
}
