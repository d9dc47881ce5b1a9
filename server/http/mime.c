#include "server/http/mime.h"

#include <stdlib.h>

#include "server/base/check.h"

#define EXTENSION_BYTES_MAX 11

struct mime {
    char extension[EXTENSION_BYTES_MAX + 1]; /* lower case */
    struct span type;
};

static const struct mime mimes[] = {
#define HTTP_MIME(extension, type) {extension, {(const uint8_t *)("" type), sizeof(type) - 1}},
#include "server/http/mime.def"
#undef HTTP_MIME
};

#define HTTP_MIME(extension, type)                                                                 \
    static_assert(sizeof(extension) - 1 <= EXTENSION_BYTES_MAX, extension);                        \
    static_assert(sizeof(type) - 1 <= HTTP_MIME_BYTES_MAX, type);
#include "server/http/mime.def"
#undef HTTP_MIME

/* Writes the extension in lower case; false when there is none, or none that is in the table. */
static bool read_extension(struct span path, char out[static EXTENSION_BYTES_MAX + 1])
{
    const uint8_t *slash = path.bytes > 0 ? memrchr(path.ptr, '/', path.bytes) : NULL;
    struct span name = slash != NULL ? span_skip(path, (size_t)(slash - path.ptr) + 1) : path;
    const uint8_t *dot = name.bytes > 0 ? memrchr(name.ptr, '.', name.bytes) : NULL;
    if (dot == NULL || dot == name.ptr) {
        return false;
    }
    struct span extension = span_skip(name, (size_t)(dot - name.ptr) + 1);
    if (extension.bytes == 0 || extension.bytes > EXTENSION_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < extension.bytes; i++) {
        uint8_t c = extension.ptr[i];
        if (c == '\0') {
            return false;
        }
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    out[extension.bytes] = '\0';
    return true;
}

static int compare_extension(const void *key, const void *element)
{
    const struct mime *mime = element;
    return strcmp(key, mime->extension);
}

struct span http_mime_of(struct span path)
{
    char extension[EXTENSION_BYTES_MAX + 1];
    if (!read_extension(path, extension)) {
        return SPAN("application/octet-stream");
    }
    const struct mime *found =
        bsearch(extension, mimes, ARRAY_COUNT(mimes), sizeof(mimes[0]), compare_extension);
    return found != NULL ? found->type : SPAN("application/octet-stream");
}
