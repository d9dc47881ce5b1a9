#include "server/http/etag.h"

#include <endian.h>

#include "server/base/check.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HEX_DIGITS_MAX 16

static_assert(HTTP_ETAG_MAX == 3 * HEX_DIGITS_MAX + sizeof("\"--\"") - 1, "the form of a tag");

/* Without leading zeros, at least one digit. */
static size_t put_hex(char *out, uint64_t value)
{
    uint32_t count = 1;
    while (count < HEX_DIGITS_MAX && value >> (4 * count) != 0) {
        count++;
    }
    for (uint32_t i = 0; i < count; i++) {
        out[i] = "0123456789abcdef"[value >> (4 * (count - 1 - i)) & 0xf];
    }
    return count;
}

/* The same on every machine: two servers behind one balancer may share a disk. */
static uint64_t hash_identity(const struct http_etag_source *source)
{
    const uint64_t identity[] = {
        htole64(source->inode),
        htole64(source->device),
        htole64((uint64_t)source->ctime_ns),
    };
    return XXH3_64bits(identity, sizeof(identity));
}

size_t http_etag_format(const struct http_etag_source *source, char out[static HTTP_ETAG_MAX])
{
    size_t bytes = 0;
    out[bytes++] = '"';
    bytes += put_hex(out + bytes, source->size_bytes);
    out[bytes++] = '-';
    bytes += put_hex(out + bytes, (uint64_t)source->mtime_ns);
    out[bytes++] = '-';
    bytes += put_hex(out + bytes, hash_identity(source));
    out[bytes++] = '"';
    return bytes;
}
