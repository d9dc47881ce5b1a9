/*
 * The table turning: misses and their answers, generations, a full table, and what the kernel makes
 * of it. Every rig's end checks that each version was released as often as it was given.
 */
#include "server/worker/rotation.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* answer.c's, and the first question. */
#define QUESTIONS_MAX 17

static struct rig *start(void **state, uint32_t table_slots, uint32_t connection_max)
{
    struct rig *rig = *state;
    rig->settings.table_slots = table_slots;
    rig->connection_max = connection_max;
    rig_start(rig);
    return rig;
}

static void assert_answers(struct rig *rig, struct engine_token conn, const char *expected)
{
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn), expected);
}

static void assert_said(struct rig *rig, const char *expected)
{
    assert_string_equal(control_said(rig), expected);
}

/* ---- misses ---- */

static void miss_is_asked_published_and_answered(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *a = version_file(rig, "dir/a", 20);
    const struct engine_token conn = rig_open(rig);
    uint64_t wakes;
    rig_request(rig, conn, GET("/dir/a"));
    assert_int_equal(read(rig->control_event_fd, &wakes, sizeof(wakes)), sizeof(wakes));
    assert_said(rig, "miss dir/a, ");
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    control_load(rig, 200, a);
    rig_turn(rig);
    assert_int_equal(fake_slot_fd(rig->engine, version_slot(rig, "dir/a")), a->version.fd);
    const struct fake_operation *read_of = fake_find(rig->engine, ENGINE_READ, conn);
    assert_true(read_of->file.is_slot); /* installed before the answer began */
    assert_answers(rig, conn, "200 0123456789abcdef0123, ");
    assert_said(rig, "");
    assert_int_equal(RIG_COUNTER(rig, misses), 1);
    assert_int_equal(RIG_COUNTER(rig, bodies_slot), 1);
}

static void control_is_woken_once_a_turn_and_only_when_told_something(void **state)
{
    struct rig *rig = start(state, 8, 4);
    const struct engine_token first = rig_open(rig);
    const struct engine_token second = rig_open(rig);
    uint64_t wakes;
    assert_int_equal(read(rig->control_event_fd, &wakes, sizeof(wakes)), -1);
    rig_receive(rig, first, GET("/a"));
    rig_receive(rig, second, GET("/b"));
    rig_turn(rig);
    assert_int_equal(read(rig->control_event_fd, &wakes, sizeof(wakes)), sizeof(wakes));
    assert_int_equal(wakes, 1);
    assert_said(rig, "miss a, miss b, ");
}

static void misses_of_one_path_are_one_question(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct engine_token conns[4];
    for (int i = 0; i < 4; i++) {
        conns[i] = rig_open(rig);
        rig_request(rig, conns[i], i < 3 ? GET("/a") : GET("/b"));
    }
    assert_said(rig, "miss a, miss b, ");
    control_load_key(rig, "b", 200, version_memory(rig, "b", "beta"));
    control_load_key(rig, "a", 200, version_memory(rig, "a", "alpha"));
    rig_turn(rig);
    for (int i = 0; i < 4; i++) {
        assert_answers(rig, conns[i], i < 3 ? "200 alpha, " : "200 beta, ");
    }
    assert_int_equal(RIG_COUNTER(rig, misses), 2);
    assert_int_equal(RIG_COUNTER(rig, misses_coalesced), 2);
}

static void loader_verdict_is_answered(void **state)
{
    struct rig *rig = start(state, 8, 4);
    const struct engine_token conn = rig_open(rig);
    static const uint32_t statuses[] = {404, 403, 503, 301};
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
        rig_request(rig, conn, GET("/dir?q=1"));
        control_load(rig, statuses[i], NULL);
        rig_turn(rig);
        rig_finish(rig, conn);
        assert_int_equal(rig_state(rig, conn), CONN_IDLE);
    }
    assert_answers(rig, conn, "404, 403, 503, 301, ");
    assert_non_null(strstr(rig_raw(rig, conn), "Location: /dir/?q=1\r\n"));
    assert_int_equal(RIG_COUNTER(rig, misses), 4); /* verdicts are not kept */
}

