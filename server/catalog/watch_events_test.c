/* Events as the kernel lays them out, whole and cut at every byte. */
#include "server/catalog/watch_events.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <cmocka.h>

struct queue {
    uint8_t bytes[512];
    size_t count;
};

/* `padded_bytes` for the name, or 0 for an event without one. */
static void put(struct queue *queue, int wd, uint32_t mask, const char *name, uint32_t padded_bytes)
{
    const struct inotify_event head = {.wd = wd, .mask = mask, .len = padded_bytes};
    memcpy(queue->bytes + queue->count, &head, sizeof(head));
    queue->count += sizeof(head);
    memset(queue->bytes + queue->count, 0, padded_bytes);
    memcpy(queue->bytes + queue->count, name, strlen(name));
    queue->count += padded_bytes;
}

static void next_gives_each_event_once(void **state)
{
    (void)state;
    struct queue queue = {.count = 0};
    put(&queue, 1, IN_CREATE, "a.html", 16);
    put(&queue, 2, IN_DELETE_SELF, "", 0);
    put(&queue, 3, IN_MODIFY, "sixteen-bytes-in", 16); /* no NUL at all: still bounded */
    put(&queue, -1, IN_Q_OVERFLOW, "", 0);
    struct span in = span_of(queue.bytes, queue.count);
    static const struct {
        int wd;
        uint32_t mask;
        const char *name;
    } want[] = {{1, IN_CREATE, "a.html"},
                {2, IN_DELETE_SELF, ""},
                {3, IN_MODIFY, "sixteen-bytes-in"},
                {-1, IN_Q_OVERFLOW, ""}};
    for (size_t i = 0; i < 4; i++) {
        struct watch_event event;
        const ssize_t bytes = watch_events_next(in, &event);
        assert_true(bytes > 0);
        assert_int_equal(event.wd, want[i].wd);
        assert_int_equal(event.mask, want[i].mask);
        assert_true(span_equal(event.name, span_of_string(want[i].name)));
        in = span_skip(in, (size_t)bytes);
    }
    struct watch_event event;
    assert_int_equal(watch_events_next(in, &event), 0);
}

static void next_refuses_what_is_cut(void **state)
{
    (void)state;
    struct queue queue = {.count = 0};
    struct watch_event event;
    put(&queue, 1, IN_CREATE, "a.html", 16);
    for (size_t bytes = 1; bytes < queue.count; bytes++) {
        assert_int_equal(watch_events_next(span_of(queue.bytes, bytes), &event), -EBADMSG);
    }
    const uint32_t huge = UINT32_MAX;
    memcpy(queue.bytes + offsetof(struct inotify_event, len), &huge, sizeof(huge));
    assert_int_equal(watch_events_next(span_of(queue.bytes, queue.count), &event), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_gives_each_event_once),
        cmocka_unit_test(next_refuses_what_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
