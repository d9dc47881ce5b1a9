/*
 * A bounded queue of small messages from one thread to one other (single producer, single
 * consumer), wait-free on both sides. It neither wakes nor blocks: the owner of the pair does that.
 *
 * Memory order: what the producer wrote before mailbox_send() is visible to the consumer after the
 * mailbox_receive() that returned the message.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One message: what it is, and what it is about. Pointers pass ownership as the kind says. */
struct message {
    uint32_t kind;
    uint32_t number;
    void *pointer;
    void *second;
};

struct mailbox {
    struct message *ring;
    uint32_t mask;                      /* capacity - 1; capacity is a power of two */
    _Alignas(64) _Atomic uint32_t head; /* next to receive; written by the consumer */
    _Alignas(64) _Atomic uint32_t tail; /* next to send; written by the producer */
};

/**
 * Makes room for at least `capacity` messages (1..2^30, rounded up to a power of two).
 *
 * returns   0 or -ENOMEM
 */
[[gnu::warn_unused_result]] int mailbox_init(struct mailbox *mailbox, uint32_t capacity);
void mailbox_deinit(struct mailbox *mailbox);

/** Producer's thread. False when full: nothing was sent. */
[[gnu::warn_unused_result]] bool mailbox_send(struct mailbox *mailbox, struct message message);

/** Producer's thread: how many messages can be sent now, at least. */
uint32_t mailbox_room(const struct mailbox *mailbox);

/** Consumer's thread. False when empty: `ret_message` is untouched. */
bool mailbox_receive(struct mailbox *mailbox, struct message *ret_message);
