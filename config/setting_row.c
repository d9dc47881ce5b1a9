#include "config/setting_row.h"

#include <inttypes.h>

#include "server/base/check.h"

/* The words of each CHOICE's type: <type>_words. */
static const char *const engine_choice_words[] = {
    [ENGINE_CHOICE_AUTO] = "auto",
    [ENGINE_CHOICE_URING] = "uring",
};
static const char *const files_choice_words[] = {
    [FILES_FIXED] = "fixed",
    [FILES_PLAIN] = "plain",
};
static const char *const log_choice_words[] = {
    [LOG_CHOICE_ERROR] = "error",
    [LOG_CHOICE_WARN] = "warn",
    [LOG_CHOICE_INFO] = "info",
    [LOG_CHOICE_DEBUG] = "debug",
};

/* What every row has; `name` is the field's, `type` its kind. */
#define ROW(type, field, name)                                                                     \
    .option = (name), .kind = SETTING_KIND_##type, .offset = offsetof(struct settings, field)

static const struct setting_row rows[SETTING_COUNT] = {
#define TEXT(field, name, arg, text, about)                                                        \
    [SETTING_##field] = {ROW(TEXT, field, name), .metavar = (arg), .help = (about),                \
                         .preset_text = (text)},
#define LIST(field, name, arg, text, about)                                                        \
    [SETTING_##field] = {ROW(LIST, field, name), .metavar = (arg), .help = (about),                \
                         .preset_text = (text)},
#define COUNT(field, name, arg, number, least, most, about)                                        \
    [SETTING_##field] = {ROW(COUNT, field, name),                                                  \
                         .metavar = (arg),                                                         \
                         .help = (about),                                                          \
                         .preset = (number),                                                       \
                         .bounds = {(least), (most)},                                              \
                         .takes_auto = (number) < (least)},
#define SIZE(field, name, arg, number, least, most, about)                                         \
    [SETTING_##field] = {ROW(SIZE, field, name), .metavar = (arg), .help = (about),                \
                         .preset = (number), .bounds = {(least), (most)}},
#define DURATION(field, name, arg, number, least, most, about)                                     \
    [SETTING_##field] = {ROW(DURATION, field, name), .metavar = (arg), .help = (about),            \
                         .preset = (number), .bounds = {(least), (most)}},
#define CHOICE(field, name, type, number, about)                                                   \
    [SETTING_##field] = {ROW(CHOICE, field, name), .help = (about), .preset = (number),            \
                         .words = type##_words, .word_count = ARRAY_COUNT(type##_words)},
#include "config/settings.def"
#undef TEXT
#undef LIST
#undef COUNT
#undef SIZE
#undef DURATION
#undef CHOICE
};

const struct setting_row *setting_row_of(enum setting_id id)
{
    ASSERT(id < SETTING_COUNT);
    return &rows[id];
}

enum setting_id setting_row_find(struct span option)
{
    enum setting_id id = 0;
    while (id < SETTING_COUNT && !span_equal(option, span_of_string(rows[id].option))) {
        id++;
    }
    return id;
}

void setting_row_add_argument(const struct setting_row *row, struct sentence *sentence)
{
    if (row->kind != SETTING_KIND_CHOICE) {
        sentence_add(sentence, "%s", row->metavar);
        return;
    }
    for (uint32_t i = 0; i < row->word_count; i++) {
        sentence_add(sentence, "%s%s", i == 0 ? "" : "|", row->words[i]);
    }
}

void setting_row_add_preset(const struct setting_row *row, struct sentence *sentence)
{
    switch (row->kind) {
    case SETTING_KIND_TEXT:
    case SETTING_KIND_LIST:
        sentence_add(sentence, "%s", row->preset_text);
        break;
    case SETTING_KIND_COUNT:
        if (row->takes_auto) {
            sentence_add(sentence, "auto");
            break;
        }
        sentence_add(sentence, "%" PRIu64, row->preset);
        break;
    case SETTING_KIND_SIZE:
        sentence_add(sentence, "%s", value_format_size(row->preset).text);
        break;
    case SETTING_KIND_DURATION:
        sentence_add(sentence, "%s", value_format_duration(row->preset).text);
        break;
    case SETTING_KIND_CHOICE:
        sentence_add(sentence, "%s", row->words[row->preset]);
        break;
    }
}
