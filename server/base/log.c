#include "server/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Written once, before threads start. The log is the program's one global: every layer has it. */
static enum log_level maximum_level = LOG_LEVEL_INFO; /* tidy: set by main before threads */

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

void log_set_level(enum log_level level)
{
    maximum_level = level;
}

bool log_is_enabled(enum log_level level)
{
    return level <= maximum_level;
}

/* Keeps a line one line: names in messages come from outside. */
static void replace_control_bytes(char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
        }
    }
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_is_enabled(level)) {
        return;
    }
    char line[LOG_LINE_MAX];
    int prefix_bytes = snprintf(line, sizeof(line), "turntable: %s ", level_names[level]);
    size_t text_max = sizeof(line) - (size_t)prefix_bytes - 1;

    va_list args;
    va_start(args, format);
    int text_bytes = vsnprintf(line + prefix_bytes, text_max, format, args);
    va_end(args);
    if (text_bytes < 0) {
        return; /* a broken format string: nothing sensible can be written */
    }
    size_t bytes = (size_t)prefix_bytes + (size_t)text_bytes;
    if ((size_t)text_bytes >= text_max) {
        bytes = sizeof(line) - 2;
        memcpy(line + bytes - 3, "...", 3);
    }
    replace_control_bytes(line + prefix_bytes, bytes - (size_t)prefix_bytes);
    line[bytes] = '\n';
    /* Nobody can be told that the log is gone. */
    ssize_t written = write(STDERR_FILENO, line, bytes + 1);
    (void)written;
}

bool log_limit_admit(struct log_limit *limit,
                     uint64_t now_ns,
                     uint64_t interval_ns,
                     uint64_t *ret_held_back)
{
    if (now_ns < limit->next_ns) {
        limit->held_back++;
        return false;
    }
    *ret_held_back = limit->held_back;
    limit->held_back = 0;
    limit->next_ns = now_ns + interval_ns;
    return true;
}
