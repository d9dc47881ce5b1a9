/*
 * settings.def as an array: what each option is called, what it takes, where it is stored. The
 * command line, the configuration file and --help walk it instead of knowing options by name.
 *
 * Constant data; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"
#include "config/value.h"
#include "server/base/span.h"

enum setting_kind {
    SETTING_KIND_TEXT,
    SETTING_KIND_LIST,
    SETTING_KIND_COUNT,
    SETTING_KIND_SIZE,
    SETTING_KIND_DURATION,
    SETTING_KIND_CHOICE,
};

struct setting_row {
    const char *option;
    const char *metavar; /* NULL for a choice: its words say more */
    const char *help;    /* without a stop; the default is not in it, unless that is text "" */
    enum setting_kind kind;
    size_t offset;              /* of the field in struct settings */
    const char *preset_text;    /* TEXT and LIST; else NULL */
    uint64_t preset;            /* COUNT, SIZE, DURATION; CHOICE: index of the word */
    struct value_bounds bounds; /* COUNT, SIZE, DURATION */
    bool takes_auto;            /* COUNT */
    const char *const *words;   /* CHOICE, by the enum's value */
    uint32_t word_count;
};

/** The row of an option; never NULL. */
const struct setting_row *setting_row_of(enum setting_id id);

/** Finds the option of exactly this name; SETTING_COUNT when there is none. */
enum setting_id setting_row_find(struct span option);

/** Appends what the option takes, as the usage shows it: "DIR", "N|auto", "fixed|plain". */
void setting_row_add_argument(const struct setting_row *row, struct sentence *sentence);

/** Appends the default as a user would write it; nothing where the help text tells it. */
void setting_row_add_preset(const struct setting_row *row, struct sentence *sentence);
