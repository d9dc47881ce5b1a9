#include "server/control/pump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "server/control/fakes.h"

#define TEST_WORKERS 3
#define TEST_MISSES  600

static uint64_t test_now_ns;

static uint64_t test_monotonic_ns(void *context)
{
    (void)context;
    return test_now_ns;
}

static const struct clock test_clock = {.monotonic_ns = test_monotonic_ns};

/* A pump with a catalog and workers around it. */
struct rig {
    struct freshness_gate gate;
    struct catalog *catalog;
    struct worker *workers[TEST_WORKERS];
    struct histogram freshness;
    struct pump *pump;
    struct miss misses[TEST_MISSES];
};

static int rig_create(void **state)
{
    fake_reset();
    test_now_ns = 1000;
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->gate.watch_fd = -1;
    const char *what;
    assert_int_equal(catalog_create(&(struct catalog_config){0}, &rig->catalog, &what), 0);
    for (uint32_t i = 0; i < TEST_WORKERS; i++) {
        struct worker_config config = {.index = i, .freshness = &rig->gate};
        assert_int_equal(worker_create(&config, &rig->workers[i]), 0);
    }
    struct pump_config config = {
        .catalog = rig->catalog,
        .workers = rig->workers,
        .worker_count = TEST_WORKERS,
        .miss_max = TEST_MISSES,
        .gate = &rig->gate,
        .clock = &test_clock,
        .freshness = &rig->freshness,
    };
    assert_int_equal(pump_create(&config, &rig->pump), 0);
    *state = rig;
    return 0;
}

static int rig_destroy(void **state)
{
    struct rig *rig = *state;
    pump_destroy(rig->pump);
    for (uint32_t i = 0; i < TEST_WORKERS; i++) {
        worker_destroy(rig->workers[i]);
    }
    catalog_destroy(rig->catalog);
    free(rig);
    return 0;
}

static bool gate_is_open(const struct rig *rig)
{
    return rig->gate.begun != rig->gate.finished;
}

static void make_generation(uint64_t id, uint64_t holder_mask, struct generation *ret_generation)
{
    *ret_generation = (struct generation){
        .id = id,
        .noticed_ns = 1000,
        .holder_mask = holder_mask,
        .unapplied_count = (uint32_t)__builtin_popcountll(holder_mask),
    };
}

static void pump_answers_a_miss(void **state)
{
    struct rig *rig = *state;
    rig->catalog->answer = (struct catalog_answer){.status = 404};
    fake_worker_miss(rig->workers[1], &rig->misses[0], "a.html");
    assert_false(pump_take_messages(rig->pump));
    assert_string_equal(fake_trace, "load(1,a.html) loaded(1,a.html,404) wake(1) ");
    struct message message = rig->workers[1]->inbox.messages[0];
    assert_ptr_equal(message.pointer, &rig->misses[0]);
    assert_null(message.second);
}

static void pump_gives_the_loaded_version(void **state)
{
    struct rig *rig = *state;
    struct version version = {0};
    rig->catalog->answer = (struct catalog_answer){.status = 200, .version = &version};
    fake_worker_miss(rig->workers[0], &rig->misses[0], "");
    assert_false(pump_take_messages(rig->pump));
    assert_ptr_equal(rig->workers[0]->inbox.messages[0].second, &version);
    assert_int_equal(rig->workers[0]->inbox.messages[0].number, 200);
}

static void pump_sends_a_generation_before_the_answer_it_came_with(void **state)
{
    struct rig *rig = *state;
    struct generation generation;
    make_generation(7, 0x5, &generation);
    rig->catalog->load_generation = &generation;
    fake_worker_miss(rig->workers[2], &rig->misses[0], "a");
    assert_false(pump_take_messages(rig->pump));
    assert_string_equal(fake_trace, "load(2,a) generation(0,7) generation(2,7) loaded(2,a,404) "
                                    "wake(0) wake(2) ");
}

static void pump_wakes_each_worker_once_a_turn(void **state)
{
    struct rig *rig = *state;
    for (uint32_t i = 0; i < 20; i++) {
        fake_worker_miss(rig->workers[i % 2], &rig->misses[i], "a");
    }
    assert_false(pump_take_messages(rig->pump));
    assert_int_equal(rig->workers[0]->wake_count, 1);
    assert_int_equal(rig->workers[1]->wake_count, 1);
    assert_int_equal(rig->workers[2]->wake_count, 0);
    assert_int_equal(pump_counters(rig->pump)->misses_answered, 20);
}

