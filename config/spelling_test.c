#include "config/spelling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void spelling_counts_slips(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        uint32_t want;
    } cases[] = {
        {"", "", 0},
        {"root", "root", 0},
        {"ROOT", "root", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"rooot", "root", 1},
        {"rot", "root", 1},
        {"roat", "root", 1},
        {"orot", "root", 1},
        {"rotoo", "root", 2},
        {"listne", "listen", 1},
        {"ca", "abc", 3}, /* aligned: no edits between the two that were swapped */
        {"kitten", "sitting", 3},
        {"max_connections", "max-connections", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("'%s' '%s'\n", cases[i].a, cases[i].b);
        struct span a = span_of_string(cases[i].a);
        struct span b = span_of_string(cases[i].b);
        assert_int_equal(spelling_distance(a, b), cases[i].want);
        assert_int_equal(spelling_distance(b, a), cases[i].want);
    }
}

static void spelling_does_not_compare_long_words(void **state)
{
    (void)state;
    static const uint8_t letters[SPELLING_WORD_MAX + 1];
    struct span fits = span_of(letters, SPELLING_WORD_MAX);
    struct span longer = span_of(letters, SPELLING_WORD_MAX + 1);
    assert_int_equal(spelling_distance(fits, fits), 0);
    assert_int_equal(spelling_distance(fits, longer), UINT32_MAX);
    assert_int_equal(spelling_distance(longer, fits), UINT32_MAX);
}

static void spelling_finds_the_nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"root", "index", "listen", "memory", "memory-body", "tls"};
    static const struct {
        const char *word;
        const char *want; /* "": none */
    } cases[] = {
        {"rooot", "root"},
        {"indx", "index"},
        {"Listen", "listen"},
        {"memry", "memory"},
        {"memory_body", "memory-body"},
        {"threads", ""},
        {"", ""},
        {"x", ""},
        {"tsl", "tls"},
        {"ab", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("'%s'\n", cases[i].word);
        const char *nearest = spelling_nearest(span_of_string(cases[i].word), words, 6);
        assert_string_equal(nearest == NULL ? "" : nearest, cases[i].want);
    }
}

static void spelling_prefers_the_nearer_then_the_first(void **state)
{
    (void)state;
    static const char *const words[] = {"aabb", "abbb", "bbbb"};
    assert_string_equal(spelling_nearest(SPAN("abbb"), words, 3), "abbb");
    assert_string_equal(spelling_nearest(SPAN("cabbb"), words, 3), "abbb");
    assert_string_equal(spelling_nearest(SPAN("acbb"), words, 3), "aabb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spelling_counts_slips),
        cmocka_unit_test(spelling_does_not_compare_long_words),
        cmocka_unit_test(spelling_finds_the_nearest),
        cmocka_unit_test(spelling_prefers_the_nearer_then_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
