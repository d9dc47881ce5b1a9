/*
 * Any bytes as an inotify queue. The parser always advances, stays within its input, names end
 * before their first NUL, and the events are those that the slow, obvious reading finds.
 */
#include "server/catalog/watch_events.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "server/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint32_t word_at(const uint8_t *data, size_t offset)
{
    uint32_t word = 0;
    memcpy(&word, data + offset, sizeof(word));
    return word;
}

static void check_name(struct span name, const uint8_t *start, size_t padded_bytes)
{
    size_t bytes = 0;
    while (bytes < padded_bytes && start[bytes] != 0) {
        bytes++;
    }
    ASSERT(name.bytes == bytes);
    ASSERT(bytes == 0 || name.ptr == start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    for (;;) {
        struct watch_event event;
        const ssize_t taken = watch_events_next(span_of(data + at, bytes - at), &event);
        if (taken == 0) {
            ASSERT(at == bytes);
            return 0;
        }
        const bool is_whole = bytes - at >= 16 && word_at(data, at + 12) <= bytes - at - 16;
        if (taken < 0) {
            ASSERT(taken == -EBADMSG && !is_whole);
            return 0;
        }
        ASSERT(is_whole);
        ASSERT((size_t)taken == 16 + (size_t)word_at(data, at + 12));
        ASSERT((uint32_t)event.wd == word_at(data, at));
        ASSERT(event.mask == word_at(data, at + 4));
        check_name(event.name, data + at + 16, word_at(data, at + 12));
        at += (size_t)taken;
    }
}