static void pump_finishes_the_round_before_it_wakes(void **state)
{
    struct rig *rig = *state;
    struct generation generation;
    make_generation(3, 0x3, &generation);
    rig->catalog->changes[0] = &generation;
    pump_take_changes(rig->pump);
    assert_string_equal(fake_trace,
                        "take generation(0,open,3) generation(1,open,3) wake(0) wake(1) ");
    assert_false(gate_is_open(rig));
    assert_int_equal(rig->gate.begun, 1);
}

static void gate_is_open_while_changes_are_taken(void *context)
{
    assert_true(gate_is_open(context));
}

static void pump_finishes_a_round_without_changes(void **state)
{
    struct rig *rig = *state;
    rig->catalog->on_take = gate_is_open_while_changes_are_taken;
    rig->catalog->take_context = rig;
    pump_take_changes(rig->pump);
    assert_string_equal(fake_trace, "take ");
    assert_false(gate_is_open(rig));
}

static void pump_holds_a_generation_back_until_every_holder_has_room(void **state)
{
    struct rig *rig = *state;
    struct generation first;
    struct generation second;
    make_generation(1, 0x6, &first);
    make_generation(2, 0x1, &second);
    rig->catalog->changes[0] = &first;
    rig->catalog->changes[1] = &second;
    rig->workers[2]->room = FAKE_ROOM_RESERVED;

    pump_take_changes(rig->pump);
    assert_string_equal(fake_trace, "take "); /* worker 1 had room, and got nothing either */
    assert_true(pump_is_waiting(rig->pump));
    assert_true(gate_is_open(rig));

    pump_take_changes(rig->pump); /* no further change is taken */
    assert_int_equal(rig->catalog->take_count, 1);
    assert_true(gate_is_open(rig));
    assert_int_equal(rig->gate.begun, 1);

    test_now_ns += 20 * NS_PER_SEC;
    assert_false(pump_take_messages(rig->pump)); /* complains, and goes on waiting */
    assert_true(pump_is_waiting(rig->pump));

    fake_trace_clear();
    rig->workers[2]->room = FAKE_ROOM_RESERVED + 1;
    assert_false(pump_take_messages(rig->pump));
    assert_string_equal(fake_trace, "generation(1,open,1) generation(2,open,1) wake(1) wake(2) ");
    assert_false(pump_is_waiting(rig->pump));
    assert_false(gate_is_open(rig));
    assert_int_equal(pump_counters(rig->pump)->generations_delayed, 1);

    fake_trace_clear();
    pump_take_changes(rig->pump);
    assert_string_equal(fake_trace, "take generation(0,open,2) wake(0) ");
}

static void pump_keeps_an_answer_behind_its_waiting_generation(void **state)
{
    struct rig *rig = *state;
    struct generation generation;
    make_generation(4, 0x2, &generation);
    rig->catalog->load_generation = &generation;
    rig->workers[1]->room = 0;
    fake_worker_miss(rig->workers[0], &rig->misses[0], "a");
    fake_worker_miss(rig->workers[0], &rig->misses[1], "b");
    fake_worker_miss(rig->workers[2], &rig->misses[2], "c");
    assert_false(pump_take_messages(rig->pump));
    assert_string_equal(fake_trace, "load(0,a) ");

    pump_take_changes(rig->pump); /* a round would overtake the answer */
    assert_int_equal(rig->catalog->take_count, 0);

    fake_trace_clear();
    rig->workers[1]->room = 10;
    assert_false(pump_take_messages(rig->pump));
    assert_string_equal(fake_trace, "generation(1,4) loaded(0,a,404) load(0,b) loaded(0,b,404) "
                                    "load(2,c) loaded(2,c,404) wake(0) wake(1) wake(2) ");
    assert_int_equal(pump_counters(rig->pump)->misses_delayed, 2);
}

static void pump_takes_what_workers_give_back_while_it_waits(void **state)
{
    struct rig *rig = *state;
    struct generation waiting;
    make_generation(2, 0x1, &waiting);
    struct generation applied;
    make_generation(1, 0x1, &applied);
    struct version version = {0};
    rig->catalog->changes[0] = &waiting;
    rig->workers[0]->room = 0;
    pump_take_changes(rig->pump);

    fake_worker_miss(rig->workers[0], &rig->misses[0], "a");
    fake_worker_post(rig->workers[0], (struct message){MESSAGE_APPLIED, 0, &applied, NULL});
    fake_worker_post(rig->workers[0], (struct message){MESSAGE_EVICTED, 0, &version, NULL});
    fake_worker_post(rig->workers[0], (struct message){MESSAGE_RELEASED, 0, &version, NULL});
    assert_false(pump_take_messages(rig->pump));
    assert_int_equal(rig->catalog->applied_count, 1);
    assert_int_equal(rig->catalog->evicted_count, 1);
    assert_int_equal(rig->catalog->released_count, 1);
    assert_int_equal(rig->catalog->load_count, 0);
    assert_true(pump_is_waiting(rig->pump));
}

