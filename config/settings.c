#include "config/settings.h"

#include <errno.h>

#include "config/setting_row.h"
#include "config/setting_text.h"
#include "config/value.h"
#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/fault.h"

/* One kept string; settings.storage is the newest. */
struct kept {
    struct kept *next;
    char text[];
};

#define LIST_OF(string)                                                                            \
    {                                                                                              \
        .items = {(string)}, .count = 1                                                            \
    }

void settings_init(struct settings *settings)
{
    *settings = (struct settings){
#define TEXT(field, option, metavar, preset, help)                .field = (preset),
#define LIST(field, option, metavar, preset, help)                .field = LIST_OF(preset),
#define COUNT(field, option, metavar, preset, low, high, help)    .field = (preset),
#define SIZE(field, option, metavar, preset, low, high, help)     .field = (preset),
#define DURATION(field, option, metavar, preset, low, high, help) .field = (preset),
#define CHOICE(field, option, type, preset, help)                 .field = (preset),
#include "config/settings.def"
#undef TEXT
#undef LIST
#undef COUNT
#undef SIZE
#undef DURATION
#undef CHOICE
    };
}

void settings_deinit(struct settings *settings)
{
    if (settings == NULL) {
        return;
    }
    struct kept *kept = settings->storage;
    while (kept != NULL) {
        struct kept *next = kept->next;
        alloc_free(kept);
        kept = next;
    }
    settings_init(settings); /* nothing points to freed memory */
}

/* A copy that lives as long as the settings; NULL without memory. `text` holds no NUL. */
static const char *keep(struct settings *settings, struct span text)
{
    struct kept *kept = NULL;
    if (FAULT("settings_keep") == 0) {
        kept = alloc_zeroed(1, sizeof(*kept) + text.bytes + 1);
    }
    if (kept == NULL) {
        return NULL;
    }
    memcpy(kept->text, text.ptr, text.bytes);
    kept->next = settings->storage;
    settings->storage = kept;
    return kept->text;
}

static int assign_text(struct settings *settings,
                       enum setting_id id,
                       const char **field,
                       struct span text,
                       struct sentence *ret_error)
{
    int rc = setting_text_check(id, text, ret_error);
    if (rc < 0) {
        return rc;
    }
    const char *kept = keep(settings, text);
    if (kept == NULL) {
        sentence_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    *field = kept;
    return 0;
}

static int assign_item(struct settings *settings,
                       enum setting_id id,
                       struct settings_list *list,
                       struct span text,
                       struct sentence *ret_error)
{
    uint32_t index = settings_is_explicit(settings, id) ? list->count : 0;
    if (index == SETTINGS_LIST_MAX) {
        sentence_set(ret_error, "found one more; allowed: up to %d of them", SETTINGS_LIST_MAX);
        return -EINVAL;
    }
    int rc = assign_text(settings, id, &list->items[index], text, ret_error);
    if (rc < 0) {
        return rc;
    }
    list->count = index + 1;
    return 0;
}

/* The rows that hold a number. */
static int parse_number(const struct setting_row *row,
                        struct span text,
                        uint64_t *ret_number,
                        struct sentence *ret_error)
{
    uint32_t index = 0;
    int rc = -EINVAL;
    switch (row->kind) {
    case SETTING_KIND_COUNT:
        return value_parse_count(text, row->bounds, row->takes_auto, ret_number, ret_error);
    case SETTING_KIND_SIZE:
        return value_parse_size(text, row->bounds, ret_number, ret_error);
    case SETTING_KIND_DURATION:
        return value_parse_duration(text, row->bounds, ret_number, ret_error);
    case SETTING_KIND_CHOICE:
        rc = value_parse_choice(text, row->words, row->word_count, &index, ret_error);
        if (rc == 0) {
            *ret_number = index;
        }
        return rc;
    case SETTING_KIND_TEXT:
    case SETTING_KIND_LIST:
        break;
    }
    ASSERT(false);
    return -EINVAL;
}

/* Choices are stored like counts: an enum without negative values is an unsigned int. */
static_assert(sizeof(enum log_choice) == sizeof(uint32_t), "choices are 32 bits wide");

static void store_number(const struct setting_row *row, uint64_t number, void *field)
{
    if (row->kind == SETTING_KIND_COUNT || row->kind == SETTING_KIND_CHOICE) {
        uint32_t narrow = (uint32_t)number; /* within the row's bounds */
        memcpy(field, &narrow, sizeof(narrow));
        return;
    }
    memcpy(field, &number, sizeof(number));
}

static int assign_number(const struct setting_row *row,
                         void *field,
                         struct span text,
                         struct sentence *ret_error)
{
    uint64_t number = 0;
    int rc = parse_number(row, text, &number, ret_error);
    if (rc < 0) {
        return rc;
    }
    store_number(row, number, field);
    return 0;
}

int settings_assign(struct settings *settings,
                    enum setting_id id,
                    struct span text,
                    struct sentence *ret_error)
{
    const struct setting_row *row = setting_row_of(id);
    void *field = (char *)settings + row->offset;
    int rc;
    if (row->kind == SETTING_KIND_TEXT) {
        rc = assign_text(settings, id, field, text, ret_error);
    } else if (row->kind == SETTING_KIND_LIST) {
        rc = assign_item(settings, id, field, text, ret_error);
    } else {
        rc = assign_number(row, field, text, ret_error);
    }
    if (rc == 0) {
        settings->explicit_rows |= UINT64_C(1) << id;
    }
    return rc;
}

void settings_restart_list(struct settings *settings, enum setting_id id)
{
    if (setting_row_of(id)->kind == SETTING_KIND_LIST) {
        settings->explicit_rows &= ~(UINT64_C(1) << id);
    }
}

bool settings_is_explicit(const struct settings *settings, enum setting_id id)
{
    ASSERT(id < SETTING_COUNT);
    return (settings->explicit_rows >> id & 1) != 0;
}
