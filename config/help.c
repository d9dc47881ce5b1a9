#include "config/help.h"

#include "config/product.h"
#include "config/setting_row.h"
#include "server/base/check.h"

/* The text stands in columns 26 to 80: what a terminal shows, with the options left of it. */
#define TEXT_COLUMN  25
#define LINE_COLUMNS 80

/* A heading, or an option below it. */
struct help_line {
    const char *title; /* NULL for an option */
    enum setting_id id;
};

static const struct help_line help_lines[] = {
#define GROUP(title_text)    {.title = (title_text)},
#define TEXT(field, ...)     {.id = SETTING_##field},
#define LIST(field, ...)     {.id = SETTING_##field},
#define COUNT(field, ...)    {.id = SETTING_##field},
#define SIZE(field, ...)     {.id = SETTING_##field},
#define DURATION(field, ...) {.id = SETTING_##field},
#define CHOICE(field, ...)   {.id = SETTING_##field},
#include "config/settings.def"
#undef TEXT
#undef LIST
#undef COUNT
#undef SIZE
#undef DURATION
#undef CHOICE
};

struct command_row {
    const char *option;
    const char *metavar;
    const char *help;
};

static const struct command_row command_rows[] = {
#define COMMAND(id, name, arg, about) {.option = (name), .metavar = (arg), .help = (about)},
#include "config/command.def"
#undef COMMAND
};

static const char usage[] =
    "Usage: turntable [--config FILE] [--root DIR] [--listen ADDR]... [options]\n"
    "\n"
    "Serves the files of a directory over HTTP. Files, and whole releases, may be replaced\n"
    "at any time: no restart, no torn answer, no stale one.\n"
    "\n"
    "Examples:\n"
    "  turntable --root ./public\n"
    "      Serves ./public on http://127.0.0.1:8080/.\n"
    "  turntable --root /srv/www/current --listen '*:80' --access-log /var/log/turntable.log\n"
    "      Serves what the link 'current' leads to, to everybody; flip the link to release.\n"
    "  turntable --config site.yaml --check\n"
    "      Says whether the file, and what it names, is all right; serves nothing.\n";

static const char footer[] =
    "\n"
    "Signals:\n"
    "  TERM, INT  accept no more, finish the answers under way, exit\n"
    "  USR1       reopen the access log, after it was rotated\n"
    "\n"
    "Exit codes:\n"
    "  0  ended as asked\n"
    "  1  failed while running\n"
    "  2  wrong usage or configuration\n"
    "\n"
    "Sizes take K, M or G; times take ms, s, m or h, and are seconds without. All about it:\n"
    "man turntable.\n";

/* The bytes of `text` that fit into `columns`, ended between words where that is possible. */
static int fitting_bytes(const char *text, int columns)
{
    int bytes = 0;
    int end = 0;
    while (text[bytes] != '\0' && bytes < columns) {
        bytes++;
        if (text[bytes] == ' ' || text[bytes] == '\0') {
            end = bytes;
        }
    }
    return end > 0 ? end : bytes;
}

/* The option at the left, its text wrapped at the right. */
static void print_option(FILE *out, const char *left, const char *text)
{
    int column = fprintf(out, "  %s", left);
    if (column > TEXT_COLUMN - 2) {
        fputc('\n', out);
        column = 0;
    }
    while (*text != '\0') {
        int bytes = fitting_bytes(text, LINE_COLUMNS - TEXT_COLUMN);
        fprintf(out, "%*s%.*s\n", TEXT_COLUMN - column, "", bytes, text);
        text += bytes;
        text += *text == ' ' ? 1 : 0;
        column = 0;
    }
}

static void print_setting(FILE *out, const struct setting_row *row)
{
    struct sentence left = {.text = ""};
    sentence_set(&left, "--%s ", row->option);
    setting_row_add_argument(row, &left);

    struct sentence preset = {.text = ""};
    setting_row_add_preset(row, &preset);
    struct sentence text = {.text = ""};
    sentence_set(&text, "%s", row->help);
    if (preset.text[0] != '\0') {
        sentence_add(&text, " (default %s)", preset.text);
    }
    print_option(out, left.text, text.text);
}

void help_print(FILE *out)
{
    fputs(usage, out);
    for (size_t i = 0; i < ARRAY_COUNT(help_lines); i++) {
        if (help_lines[i].title != NULL) {
            fprintf(out, "\n%s:\n", help_lines[i].title);
        } else {
            print_setting(out, setting_row_of(help_lines[i].id));
        }
    }
    fputs("\nOf the command line alone:\n", out);
    for (size_t i = 0; i < ARRAY_COUNT(command_rows); i++) {
        const struct command_row *row = &command_rows[i];
        struct sentence left = {.text = ""};
        const char *space = row->metavar[0] == '\0' ? "" : " ";
        sentence_set(&left, "--%s%s%s", row->option, space, row->metavar);
        print_option(out, left.text, row->help);
    }
    fputs(footer, out);
}
