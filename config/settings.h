/*
 * The product's settings: defaults, overridden by a YAML file, overridden by the command line. One
 * row an option in settings.def.
 *
 * Filled once by main, before threads start; read-only afterwards. Strings live as long as the
 * struct. It knows nothing of where a value came from but whether somebody gave it.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/sentence.h"
#include "server/base/span.h"

/* As many listeners as anybody lists by hand. */
#define SETTINGS_LIST_MAX 16

enum engine_choice {
    ENGINE_CHOICE_AUTO,
    ENGINE_CHOICE_URING,
};

enum files_choice {
    FILES_FIXED,
    FILES_PLAIN,
};

enum log_choice {
    LOG_CHOICE_ERROR,
    LOG_CHOICE_WARN,
    LOG_CHOICE_INFO,
    LOG_CHOICE_DEBUG,
};

/* The rows of settings.def in order: SETTING_root, SETTING_index, ... */
enum setting_id {
#define TEXT(field, ...)     SETTING_##field,
#define LIST(field, ...)     SETTING_##field,
#define COUNT(field, ...)    SETTING_##field,
#define SIZE(field, ...)     SETTING_##field,
#define DURATION(field, ...) SETTING_##field,
#define CHOICE(field, ...)   SETTING_##field,
#include "config/settings.def"
#undef TEXT
#undef LIST
#undef COUNT
#undef SIZE
#undef DURATION
#undef CHOICE
    SETTING_COUNT
};

static_assert(SETTING_COUNT <= 64, "settings.explicit_rows has a bit for each row");

struct settings_list {
    const char *items[SETTINGS_LIST_MAX];
    uint32_t count;
};

struct settings {
#define TEXT(field, option, metavar, preset, help)                const char *field;
#define LIST(field, option, metavar, preset, help)                struct settings_list field;
#define COUNT(field, option, metavar, preset, low, high, help)    uint32_t field;
#define SIZE(field, option, metavar, preset, low, high, help)     uint64_t field;
#define DURATION(field, option, metavar, preset, low, high, help) uint64_t field;
#define CHOICE(field, option, type, preset, help)                 enum type field;
#include "config/settings.def"
#undef TEXT
#undef LIST
#undef COUNT
#undef SIZE
#undef DURATION
#undef CHOICE
    uint64_t explicit_rows; /* bit n: row n was given by the file or the command line */
    void *storage;          /* what the strings point into; settings_deinit() frees it */
};

/** Sets every field to its default. Cannot fail: the strings are literals. */
void settings_init(struct settings *settings);

/** Frees the strings; NULL is fine. */
void settings_deinit(struct settings *settings);

/**
 * Parses `text` as the value of row `id` and stores it; the struct keeps a copy. A LIST row takes
 * it as one more item, and the first item given replaces the default.
 *
 * ret_error   what was found and what is allowed, without the option's name
 * returns     0; -EINVAL or -ENOMEM with `ret_error`: the settings are as before
 */
[[gnu::warn_unused_result]] int settings_assign(struct settings *settings,
                                                enum setting_id id,
                                                struct span text,
                                                struct sentence *ret_error);

/**
 * A source of higher rank is about to give items of the LIST row `id`: they replace what a lower
 * one gave. No effect on other rows.
 */
void settings_restart_list(struct settings *settings, enum setting_id id);

/** Whether the file or the command line gave row `id` a value. */
bool settings_is_explicit(const struct settings *settings, enum setting_id id);
