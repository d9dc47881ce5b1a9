#include "server/base/mailbox.h"

#include <errno.h>
#include <stdatomic.h>

#include "server/base/alloc.h"
#include "server/base/check.h"

int mailbox_init(struct mailbox *mailbox, uint32_t capacity)
{
    ASSERT(capacity >= 1);
    ASSERT(capacity <= UINT32_C(1) << 30);
    uint32_t rounded = 1;
    while (rounded < capacity) {
        rounded *= 2;
    }
    mailbox->ring = alloc_map(rounded * sizeof(struct message));
    if (mailbox->ring == NULL) {
        return -ENOMEM;
    }
    mailbox->mask = rounded - 1;
    atomic_init(&mailbox->head, 0);
    atomic_init(&mailbox->tail, 0);
    return 0;
}

uint32_t mailbox_room(const struct mailbox *mailbox)
{
    uint32_t head = atomic_load_explicit(&mailbox->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&mailbox->tail, memory_order_relaxed);
    return mailbox->mask + 1 - (tail - head);
}

bool mailbox_send(struct mailbox *mailbox, struct message message)
{
    if (mailbox_room(mailbox) == 0) {
        return false;
    }
    uint32_t tail = atomic_load_explicit(&mailbox->tail, memory_order_relaxed);
    mailbox->ring[tail & mailbox->mask] = message;
    atomic_store_explicit(&mailbox->tail, tail + 1, memory_order_release);
    return true;
}

bool mailbox_receive(struct mailbox *mailbox, struct message *ret_message)
{
    uint32_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&mailbox->tail, memory_order_acquire)) {
        return false;
    }
    *ret_message = mailbox->ring[head & mailbox->mask];
    atomic_store_explicit(&mailbox->head, head + 1, memory_order_release);
    return true;
}

void mailbox_deinit(struct mailbox *mailbox)
{
    alloc_unmap(mailbox->ring, ((size_t)mailbox->mask + 1) * sizeof(struct message));
    mailbox->ring = NULL;
}
