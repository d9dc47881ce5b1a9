#include "server/http/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/base/check.h"

static const char *const extensions[] = {
#define HTTP_MIME(extension, type) extension,
#include "server/http/mime.def"
#undef HTTP_MIME
};

struct mime_case {
    const char *path;
    const char *want;
};

static const struct mime_case mime_cases[] = {
    {"index.html", "text/html; charset=utf-8"},
    {"dir/INDEX.HTM", "text/html; charset=utf-8"},
    {"a.b/c.Css", "text/css; charset=utf-8"},
    {"app.4f3e2a.js", "text/javascript; charset=utf-8"},
    {"app.mjs", "text/javascript; charset=utf-8"},
    {"app.js.map", "application/json; charset=utf-8"},
    {"data.json", "application/json; charset=utf-8"},
    {"logo.svg", "image/svg+xml; charset=utf-8"},
    {"feed.xml", "text/xml; charset=utf-8"},
    {"site.webmanifest", "application/manifest+json; charset=utf-8"},
    {"p.png", "image/png"},
    {"f.woff2", "font/woff2"},
    {"m.wasm", "application/wasm"},
    {"a.tar.gz", "application/gzip"},
    {"3.3g2", "video/3gpp2"},
    {"z.zst", "application/zstd"},
    {"README", "application/octet-stream"},
    {"a.unknown", "application/octet-stream"},
    {"a.b/README", "application/octet-stream"},
    {"a.", "application/octet-stream"},
    {".html", "application/octet-stream"},
    {"dir/.html", "application/octet-stream"},
    {"dir.html/", "application/octet-stream"},
    {"", "application/octet-stream"},
    {"a.webmanifestx", "application/octet-stream"},
    {"a.averyverylongextension", "application/octet-stream"},
};

static void mime_type_goes_by_the_last_extension(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(mime_cases); i++) {
        struct span type = http_mime_of(span_of_string(mime_cases[i].path));
        if (!span_equal(type, span_of_string(mime_cases[i].want))) {
            fail_msg("'%s': got %.*s", mime_cases[i].path, (int)type.bytes, type.ptr);
        }
        assert_int_equal(type.ptr[type.bytes], '\0');
    }
    assert_true(http_mime_of(span_of(NULL, 0)).bytes > 0);
    /* A NUL inside must not cut the name into another one. */
    assert_true(span_equal(http_mime_of(span_of("a.js\0x", 6)), SPAN("application/octet-stream")));
}

static void mime_table_is_sorted_and_each_entry_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(extensions); i++) {
        assert_true(i == 0 || strcmp(extensions[i - 1], extensions[i]) < 0);
        char name[32];
        (void)snprintf(name, sizeof(name), "x.%s", extensions[i]);
        struct span type = http_mime_of(span_of_string(name));
        assert_in_range(type.bytes, 1, HTTP_MIME_BYTES_MAX);
        bool is_text = type.bytes > 5 && memcmp(type.ptr, "text/", 5) == 0;
        assert_true(!is_text || memmem(type.ptr, type.bytes, "; charset=utf-8", 15) != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mime_type_goes_by_the_last_extension),
        cmocka_unit_test(mime_table_is_sorted_and_each_entry_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
