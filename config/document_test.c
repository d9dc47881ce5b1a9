#include "config/document.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void document_gives_the_place_of_each_node(void **state)
{
    (void)state;
    struct document document;
    struct document_mark mark = {.line = 0};
    struct sentence sentence = {.text = ""};
    struct span text = SPAN("# first\nroot:   a\n\xc3\xa4\xc3\xb6: b\n");
    assert_int_equal(document_init(&document, text, &mark, &sentence), 0);
    yaml_node_t *root = document_root(&document);
    assert_non_null(root);
    yaml_node_pair_t *pairs = root->data.mapping.pairs.start;
    struct document_mark value = document_mark_of(document_node(&document, pairs[0].value));
    assert_int_equal(value.line, 2);
    assert_int_equal(value.column, 9);
    struct document_mark second = document_mark_of(document_node(&document, pairs[1].value));
    assert_int_equal(second.line, 3);
    assert_int_equal(second.column, 5); /* in characters, as editors count */
    assert_true(span_equal(document_scalar(document_node(&document, pairs[0].key)), SPAN("root")));
    document_deinit(&document);
}

static void document_may_be_empty(void **state)
{
    (void)state;
    static const struct span texts[] = {SPAN(""), SPAN("# nothing\n"), SPAN("\n\n"), {NULL, 0}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct document document;
        struct document_mark mark = {.line = 0};
        struct sentence sentence = {.text = ""};
        assert_int_equal(document_init(&document, texts[i], &mark, &sentence), 0);
        assert_null(document_root(&document));
        document_deinit(&document);
    }
}

static void document_says_what_is_no_yaml_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct span text;
        uint64_t line;
        uint64_t column;
        const char *sentence;
    } cases[] = {
        {"star", SPAN("a: b\nlisten: *:80\n"), 2, 10, "put a value that begins with '*' in quotes"},
        {"star item", SPAN("listen:\n  - *:80\n"), 2, 6, "that begins with '*' in quotes"},
        {"bracket", SPAN("listen: [::1]:80\n"), 1, 10, "that begins with '[' in quotes"},
        {"at sign", SPAN("root: @x\n"), 1, 7, "that begins with '@' in quotes"},
        {"two colons", SPAN("root: a: b\n"), 1, 8, "in it in quotes"},
        {"open quote", SPAN("a: 1\nroot: \"b\n"), 3, 1, "that began in line 2"},
        {"undefined alias", SPAN("a: *b\n"), 1, 4, "found undefined alias"},
        {"not UTF-8", SPAN("a: 1\nb: \xff\n"), 2, 4, "not text: invalid leading UTF-8 octet"},
        {"control byte", SPAN("a: \x01\n"), 1, 4, "not text: control characters"},
        {"NUL", SPAN("a: \0\n"), 1, 4, "not text: control characters"},
        {"second document", SPAN("a: 1\n---\nb: 2\n"), 2, 1,
         "found a second document; allowed: one"},
        {"alias in the second", SPAN("a: 1\n---\n*b\n"), 3, 1, "found undefined alias"},
        {"bad second", SPAN("a: 1\n---\n\"b\n"), 4, 1, "not YAML"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct document document;
        struct document_mark mark = {.line = 0};
        struct sentence sentence = {.text = ""};
        int rc = document_init(&document, cases[i].text, &mark, &sentence);
        print_message("%s: %s\n", cases[i].name, sentence.text);
        assert_int_equal(rc, -EINVAL);
        assert_int_equal(mark.line, cases[i].line);
        assert_int_equal(mark.column, cases[i].column);
        assert_non_null(strstr(sentence.text, cases[i].sentence));
    }
}

/* In time: libyaml alone needs minutes for the first of these. */
static void document_refuses_bottomless_nesting(void **state)
{
    (void)state;
    static char text[1 << 20];
    static const char *const patterns[] = {"[", "{", "- ", "? ", "[{"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        size_t bytes = strlen(patterns[i]);
        for (size_t j = 0; j + bytes <= sizeof(text); j += bytes) {
            memcpy(text + j, patterns[i], bytes);
        }
        struct document document;
        struct document_mark mark = {.line = 0};
        struct sentence sentence = {.text = ""};
        int rc = document_init(&document, span_of(text, sizeof(text)), &mark, &sentence);
        print_message("'%s' %s\n", patterns[i], sentence.text);
        assert_int_equal(rc, -EINVAL);
        assert_string_equal(sentence.text, "nested too deep; allowed: 32 levels");
        assert_int_equal(mark.line, 1);
        assert_int_equal(mark.column, 32 * bytes / (i == 4 ? 2 : 1) + 1);
    }
}

static void document_tells_nothing_from_text(void **state)
{
    (void)state;
    struct document document;
    struct document_mark mark = {.line = 0};
    struct sentence sentence = {.text = ""};
    struct span text = SPAN("[~, null, '~', \"\", x, [], {}]");
    assert_int_equal(document_init(&document, text, &mark, &sentence), 0);
    yaml_node_item_t *items = document_root(&document)->data.sequence.items.start;
    static const char *const want[] = {"nothing", "nothing",    "a value",  "a value",
                                       "a value", "a sequence", "a mapping"};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        const yaml_node_t *node = document_node(&document, items[i]);
        assert_string_equal(document_kind_name(node), want[i]);
    }
    document_deinit(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(document_gives_the_place_of_each_node),
        cmocka_unit_test(document_may_be_empty),
        cmocka_unit_test(document_says_what_is_no_yaml_and_where),
        cmocka_unit_test(document_refuses_bottomless_nesting),
        cmocka_unit_test(document_tells_nothing_from_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