static void loaded_without_a_version_leads_to_what_the_map_has(void **state)
{
    struct rig *rig = start(state, 8, 4);
    version_put(rig, version_memory(rig, "a", "alpha")); /* no file behind it: never confirmed */
    const struct engine_token conn = rig_open(rig);
    freshness_begin(&rig->gate);
    rig_request(rig, conn, GET("/a"));
    assert_said(rig, "miss a, ");
    control_load(rig, 200, NULL);
    rig_turn(rig);
    assert_answers(rig, conn, "200 alpha, ");
    freshness_finish(&rig->gate);
}

static void loaded_that_was_evicted_again_is_asked_for_again(void **state)
{
    struct rig *rig = start(state, 8, 4);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    control_load(rig, 200, NULL); /* the loader thinks that the worker has it */
    rig_turn(rig);
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    assert_said(rig, "miss a, miss a, ");
    control_load(rig, 200, version_memory(rig, "a", "alpha"));
    rig_turn(rig);
    assert_answers(rig, conn, "200 alpha, ");
}

static void asking_again_has_an_end(void **state)
{
    struct rig *rig = start(state, 8, 4);
    const struct engine_token conn = rig_open(rig);
    for (int round = 0; round < 2; round++) { /* the next request may ask as often */
        rig_request(rig, conn, GET("/a"));
        uint32_t questions = 0;
        while (rig_state(rig, conn) == CONN_PARKED) {
            control_load(rig, 200, NULL);
            rig_turn(rig);
            questions++;
        }
        assert_int_equal(questions, QUESTIONS_MAX);
        rig_finish(rig, conn);
    }
    assert_answers(rig, conn, "503, 503, ");
}

/* Connections come and go while the loader is busy; their questions stay. */
static void question_beyond_every_place_is_answered_with_503(void **state)
{
    struct rig *rig = start(state, 8, 2);
    for (uint32_t i = 0; i < rig->worker->misses.miss_count; i++) {
        const struct engine_token conn = rig_open(rig);
        char request[64];
        (void)snprintf(request, sizeof(request), GET("/%u"), i);
        rig_request(rig, conn, request);
        assert_int_equal(rig_state(rig, conn), CONN_PARKED);
        rig_end(rig, conn, ENGINE_RECEIVE, -ECONNRESET);
    }
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/one-more"));
    assert_answers(rig, conn, "503, ");
    assert_int_equal(RIG_COUNTER(rig, misses_full), 1);
    rig_request(rig, conn, GET("/1")); /* who joins a question needs no place */
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    control_load(rig, 404, NULL);
    rig_turn(rig);
    const struct engine_token next = rig_open(rig);
    rig_request(rig, next, GET("/one-more"));
    assert_int_equal(rig_state(rig, next), CONN_PARKED);
}

/* ---- generations ---- */

static void generation_flips_the_path_and_spares_the_download_under_way(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *old = version_file(rig, "a", 100000);
    struct hand_version *new = version_file(rig, "a", 20);
    version_put(rig, old);
    const uint32_t old_slot = version_slot(rig, "a");
    const struct engine_token slow[2] = {rig_open(rig), rig_open(rig)};
    rig_request(rig, slow[0], GET("/a"));
    rig_request(rig, slow[1], GET("/a"));

    control_change(rig, old, new);
    rig_turn(rig);
    assert_said(rig, "applied 1, ");
    assert_string_equal(version_mapped(rig, "a"), "a#2");
    assert_int_not_equal(version_slot(rig, "a"), old_slot);
    const struct engine_token next = rig_open(rig);
    rig_request(rig, next, GET("/a"));
    assert_answers(rig, next, "200 0123456789abcdef0123, ");

    assert_answers(rig, slow[0], "200 0123456789abcdef..100000, ");
    assert_int_equal(fake_slot_fd(rig->engine, old_slot), old->version.fd); /* one user is left */
    assert_said(rig, "");
    assert_answers(rig, slow[1], "200 0123456789abcdef..100000, ");
    rig_run(rig);
    assert_int_equal(fake_slot_fd(rig->engine, old_slot), -1);
    assert_said(rig, "released a#1, ");
}

