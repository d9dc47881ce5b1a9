/*
 * Request targets. Properties: a key holds nothing that leads out of the root or that the operating
 * system would read otherwise; what is encoded again decodes to the same key.
 */
#include "server/http/target.h"

#include "server/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_segment(struct span segment, bool is_last, const struct http_target *target)
{
    ASSERT(segment.bytes <= HTTP_SEGMENT_MAX);
    ASSERT(segment.bytes > 0 || is_last);
    ASSERT(!span_equal(segment, SPAN(".")));
    ASSERT(!span_equal(segment, SPAN("..")));
    bool starts_with_dot = segment.bytes > 0 && segment.ptr[0] == '.';
    ASSERT(!starts_with_dot || target->is_hidden || span_equal(segment, SPAN(".well-known")));
}

static void check_key(const struct http_target *target, const char *buffer)
{
    struct span key = target->key;
    ASSERT(key.bytes <= HTTP_PATH_MAX);
    ASSERT(strlen(buffer) == key.bytes);
    size_t start = 0;
    for (size_t i = 0; i < key.bytes; i++) {
        ASSERT(key.ptr[i] >= 0x20 && key.ptr[i] != 0x7f && key.ptr[i] != '\\');
        if (key.ptr[i] == '/') {
            check_segment(span_of(key.ptr + start, i - start), false, target);
            start = i + 1;
        }
    }
    check_segment(span_of(key.ptr + start, key.bytes - start), true, target);
    ASSERT(target->is_directory == (start == key.bytes));
}

static void check_round_trip(const struct http_target *target)
{
    char path[HTTP_ENCODED_PATH_MAX];
    size_t path_bytes = http_target_encode_path(target->key, path, sizeof(path));
    ASSERT(path_bytes > 0);
    for (size_t i = 0; i < path_bytes; i++) {
        ASSERT((uint8_t)path[i] > 0x20 && (uint8_t)path[i] < 0x7f);
    }
    ASSERT(path_bytes == 1 || path[1] != '/');

    char buffer[HTTP_PATH_MAX + 1];
    struct http_target again;
    ASSERT(http_target_decode(span_of(path, path_bytes), buffer, sizeof(buffer), &again) == 0);
    ASSERT(span_equal(again.key, target->key));
    ASSERT(again.is_directory == target->is_directory);
    ASSERT(again.is_hidden == target->is_hidden);
    ASSERT(again.query.ptr == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char buffer[HTTP_PATH_MAX + 1];
    struct http_target target;
    uint32_t status = http_target_decode(span_of(data, bytes), buffer, sizeof(buffer), &target);
    if (status != 0) {
        ASSERT(status == 400 || status == 404 || status == 414);
        return 0;
    }
    check_key(&target, buffer);
    check_round_trip(&target);
    return 0;
}
