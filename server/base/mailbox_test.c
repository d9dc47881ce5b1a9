#include "server/base/mailbox.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/base/check.h"

static struct message numbered(uint32_t number)
{
    return (struct message){.kind = 7, .number = number};
}

static void init_rounds_capacity_up(void **state)
{
    (void)state;
    static const struct {
        uint32_t capacity;
        uint32_t want_room;
    } cases[] = {{1, 1}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1000, 1024}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct mailbox mailbox;
        assert_int_equal(mailbox_init(&mailbox, cases[i].capacity), 0);
        assert_int_equal(mailbox_room(&mailbox), cases[i].want_room);
        mailbox_deinit(&mailbox);
    }
}

static void receive_leaves_the_message_alone_when_empty(void **state)
{
    (void)state;
    struct mailbox mailbox;
    struct message message = numbered(99);
    assert_int_equal(mailbox_init(&mailbox, 4), 0);
    assert_false(mailbox_receive(&mailbox, &message));
    assert_int_equal(message.number, 99);
    mailbox_deinit(&mailbox);
}

static void send_fails_when_full_and_loses_nothing(void **state)
{
    (void)state;
    struct mailbox mailbox;
    struct message message;
    assert_int_equal(mailbox_init(&mailbox, 4), 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(mailbox_room(&mailbox), 4 - i);
        assert_true(mailbox_send(&mailbox, numbered(i)));
    }
    assert_false(mailbox_send(&mailbox, numbered(100)));
    assert_int_equal(mailbox_room(&mailbox), 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(mailbox_receive(&mailbox, &message));
        assert_int_equal(message.kind, 7);
        assert_int_equal(message.number, i);
    }
    assert_false(mailbox_receive(&mailbox, &message));
    mailbox_deinit(&mailbox);
}

/* After 2^32 messages the counters wrap: nobody waits that long but this test. */
static void order_holds_where_counters_wrap(void **state)
{
    (void)state;
    struct mailbox mailbox;
    struct message message;
    uint32_t next = 0;
    assert_int_equal(mailbox_init(&mailbox, 4), 0);
    atomic_store(&mailbox.head, UINT32_MAX - 5);
    atomic_store(&mailbox.tail, UINT32_MAX - 5);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(mailbox_send(&mailbox, numbered(i)));
        if (i < 3) {
            continue; /* keeps three in the box from here on */
        }
        assert_int_equal(mailbox_room(&mailbox), 0);
        assert_false(mailbox_send(&mailbox, numbered(i)));
        assert_true(mailbox_receive(&mailbox, &message));
        assert_int_equal(message.number, next++);
    }
    mailbox_deinit(&mailbox);
}

#define TRIP_COUNT   200000
#define PARCEL_COUNT 48 /* more than fit into the small box at once */

/* Ordinary memory that only the messages hand from one thread to the other. */
struct parcel {
    uint64_t value;
    uint64_t answer;
};

struct pair {
    struct mailbox there; /* small, so that it is often full */
    struct mailbox back;
};

static void *answer_parcels(void *context)
{
    struct pair *pair = context;
    for (uint32_t i = 0; i < TRIP_COUNT; i++) {
        struct message message;
        while (!mailbox_receive(&pair->there, &message)) {
            (void)sched_yield();
        }
        struct parcel *parcel = message.pointer;
        parcel->answer = message.number == i ? parcel->value * 3 : 0;
        while (!mailbox_send(&pair->back, message)) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static uint32_t collect_answers(struct pair *pair, uint32_t collected_count)
{
    struct message message;
    while (mailbox_receive(&pair->back, &message)) {
        struct parcel *parcel = message.pointer;
        assert_int_equal(message.number, collected_count);
        assert_ptr_equal(message.second, pair);
        assert_int_equal(parcel->value, (uint64_t)message.number + 17);
        assert_int_equal(parcel->answer, 3 * parcel->value);
        collected_count++;
    }
    return collected_count;
}

static void threads_pass_memory_in_order(void **state)
{
    (void)state;
    struct pair pair;
    struct parcel parcels[PARCEL_COUNT];
    pthread_t thread;
    assert_int_equal(mailbox_init(&pair.there, 16), 0);
    assert_int_equal(mailbox_init(&pair.back, 64), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_parcels, &pair), 0);

    uint32_t sent_count = 0;
    uint32_t answered_count = 0;
    while (answered_count < TRIP_COUNT) {
        while (sent_count < TRIP_COUNT && sent_count - answered_count < PARCEL_COUNT) {
            struct parcel *parcel = &parcels[sent_count % PARCEL_COUNT];
            *parcel = (struct parcel){.value = (uint64_t)sent_count + 17};
            const struct message message = {
                .number = sent_count, .pointer = parcel, .second = &pair};
            if (!mailbox_send(&pair.there, message)) {
                break;
            }
            sent_count++;
        }
        answered_count = collect_answers(&pair, answered_count);
        (void)sched_yield();
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    mailbox_deinit(&pair.there);
    mailbox_deinit(&pair.back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_rounds_capacity_up),
        cmocka_unit_test(receive_leaves_the_message_alone_when_empty),
        cmocka_unit_test(send_fails_when_full_and_loses_nothing),
        cmocka_unit_test(order_holds_where_counters_wrap),
        cmocka_unit_test(threads_pass_memory_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