static void generation_that_removes_a_path_leads_to_a_miss(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *a = version_memory(rig, "a", "alpha");
    version_put(rig, a);
    control_change(rig, a, NULL);
    rig_turn(rig);
    assert_said(rig, "released a#1, applied 1, ");
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    assert_said(rig, "miss a, ");
    control_load(rig, 404, NULL);
    rig_turn(rig);
    assert_answers(rig, conn, "404, ");
}

static void generation_is_applied_as_a_whole_between_requests(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *old[3];
    struct generation *generation = control_generation(rig, 3);
    static const char *const keys[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        old[i] = version_memory(rig, keys[i], "old");
        version_put(rig, old[i]);
        generation_add(generation, old[i], version_memory(rig, keys[i], "new"), 1);
    }
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a") GET("/b") GET("/c"));
    control_publish(rig, generation);
    rig_request(rig, conn, GET("/a") GET("/b") GET("/c"));
    assert_answers(rig, conn, "200 old, 200 old, 200 old, 200 new, 200 new, 200 new, ");
}

/*
 * catalog.h: a worker says nothing but RELEASED of a version that it passes over. EVICTED is on its
 * way already; a second one would hit what the worker asks for next, and leave it stale for ever.
 */
static void generation_for_an_evicted_path_is_only_released(void **state)
{
    struct rig *rig = start(state, 2, 4);
    struct hand_version *a = version_memory(rig, "a", "alpha");
    struct hand_version *a2 = version_memory(rig, "a", "alpha two");
    version_put(rig, a);
    version_put(rig, version_memory(rig, "b", "beta"));
    version_put(rig, version_memory(rig, "c", "gamma"));
    assert_string_equal(version_mapped(rig, "a"), "-");
    assert_non_null(strstr(control_said(rig), "evicted a#1, released a#1, "));
    control_change(rig, a, a2);
    rig_turn(rig);
    assert_said(rig, "released a#2, applied 1, ");
    assert_string_equal(version_mapped(rig, "a"), "-");
    assert_int_equal(a2->evicted_count, 0);
}

static void generation_of_an_evicted_path_that_removes_it_says_nothing(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *a = version_memory(rig, "a", "alpha");
    control_change(rig, a, NULL);
    rig_turn(rig);
    assert_said(rig, "applied 1, ");
}

static void change_for_other_workers_is_passed_over(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *a = version_memory(rig, "a", "alpha");
    struct hand_version *b = version_memory(rig, "b", "beta");
    version_put(rig, a);
    version_put(rig, b);
    struct generation *generation = control_generation(rig, 2);
    generation_add(generation, a, version_memory(rig, "a", "alpha two"), 6); /* workers 1 and 2 */
    generation_add(generation, b, version_memory(rig, "b", "beta two"), 3);
    control_publish(rig, generation);
    rig_turn(rig);
    assert_said(rig, "released b#2, applied 1, ");
    assert_string_equal(version_mapped(rig, "a"), "a#1");
    assert_string_equal(version_mapped(rig, "b"), "b#4");
}

static void loaded_and_its_change_in_one_batch_keep_their_order(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *a1 = version_file(rig, "a", 10);
    struct hand_version *a2 = version_memory(rig, "a", "two");
    struct hand_version *a3 = version_memory(rig, "a", "three");
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    control_load(rig, 200, a1);
    control_change(rig, a1, a2);
    control_change(rig, a2, a3);
    rig_turn(rig);
    assert_answers(rig, conn, "200 three, ");
    /* The first one's slot is kept until the question is answered. */
    assert_said(rig, "miss a, applied 1, released a#2, applied 2, released a#1, ");
}