static void pump_takes_messages_in_bounded_batches(void **state)
{
    struct rig *rig = *state;
    for (uint32_t i = 0; i < TEST_MISSES; i++) {
        fake_worker_miss(rig->workers[0], &rig->misses[i], "a");
    }
    fake_worker_post(rig->workers[2], (struct message){.kind = MESSAGE_DRAINED});
    assert_true(pump_take_messages(rig->pump));
    assert_true(rig->catalog->load_count <= PUMP_BATCH_MAX);
    assert_int_equal(pump_drained_count(rig->pump), 1); /* the busy one did not starve it */
    uint32_t turns = 1;
    while (pump_take_messages(rig->pump)) {
        turns++;
        assert_true(rig->catalog->load_count <= (turns + 1) * PUMP_BATCH_MAX);
    }
    assert_int_equal(rig->catalog->load_count, TEST_MISSES);
}

static void pump_answers_held_misses_in_bounded_batches(void **state)
{
    struct rig *rig = *state;
    struct generation generation;
    make_generation(1, 0x1, &generation);
    rig->catalog->changes[0] = &generation;
    rig->workers[0]->room = 0;
    pump_take_changes(rig->pump);
    for (uint32_t i = 0; i < TEST_MISSES; i++) {
        fake_worker_miss(rig->workers[1], &rig->misses[i], "a");
    }
    while (pump_take_messages(rig->pump)) {
    }
    assert_int_equal(rig->catalog->load_count, 0);

    rig->workers[0]->room = 10;
    assert_true(pump_take_messages(rig->pump));
    assert_int_equal(rig->catalog->load_count, PUMP_BATCH_MAX);
    while (pump_take_messages(rig->pump)) {
    }
    assert_int_equal(rig->catalog->load_count, TEST_MISSES);
    assert_int_equal(pump_counters(rig->pump)->misses_delayed, TEST_MISSES);
}

static void pump_observes_freshness_at_the_last_applied(void **state)
{
    struct rig *rig = *state;
    struct generation generation;
    make_generation(1, 0x3, &generation);
    struct message applied = {.kind = MESSAGE_APPLIED, .pointer = &generation};
    test_now_ns = 1000 + 60000;
    fake_worker_post(rig->workers[0], applied);
    assert_false(pump_take_messages(rig->pump));
    assert_int_equal(rig->freshness.count, 0);
    test_now_ns = 1000 + 200000;
    fake_worker_post(rig->workers[1], applied);
    assert_false(pump_take_messages(rig->pump));
    assert_int_equal(rig->freshness.count, 1);
    assert_int_equal(rig->freshness.sum_ns, 200000);
}

static void pump_sends_drain_and_stop_into_reserved_room(void **state)
{
    struct rig *rig = *state;
    pump_send_to_all(rig->pump, MESSAGE_DRAIN);
    pump_send_to_all(rig->pump, MESSAGE_STOP);
    assert_string_equal(fake_trace, "drain(0) drain(1) drain(2) wake(0) wake(1) wake(2) "
                                    "stop(0) stop(1) stop(2) wake(0) wake(1) wake(2) ");
}

static void pump_take_last_answers_nothing(void **state)
{
    struct rig *rig = *state;
    struct version version = {0};
    for (uint32_t i = 0; i < TEST_MISSES; i++) {
        fake_worker_miss(rig->workers[0], &rig->misses[i], "a");
    }
    fake_worker_post(rig->workers[0], (struct message){MESSAGE_RELEASED, 0, &version, NULL});
    pump_take_last(rig->pump);
    assert_int_equal(rig->catalog->released_count, 1);
    assert_int_equal(rig->catalog->load_count, 0);
    assert_string_equal(fake_trace, "");
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_create, rig_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(pump_answers_a_miss),
        RIG_TEST(pump_gives_the_loaded_version),
        RIG_TEST(pump_sends_a_generation_before_the_answer_it_came_with),
        RIG_TEST(pump_wakes_each_worker_once_a_turn),
        RIG_TEST(pump_finishes_the_round_before_it_wakes),
        RIG_TEST(pump_finishes_a_round_without_changes),
        RIG_TEST(pump_holds_a_generation_back_until_every_holder_has_room),
        RIG_TEST(pump_keeps_an_answer_behind_its_waiting_generation),
        RIG_TEST(pump_takes_what_workers_give_back_while_it_waits),
        RIG_TEST(pump_takes_messages_in_bounded_batches),
        RIG_TEST(pump_answers_held_misses_in_bounded_batches),
        RIG_TEST(pump_observes_freshness_at_the_last_applied),
        RIG_TEST(pump_sends_drain_and_stop_into_reserved_room),
        RIG_TEST(pump_take_last_answers_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
