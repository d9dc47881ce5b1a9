#include "config/findings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void findings_keeps_the_order(void **state)
{
    (void)state;
    struct findings findings = {.line_count = 0};
    assert_int_equal(findings_count(&findings), 0);
    findings_add(&findings, "%s %d", "first", 1);
    findings_add(&findings, "second");
    assert_int_equal(findings_count(&findings), 2);
    assert_string_equal(findings.lines[0].text, "first 1");
    assert_string_equal(findings.lines[1].text, "second");
}

static void findings_counts_what_has_no_room(void **state)
{
    (void)state;
    struct findings findings = {.line_count = 0};
    for (int i = 0; i < FINDINGS_LINES_MAX + 3; i++) {
        findings_add(&findings, "line %d", i);
    }
    assert_int_equal(findings.line_count, FINDINGS_LINES_MAX);
    assert_int_equal(findings.dropped_count, 3);
    assert_int_equal(findings_count(&findings), FINDINGS_LINES_MAX + 3);
    assert_string_equal(findings.lines[FINDINGS_LINES_MAX - 1].text, "line 31");
}

static void findings_cuts_long_sentences(void **state)
{
    (void)state;
    char longer[2 * SENTENCE_MAX];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    struct findings findings = {.line_count = 0};
    findings_add(&findings, "%s", longer);
    assert_string_equal(findings.lines[0].text + SENTENCE_MAX - 5, "x...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_keeps_the_order),
        cmocka_unit_test(findings_counts_what_has_no_room),
        cmocka_unit_test(findings_cuts_long_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