static void change_of_a_load_comes_before_its_answer(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *a1 = version_memory(rig, "a", "one");
    struct hand_version *a2 = version_memory(rig, "a", "two");
    version_put(rig, a1);
    const struct engine_token conn = rig_open(rig);
    freshness_begin(&rig->gate);
    rig_request(rig, conn, GET("/a"));
    control_take(rig);
    control_change(rig, a1, a2);
    control_load(rig, 200, NULL);
    rig_turn(rig);
    assert_answers(rig, conn, "200 two, ");
    freshness_finish(&rig->gate);
}

/* ---- a full table ---- */

/* Downloads that hold every slot of a table of two. */
static void fill_table(struct rig *rig, struct engine_token ret_conns[static 2])
{
    static const char *const requests[] = {GET("/0"), GET("/1")};
    for (int i = 0; i < 2; i++) {
        ret_conns[i] = rig_open(rig);
        rig_request(rig, ret_conns[i], requests[i]);
        control_load(rig, 200, version_file(rig, i == 0 ? "0" : "1", 100000));
        rig_turn(rig);
        assert_int_equal(rig_state(rig, ret_conns[i]), CONN_SENDING);
    }
    (void)control_said(rig);
}

static void loaded_waits_for_a_slot_and_is_published_when_one_is_free(void **state)
{
    struct rig *rig = start(state, 2, 4);
    struct engine_token slow[2];
    fill_table(rig, slow);
    const struct engine_token conns[2] = {rig_open(rig), rig_open(rig)};
    rig_request(rig, conns[0], GET("/a"));
    rig_request(rig, conns[1], GET("/b"));
    control_load_key(rig, "b", 200, version_memory(rig, "b", "beta"));
    control_load_key(rig, "a", 200, version_memory(rig, "a", "alpha"));
    rig_run(rig);
    assert_int_equal(rig_state(rig, conns[0]), CONN_PARKED);
    assert_int_equal(rig_state(rig, conns[1]), CONN_PARKED);
    assert_true(RIG_COUNTER(rig, table_full) > 0);

    rig_finish(rig, slow[0]); /* its slot is free once the kernel has proven that */
    rig_pass_ms(rig, 1000);
    rig_finish(rig, conns[1]); /* first come, first served */
    rig_pass_ms(rig, 1000);
    assert_answers(rig, conns[1], "200 beta, ");
    assert_answers(rig, conns[0], "200 alpha, ");
}

static void loaded_that_waits_too_long_is_answered_with_503(void **state)
{
    struct rig *rig = *state;
    rig->settings.send_timeout_ms = 3000;
    (void)start(state, 2, 4);
    struct engine_token slow[2];
    fill_table(rig, slow);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    control_load(rig, 200, version_memory(rig, "a", "alpha"));
    rig_pass_ms(rig, 2000);
    rig_read(rig, slow[0], UINT32_MAX); /* the downloads move on */
    rig_read(rig, slow[1], UINT32_MAX);
    rig_pass_ms(rig, 2000);
    assert_answers(rig, conn, "503, ");
    rig_finish(rig, slow[0]);
    rig_pass_ms(rig, 1000);
    assert_string_equal(version_mapped(rig, "a"), "-"); /* given back: nobody waited any more */
}

static void waiting_loaded_that_is_overtaken_is_asked_for_again(void **state)
{
    struct rig *rig = start(state, 2, 4);
    struct engine_token slow[2];
    fill_table(rig, slow);
    const struct engine_token conn = rig_open(rig);
    struct hand_version *old = version_memory(rig, "a", "old");
    struct hand_version *new = version_memory(rig, "a", "new");
    rig_request(rig, conn, GET("/a"));
    control_load(rig, 200, old);
    rig_turn(rig);
    (void)control_said(rig);
    control_change(rig, old, new);
    rig_turn(rig);
    assert_said(rig, "evicted a#3, released a#3, miss a, released a#4, applied 1, ");
    rig_finish(rig, slow[0]);
    rig_pass_ms(rig, 1000);
    assert_int_equal(rig_state(rig, conn), CONN_PARKED);
    control_load(rig, 200, new);
    rig_pass_ms(rig, 1000);
    assert_answers(rig, conn, "200 new, ");
    assert_int_equal(new->given_count, 2);
}

