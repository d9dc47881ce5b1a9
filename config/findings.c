#include "config/findings.h"

#include <stdarg.h>
#include <stdio.h>

void findings_add(struct findings *findings, const char *format, ...)
{
    if (findings->line_count == FINDINGS_LINES_MAX) {
        findings->dropped_count++;
        return;
    }
    char text[SENTENCE_MAX + 1]; /* one more than fits, so that the sentence shows the cut */
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct sentence *line = &findings->lines[findings->line_count++];
    sentence_set(line, "%s", bytes < 0 ? "a message that could not be formatted" : text);
}

uint32_t findings_count(const struct findings *findings)
{
    return findings->line_count + findings->dropped_count;
}
