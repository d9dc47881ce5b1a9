#include "server/http/writer.h"

#define NUMBER_DIGITS_MAX 20 /* of UINT64_MAX */

void http_writer_put(struct http_writer *writer, struct span text)
{
    if (writer->has_overflowed || text.bytes > writer->capacity_bytes - writer->bytes) {
        writer->has_overflowed = true;
        return;
    }
    if (text.bytes > 0) {
        memcpy(writer->buffer + writer->bytes, text.ptr, text.bytes);
        writer->bytes += text.bytes;
    }
}

void http_writer_put_number(struct http_writer *writer, uint64_t number)
{
    char digits[NUMBER_DIGITS_MAX];
    size_t first = NUMBER_DIGITS_MAX;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    http_writer_put(writer, span_of(digits + first, NUMBER_DIGITS_MAX - first));
}

size_t http_writer_finish(const struct http_writer *writer)
{
    return writer->has_overflowed ? 0 : writer->bytes;
}