/* The old version is in use and so is every other slot: the path is given up, never left stale. */
static void change_without_a_free_slot_gives_the_path_up(void **state)
{
    struct rig *rig = start(state, 2, 4);
    struct engine_token slow[2];
    fill_table(rig, slow);
    struct hand_version *old = rig->control.versions; /* of "1" */
    control_change(rig, old, version_memory(rig, "1", "new"));
    rig_turn(rig);
    assert_said(rig, "evicted 1#3, released 1#3, applied 1, ");
    assert_string_equal(version_mapped(rig, "1"), "-");
    assert_answers(rig, slow[1], "200 0123456789abcdef..100000, ");
    rig_run(rig);
    assert_said(rig, "released 1#2, ");
}

static void versions_beyond_the_slots_evict_the_cold(void **state)
{
    struct rig *rig = start(state, 4, 4);
    const struct engine_token conn = rig_open(rig);
    struct hand_version *versions[20];
    for (int i = 0; i < 20; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "%d", i);
        versions[i] = version_file(rig, text, 10);
        (void)snprintf(text, sizeof(text), GET("/%d"), i);
        rig_request(rig, conn, text);
        control_load(rig, 200, versions[i]);
        rig_run(rig);
        rig_finish(rig, conn);
    }
    control_take(rig);
    uint32_t evicted = 0;
    for (int i = 0; i < 20; i++) {
        evicted += versions[i]->evicted_count;
        assert_int_equal(versions[i]->released_count, versions[i]->evicted_count);
    }
    assert_true(evicted >= 16);
    assert_int_equal(RIG_COUNTER(rig, evictions), evicted);
    assert_int_equal(RIG_COUNTER(rig, responses_2xx), 20);
}

/* All that can be under way at once has its place in the mailbox to control. */
static void answers_to_all_misses_at_once_overflow_no_mailbox(void **state)
{
    enum {
        conn_count = 120
    };
    struct rig *rig = start(state, 1, conn_count);
    struct engine_token conns[conn_count];
    char text[64];
    for (uint32_t i = 0; i < conn_count; i++) {
        conns[i] = rig_open(rig);
        (void)snprintf(text, sizeof(text), GET("/%u"), i);
        rig_request(rig, conns[i], text);
    }
    rig->control.is_quiet = true;
    for (int round = 0; round < 3; round++) { /* each evicts the one before, and asks again */
        control_take(rig);
        while (rig->control.miss_count > 0) {
            control_load(rig, 200,
                         version_memory(rig, rig->control.misses[0]->key, "a body of memory"));
        }
        rig_turn(rig);
    }
    control_take(rig);
}

/* ---- the kernel ---- */

static void install_that_fails_leaves_the_version_serving(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *a = version_file(rig, "a", 20);
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    control_load(rig, 200, a);
    fake_fail_update(rig->engine, 0, ENFILE);
    rig_turn(rig);
    assert_int_equal(RIG_COUNTER(rig, update_failures), 1);
    const struct fake_operation *read_of = fake_find(rig->engine, ENGINE_READ, conn);
    assert_false(read_of->file.is_slot);
    assert_int_equal(read_of->file.number, a->version.fd);
    assert_answers(rig, conn, "200 0123456789abcdef0123, ");
    assert_int_equal(RIG_COUNTER(rig, bodies_plain), 1);
    control_change(rig, a, NULL); /* and nothing is waited for when it goes */
    rig_turn(rig);
    assert_said(rig, "miss a, released a#1, applied 1, ");
}

