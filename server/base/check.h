/*
 * Assertions and small compile-time helpers. A failed ASSERT is a bug of ours: it stops the process
 * at the line, in every build. Outside input is never asserted upon.
 */
#pragma once

#include <assert.h>
#include <stddef.h>

/** Prints `file:line: expression` to standard error and aborts. Any thread. */
[[gnu::noreturn]] void check_failed(const char *file, int line, const char *expression);

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            check_failed(__FILE__, __LINE__, #condition);                                          \
        }                                                                                          \
    } while (0)

/* For checks on hot paths, or dear ones: gone in release builds, still compiled. */
#ifdef NDEBUG
#define DEBUG_ASSERT(condition) ((void)sizeof((condition) ? 1 : 0))
#else
#define DEBUG_ASSERT(condition) ASSERT(condition)
#endif

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
