#include "server/http/range.h"

#include "server/http/chars.h"
#include "server/http/fields.h"

/* Takes all digits from the front; a number beyond 64 bits becomes the largest one, which is behind
 * the end of any file just as well. False when there is no digit. */
static bool take_number(struct span *rest, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t count = 0;
    while (count < rest->bytes && rest->ptr[count] >= '0' && rest->ptr[count] <= '9') {
        uint64_t digit = rest->ptr[count] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            value = UINT64_MAX;
            count += http_chars_count(span_skip(*rest, count), HTTP_CHAR_DIGIT);
            break;
        }
        count++;
    }
    *rest = span_skip(*rest, count);
    *ret_value = value;
    return count > 0;
}

/* suffix-range: the last `bytes` bytes, or all there are. */
static enum http_range_result
suffix_range(uint64_t bytes, uint64_t size_bytes, struct http_range *ret_range)
{
    if (bytes == 0) {
        return HTTP_RANGE_UNSATISFIABLE;
    }
    uint64_t start_offset = bytes < size_bytes ? size_bytes - bytes : 0;
    *ret_range = (struct http_range){.start_offset = start_offset, .end_offset = size_bytes};
    return HTTP_RANGE_SATISFIABLE;
}

/* RFC 9110 14.1.1: `first-`, `first-last` or `-suffix`. `size_bytes` > 0. */
static enum http_range_result
read_range(struct span spec, uint64_t size_bytes, struct http_range *ret_range)
{
    uint64_t first;
    bool has_first = take_number(&spec, &first);
    if (spec.bytes == 0 || spec.ptr[0] != '-') {
        return HTTP_RANGE_IGNORED;
    }
    spec = span_skip(spec, 1);
    uint64_t last;
    bool has_last = take_number(&spec, &last);
    if (spec.bytes > 0 || (!has_first && !has_last)) {
        return HTTP_RANGE_IGNORED;
    }
    if (!has_first) {
        return suffix_range(last, size_bytes, ret_range);
    }
    if (has_last && last < first) {
        return HTTP_RANGE_IGNORED;
    }
    if (first >= size_bytes) {
        return HTTP_RANGE_UNSATISFIABLE;
    }
    bool is_cut = has_last && last < size_bytes - 1;
    *ret_range = (struct http_range){
        .start_offset = first,
        .end_offset = is_cut ? last + 1 : size_bytes,
    };
    return HTTP_RANGE_SATISFIABLE;
}

enum http_range_result
http_range_parse(struct span value, uint64_t size_bytes, struct http_range *ret_range)
{
    const struct span unit = SPAN("bytes=");
    if (size_bytes == 0 || value.bytes < unit.bytes ||
        !http_equal_nocase(span_of(value.ptr, unit.bytes), unit)) {
        return HTTP_RANGE_IGNORED;
    }
    struct span rest = span_skip(value, unit.bytes);
    struct span spec;
    struct span second;
    if (!http_list_next(&rest, &spec) || http_list_next(&rest, &second)) {
        return HTTP_RANGE_IGNORED;
    }
    return read_range(spec, size_bytes, ret_range);
}