/* In mid-array the kernel says how many were done. */
static void update_that_stops_short_is_taken_up_behind_the_failure(void **state)
{
    struct rig *rig = start(state, 16, 8);
    struct hand_version *versions[6];
    struct engine_token conns[6];
    char text[64];
    for (uint32_t i = 0; i < 6; i++) {
        conns[i] = rig_open(rig);
        (void)snprintf(text, sizeof(text), GET("/%u"), i);
        rig_request(rig, conns[i], text);
    }
    for (uint32_t i = 0; i < 6; i++) {
        (void)snprintf(text, sizeof(text), "%u", i);
        versions[i] = version_file(rig, text, 20);
        control_load(rig, 200, versions[i]);
    }
    fake_fail_update(rig->engine, 2, EBADF);
    rig_turn(rig);
    for (uint32_t i = 0; i < 6; i++) {
        (void)snprintf(text, sizeof(text), "%u", i);
        const int fd = fake_slot_fd(rig->engine, version_slot(rig, text));
        assert_int_equal(fd, i == 2 ? -1 : versions[i]->version.fd);
        assert_answers(rig, conns[i], "200 0123456789abcdef0123, ");
    }
    assert_int_equal(RIG_COUNTER(rig, update_failures), 1);
    assert_int_equal(RIG_COUNTER(rig, bodies_plain), 1);
    assert_int_equal(RIG_COUNTER(rig, bodies_slot), 5);
}

static void update_that_fails_as_a_whole_leaves_all_serving(void **state)
{
    struct rig *rig = start(state, 16, 8);
    rig->failing_updates_count = 3;
    const struct engine_token conn = rig_open(rig);
    char text[64];
    for (uint32_t i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof(text), GET("/%u"), i);
        rig_request(rig, conn, text);
        (void)snprintf(text, sizeof(text), "%u", i);
        control_load(rig, 200, version_file(rig, text, 10));
        rig_turn(rig);
        rig_finish(rig, conn);
    }
    assert_answers(rig, conn, "200 0123456789, 200 0123456789, 200 0123456789, ");
    assert_int_equal(RIG_COUNTER(rig, update_failures), 3);
    assert_int_equal(RIG_COUNTER(rig, bodies_plain), 3);
}

/* A clear that fails is tried again, also when nothing else happens. */
static void clear_that_fails_is_tried_again_at_the_next_tick(void **state)
{
    struct rig *rig = start(state, 8, 4);
    struct hand_version *a = version_file(rig, "a", 20);
    version_put(rig, a);
    const uint32_t slot_index = version_slot(rig, "a");
    rig->failing_updates_count = 20; /* several times a turn it is tried again */
    control_change(rig, a, NULL);
    rig_run(rig);
    assert_said(rig, "applied 1, ");
    assert_int_equal(fake_slot_fd(rig->engine, slot_index), a->version.fd);
    while (rig->failing_updates_count > 0) {
        rig_pass_ms(rig, 500);
    }
    rig_pass_ms(rig, 500);
    assert_int_equal(fake_slot_fd(rig->engine, slot_index), -1);
    assert_said(rig, "released a#1, ");
    assert_int_equal(RIG_COUNTER(rig, update_failures), 20);
}

static void slot_is_not_used_anew_before_its_tag_has_come(void **state)
{
    struct rig *rig = start(state, 2, 4);
    struct hand_version *a = version_file(rig, "a", 20);
    struct hand_version *b = version_file(rig, "b", 20);
    version_put(rig, a);
    fake_hold_releases(rig->engine, true);
    control_change(rig, a, NULL);
    rig_run(rig);
    assert_said(rig, "applied 1, "); /* cleared, not proven */
    const struct engine_token conns[2] = {rig_open(rig), rig_open(rig)};
    rig_request(rig, conns[0], GET("/b"));
    control_load(rig, 200, b);
    rig_run(rig);
    rig_request(rig, conns[1], GET("/c"));
    control_load(rig, 200, version_file(rig, "c", 20));
    rig_run(rig);
    assert_int_equal(rig_state(rig, conns[0]), CONN_SENDING);
    assert_int_equal(rig_state(rig, conns[1]), CONN_PARKED); /* a's slot is not free */
    fake_hold_releases(rig->engine, false);
    rig_pass_ms(rig, 1000);
    assert_non_null(strstr(control_said(rig), "released a#1, "));
    assert_answers(rig, conns[1], "200 0123456789abcdef0123, ");
}

