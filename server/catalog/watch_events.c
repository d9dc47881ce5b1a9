#include "server/catalog/watch_events.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

ssize_t watch_events_next(struct span in, struct watch_event *ret_event)
{
    if (in.bytes == 0) {
        return 0;
    }
    struct inotify_event head; /* copied: the bytes need not be aligned */
    if (in.bytes < sizeof(head)) {
        return -EBADMSG;
    }
    memcpy(&head, in.ptr, sizeof(head));
    const struct span rest = span_skip(in, sizeof(head));
    if (head.len > rest.bytes) {
        return -EBADMSG;
    }
    /* The kernel pads names with NULs, up to the alignment of the next event. */
    const size_t name_bytes = head.len == 0 ? 0 : strnlen((const char *)rest.ptr, head.len);
    *ret_event = (struct watch_event){
        .wd = head.wd,
        .mask = head.mask,
        .name = span_of(rest.ptr, name_bytes),
    };
    return (ssize_t)(sizeof(head) + head.len);
}
