/*
 * Ranges: eight bytes of file size, then a field value. Properties: a part lies in the file and is
 * not empty; and the numbers of the input, written as a proper range, give what simple arithmetic
 * says.
 */
#include "server/http/range.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_range(struct span value, uint64_t size_bytes)
{
    struct http_range range = {.start_offset = 7, .end_offset = 7};
    enum http_range_result result = http_range_parse(value, size_bytes, &range);
    if (result == HTTP_RANGE_SATISFIABLE) {
        ASSERT(range.start_offset < range.end_offset);
        ASSERT(range.end_offset <= size_bytes);
        return;
    }
    ASSERT(range.start_offset == 7);
    ASSERT(range.end_offset == 7);
    ASSERT(result == HTTP_RANGE_IGNORED || size_bytes > 0);
}

/* `first-last` of what the range must be, in numbers that cannot overflow. */
static void check_proper_range(uint64_t first, uint64_t last, uint64_t size_bytes)
{
    char text[64];
    int bytes = snprintf(text, sizeof(text), "bytes=%" PRIu64 "-%" PRIu64, first, last);
    struct http_range range;
    enum http_range_result result = http_range_parse(span_of(text, bytes), size_bytes, &range);
    if (size_bytes == 0 || last < first) {
        ASSERT(result == HTTP_RANGE_IGNORED);
        return;
    }
    if (first >= size_bytes) {
        ASSERT(result == HTTP_RANGE_UNSATISFIABLE);
        return;
    }
    unsigned __int128 end = (unsigned __int128)last + 1;
    ASSERT(result == HTTP_RANGE_SATISFIABLE);
    ASSERT(range.start_offset == first);
    ASSERT(range.end_offset == (end < size_bytes ? end : size_bytes));
}

static void check_proper_suffix(uint64_t suffix, uint64_t size_bytes)
{
    char text[64];
    int bytes = snprintf(text, sizeof(text), "bytes=-%" PRIu64, suffix);
    struct http_range range;
    enum http_range_result result = http_range_parse(span_of(text, bytes), size_bytes, &range);
    if (size_bytes == 0) {
        ASSERT(result == HTTP_RANGE_IGNORED);
        return;
    }
    if (suffix == 0) {
        ASSERT(result == HTTP_RANGE_UNSATISFIABLE);
        return;
    }
    ASSERT(result == HTTP_RANGE_SATISFIABLE);
    ASSERT(range.end_offset == size_bytes);
    ASSERT(range.end_offset - range.start_offset == (suffix < size_bytes ? suffix : size_bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint64_t numbers[3] = {0, 0, 0};
    if (bytes < sizeof(numbers[0])) {
        return 0;
    }
    memcpy(numbers, data, bytes < sizeof(numbers) ? bytes : sizeof(numbers));
    check_range(span_skip(span_of(data, bytes), sizeof(numbers[0])), numbers[0]);
    check_proper_range(numbers[1], numbers[2], numbers[0]);
    check_proper_range(numbers[1] % (numbers[0] | 1), numbers[2], numbers[0]);
    check_proper_suffix(numbers[1], numbers[0]);
    return 0;
}