static void tags_that_nobody_waits_for_are_dropped(void **state)
{
    struct rig *rig = start(state, 2, 4);
    version_put(rig, version_file(rig, "a", 20));
    const struct engine_token wrong[] = {{0, 2}, {0, 0}, {1, 1}, {77, 1}, {0, 1}};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        fake_push(rig->engine, (struct engine_event){.op = ENGINE_FILE_RELEASED,
                                                     .token = wrong[i],
                                                     .buffer_id = ENGINE_BUFFER_NONE});
    }
    rig_run(rig);
    assert_said(rig, "");
    assert_string_equal(version_mapped(rig, "a"), "a#1");
}

/* Hundreds of changes in one turn, with holes between the slots: each lands where it belongs. */
static void many_changes_in_one_turn_all_arrive(void **state)
{
    enum {
        path_count = 700
    };
    struct rig *rig = start(state, 1024, 4);
    rig->control.is_quiet = true;
    struct hand_version *first = version_file(rig, "0", 20);
    struct hand_version *versions[path_count] = {first};
    char key[16];
    for (uint32_t i = 0; i < path_count; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        versions[i] = i == 0 ? first : version_of_path(rig, key, first->path);
        versions[i]->given_count++;
        assert_int_not_equal(slot_table_publish(rig->worker->table, &versions[i]->version),
                             SLOT_NONE);
    }
    rig_run(rig);
    struct generation *generation = control_generation(rig, path_count);
    struct hand_version *next[path_count] = {NULL};
    for (uint32_t i = 0; i < path_count; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        if (i % 7 < 2) { /* some are replaced, some go, most stay */
            next[i] = i % 7 == 0 ? version_of_path(rig, key, first->path) : NULL;
            generation_add(generation, versions[i], next[i], 1);
        }
    }
    control_publish(rig, generation);
    rig_run(rig);
    for (uint32_t i = 0; i < path_count; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        const struct hand_version *expected = i % 7 < 2 ? next[i] : versions[i];
        if (expected == NULL) {
            assert_string_equal(version_mapped(rig, key), "-");
            continue;
        }
        assert_string_equal(version_mapped(rig, key), expected->label);
        assert_int_equal(fake_slot_fd(rig->engine, version_slot(rig, key)), expected->version.fd);
    }
    assert_int_equal(RIG_COUNTER(rig, update_failures), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(miss_is_asked_published_and_answered),
        TEST(control_is_woken_once_a_turn_and_only_when_told_something),
        TEST(misses_of_one_path_are_one_question),
        TEST(loader_verdict_is_answered),
        TEST(loaded_without_a_version_leads_to_what_the_map_has),
        TEST(loaded_that_was_evicted_again_is_asked_for_again),
        TEST(asking_again_has_an_end),
        TEST(question_beyond_every_place_is_answered_with_503),
        TEST(generation_flips_the_path_and_spares_the_download_under_way),
        TEST(generation_that_removes_a_path_leads_to_a_miss),
        TEST(generation_is_applied_as_a_whole_between_requests),
        TEST(generation_for_an_evicted_path_is_only_released),
        TEST(generation_of_an_evicted_path_that_removes_it_says_nothing),
        TEST(change_for_other_workers_is_passed_over),
        TEST(loaded_and_its_change_in_one_batch_keep_their_order),
        TEST(change_of_a_load_comes_before_its_answer),
        TEST(loaded_waits_for_a_slot_and_is_published_when_one_is_free),
        TEST(loaded_that_waits_too_long_is_answered_with_503),
        TEST(waiting_loaded_that_is_overtaken_is_asked_for_again),
        TEST(change_without_a_free_slot_gives_the_path_up),
        TEST(versions_beyond_the_slots_evict_the_cold),
        TEST(answers_to_all_misses_at_once_overflow_no_mailbox),
        TEST(install_that_fails_leaves_the_version_serving),
        TEST(update_that_stops_short_is_taken_up_behind_the_failure),
        TEST(update_that_fails_as_a_whole_leaves_all_serving),
        TEST(clear_that_fails_is_tried_again_at_the_next_tick),
        TEST(slot_is_not_used_anew_before_its_tag_has_come),
        TEST(tags_that_nobody_waits_for_are_dropped),
        TEST(many_changes_in_one_turn_all_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
