/*
 * The program's log: one line an event to standard error, `level msg key=value`. Libraries return
 * errors; the layer that decides what to do about one logs it, once. Never called per request.
 *
 * Any thread: a line is one write(2).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

/* A line's bytes with prefix and newline; a longer one is cut and ends with "...". */
#define LOG_LINE_MAX 1024

/** Sets the most verbose level that is written. Call before threads start. */
void log_set_level(enum log_level level);

bool log_is_enabled(enum log_level level);

/** Writes `turntable: <level> <text>` as one line; control bytes in `text` become '?'. */
[[gnu::format(printf, 2, 3)]] void log_write(enum log_level level, const char *format, ...);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/**
 * Admits at most one line an interval; the lines between are counted, so that the next admitted one
 * can say how many were held back. Belongs to one thread.
 */
struct log_limit {
    uint64_t next_ns;   /* monotonic; 0 at first */
    uint64_t held_back; /* lines not written since the last one that was */
};

/** True when a line may be written now; `ret_held_back` is set only then. */
bool log_limit_admit(struct log_limit *limit,
                     uint64_t now_ns,
                     uint64_t interval_ns,
                     uint64_t *ret_held_back);
