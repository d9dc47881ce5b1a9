#include "server/http/etag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "server/base/check.h"

static void format(const struct http_etag_source *source, char out[static HTTP_ETAG_MAX + 1])
{
    out[http_etag_format(source, out)] = '\0';
}

static void etag_shows_size_and_time_and_hides_the_rest(void **state)
{
    (void)state;
    const struct http_etag_source source = {
        .size_bytes = 500,
        .mtime_ns = INT64_C(0x17c9b3e0d1a2b3c4),
        .ctime_ns = 1,
        .inode = 0xdecade,
        .device = 8,
    };
    char tag[HTTP_ETAG_MAX + 1];
    format(&source, tag);
    assert_int_equal(strncmp(tag, "\"1f4-17c9b3e0d1a2b3c4-", 22), 0);
    assert_int_equal(tag[strlen(tag) - 1], '"');
    assert_null(strstr(tag, "decade"));
}

static void etag_is_never_longer_than_its_maximum(void **state)
{
    (void)state;
    struct http_etag_source source = {.size_bytes = UINT64_MAX, .mtime_ns = -1};
    size_t longest = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        source.inode = i;
        char tag[HTTP_ETAG_MAX];
        size_t bytes = http_etag_format(&source, tag);
        assert_true(bytes <= HTTP_ETAG_MAX);
        longest = bytes > longest ? bytes : longest;
    }
    assert_int_equal(longest, HTTP_ETAG_MAX);
}

static void etag_differs_when_any_one_thing_differs(void **state)
{
    (void)state;
    const struct http_etag_source base = {100, 1000000000, 2000000000, 7, 8};
    struct http_etag_source sources[] = {base, base, base, base, base, base, base};
    sources[1].size_bytes++;
    sources[2].mtime_ns++;
    sources[3].ctime_ns++;
    sources[4].inode++;
    sources[5].device++;
    sources[6].inode = base.device; /* swapped numbers are not the same */
    sources[6].device = base.inode;
    char tags[ARRAY_COUNT(sources)][HTTP_ETAG_MAX + 1];
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
        format(&sources[i], tags[i]);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(tags[i], tags[j]);
        }
    }
    char again[HTTP_ETAG_MAX + 1];
    format(&base, again);
    assert_string_equal(again, tags[0]);
}

static void etag_digits_do_not_run_together(void **state)
{
    (void)state;
    /* Caddy 2026-08-11: without a separator 0x1 + 0x23 and 0x12 + 0x3 were one tag. */
    char a[HTTP_ETAG_MAX + 1];
    char b[HTTP_ETAG_MAX + 1];
    format(&(struct http_etag_source){.size_bytes = 0x1, .mtime_ns = 0x23}, a);
    format(&(struct http_etag_source){.size_bytes = 0x12, .mtime_ns = 0x3}, b);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etag_shows_size_and_time_and_hides_the_rest),
        cmocka_unit_test(etag_is_never_longer_than_its_maximum),
        cmocka_unit_test(etag_differs_when_any_one_thing_differs),
        cmocka_unit_test(etag_digits_do_not_run_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
