#include "config/command_line.h"

#include <errno.h>
#include <inttypes.h>

#include "config/check.h"
#include "config/file.h"
#include "config/findings.h"
#include "config/help.h"
#include "config/product.h"
#include "config/setting_row.h"
#include "config/spelling.h"
#include "server/base/check.h"

enum command_id {
#define COMMAND(id, option, metavar, help) COMMAND_##id,
#include "config/command.def"
#undef COMMAND
    COMMAND_COUNT
};

struct command {
    const char *option;
    bool takes_value;
};

static const struct command commands[] = {
#define COMMAND(id, name, arg, help)                                                               \
    [COMMAND_##id] = {.option = (name), .takes_value = sizeof(arg) > 1},
#include "config/command.def"
#undef COMMAND
};

/* What one step along argv came upon. */
enum step_kind {
    STEP_END,
    STEP_SETTING,
    STEP_COMMAND,
    STEP_WRONG, /* reported */
};

struct step {
    enum step_kind kind;
    enum setting_id setting;
    enum command_id command;
    const char *value; /* NULL when the option takes none */
};

struct walk {
    int argc;
    char *const *argv;
    int index;               /* of the next word */
    bool is_past_options;    /* "--" was seen */
    struct findings *errors; /* NULL: wrong words are passed over in silence */
};

/* What the options ask for besides settings. */
struct request {
    const char *config_path; /* NULL: none */
    bool is_given[COMMAND_COUNT];
};

#define REPORT(walk, ...)                                                                          \
    do {                                                                                           \
        if ((walk)->errors != NULL) {                                                              \
            findings_add((walk)->errors, __VA_ARGS__);                                             \
        }                                                                                          \
    } while (0)

static enum command_id find_command(struct span name)
{
    enum command_id id = 0;
    while (id < COMMAND_COUNT && !span_equal(name, span_of_string(commands[id].option))) {
        id++;
    }
    return id;
}

/* `-h`, `-V`, `-root`: what hands used to other programs type. */
static const char *find_meant(struct span name, size_t dash_count)
{
    if (dash_count == 1 && (span_equal(name, SPAN("h")) || span_equal(name, SPAN("?")))) {
        return "help";
    }
    if (dash_count == 1 && (span_equal(name, SPAN("v")) || span_equal(name, SPAN("V")))) {
        return "version";
    }
    const char *options[SETTING_COUNT + COMMAND_COUNT];
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        options[id] = setting_row_of(id)->option;
    }
    for (enum command_id id = 0; id < COMMAND_COUNT; id++) {
        options[SETTING_COUNT + id] = commands[id].option;
    }
    return spelling_nearest(name, options, ARRAY_COUNT(options));
}

static const char *peek(const struct walk *walk)
{
    return walk->index < walk->argc ? walk->argv[walk->index] : NULL;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

static struct step
wrong_option(struct walk *walk, struct span name, size_t dash_count, bool has_value)
{
    struct sentence sentence = {.text = "unknown option "};
    struct span shown = span_of(name.ptr - dash_count, name.bytes + dash_count);
    sentence_add_quoted(&sentence, shown);
    const char *meant = find_meant(name, dash_count);
    if (meant != NULL) {
        sentence_add(&sentence, "; did you mean '--%s'?", meant);
    }
    REPORT(walk, "%s", sentence.text);
    const char *next = peek(walk);
    if (!has_value && next != NULL && !is_option(next)) {
        walk->index++; /* its value, most likely: one mistake, one sentence */
    }
    return (struct step){.kind = STEP_WRONG};
}

static struct step wrong_argument(struct walk *walk, const char *word)
{
    struct sentence sentence = {.text = "unexpected argument "};
    sentence_add_quoted(&sentence, span_of_string(word));
    REPORT(walk, "%s; every value follows its option: --root DIR names what is served",
           sentence.text);
    return (struct step){.kind = STEP_WRONG};
}

/* Takes the option's value, after '=' or the next word; NULL after an error. */
static const char *take_value(struct walk *walk, const char *option, const char *after_equals)
{
    if (after_equals != NULL) {
        return after_equals;
    }
    const char *next = peek(walk);
    if (next == NULL) {
        REPORT(walk, "option '--%s' needs a value", option);
        return NULL;
    }
    if (strncmp(next, "--", 2) == 0) {
        REPORT(walk,
               "option '--%s' needs a value, but '%s' follows; if that is the value: '--%s=%s'",
               option, next, option, next);
        return NULL;
    }
    walk->index++;
    return next;
}

static struct step step_setting(struct walk *walk, enum setting_id id, const char *after_equals)
{
    const char *value = take_value(walk, setting_row_of(id)->option, after_equals);
    if (value == NULL) {
        return (struct step){.kind = STEP_WRONG};
    }
    return (struct step){.kind = STEP_SETTING, .setting = id, .value = value};
}

static struct step step_command(struct walk *walk, enum command_id id, const char *after_equals)
{
    const char *value = NULL;
    if (commands[id].takes_value) {
        value = take_value(walk, commands[id].option, after_equals);
        if (value == NULL) {
            return (struct step){.kind = STEP_WRONG};
        }
    } else if (after_equals != NULL) {
        REPORT(walk, "option '--%s' takes no value", commands[id].option);
        return (struct step){.kind = STEP_WRONG};
    }
    return (struct step){.kind = STEP_COMMAND, .command = id, .value = value};
}

static struct step next_step(struct walk *walk)
{
    const char *word = peek(walk);
    if (word != NULL && !walk->is_past_options && strcmp(word, "--") == 0) {
        walk->is_past_options = true;
        walk->index++;
        word = peek(walk);
    }
    if (word == NULL) {
        return (struct step){.kind = STEP_END};
    }
    walk->index++;
    if (walk->is_past_options || !is_option(word)) {
        return wrong_argument(walk, word);
    }
    size_t dash_count = word[1] == '-' ? 2 : 1;
    const char *equals = strchr(word, '=');
    size_t name_bytes = equals == NULL ? strlen(word) : (size_t)(equals - word);
    struct span name = span_of(word + dash_count, name_bytes - dash_count);
    const char *after_equals = equals == NULL ? NULL : equals + 1;

    enum setting_id setting = setting_row_find(name);
    enum command_id command = find_command(name);
    if (dash_count == 2 && setting < SETTING_COUNT) {
        return step_setting(walk, setting, after_equals);
    }
    if (dash_count == 2 && command < COMMAND_COUNT) {
        return step_command(walk, command, after_equals);
    }
    return wrong_option(walk, name, dash_count, equals != NULL);
}

/* The first pass: what is asked for. Mistakes are left to the second, after the file. */
static struct request find_request(int argc, char *const *argv)
{
    struct request request = {.config_path = NULL};
    struct walk walk = {.argc = argc, .argv = argv, .index = 1};
    for (struct step step = next_step(&walk); step.kind != STEP_END; step = next_step(&walk)) {
        if (step.kind == STEP_COMMAND) {
            request.is_given[step.command] = true;
            request.config_path = step.command == COMMAND_CONFIG ? step.value : request.config_path;
        }
    }
    return request;
}

static void assign(struct settings *settings,
                   const struct step *step,
                   uint64_t *given_rows,
                   struct findings *errors)
{
    if ((*given_rows >> step->setting & 1) == 0) {
        *given_rows |= UINT64_C(1) << step->setting;
        settings_restart_list(settings, step->setting);
    }
    struct sentence sentence = {.text = ""};
    struct span value = span_of_string(step->value);
    if (settings_assign(settings, step->setting, value, &sentence) < 0) {
        findings_add(errors, "option '--%s': %s", setting_row_of(step->setting)->option,
                     sentence.text);
    }
}

/* The second pass: the options' values, and every mistake. */
static void
assign_options(int argc, char *const *argv, struct settings *settings, struct findings *errors)
{
    struct walk walk = {.argc = argc, .argv = argv, .index = 1, .errors = errors};
    uint64_t given_rows = 0;
    uint32_t config_count = 0;
    for (struct step step = next_step(&walk); step.kind != STEP_END; step = next_step(&walk)) {
        if (step.kind == STEP_SETTING) {
            assign(settings, &step, &given_rows, errors);
        }
        if (step.kind == STEP_COMMAND && step.command == COMMAND_CONFIG && ++config_count == 2) {
            findings_add(errors, "option '--config' is given twice; a configuration is one file");
        }
    }
}

static void print_errors(FILE *err, const struct findings *errors, bool is_usage)
{
    for (uint32_t i = 0; i < errors->line_count; i++) {
        fprintf(err, "%s: %s\n", PRODUCT_NAME, errors->lines[i].text);
    }
    if (errors->dropped_count > 0) {
        fprintf(err, "%s: and %" PRIu32 " more errors\n", PRODUCT_NAME, errors->dropped_count);
    }
    if (is_usage) {
        fprintf(err, "try '%s --help'\n", PRODUCT_NAME);
    }
    (void)fflush(err); /* there is nowhere left to complain */
}

/* As log_warn() writes them, by the level that was asked for. */
static void
print_warnings(FILE *err, const struct settings *settings, const struct findings *warnings)
{
    if (settings->log_level < LOG_CHOICE_WARN) {
        return;
    }
    for (uint32_t i = 0; i < warnings->line_count; i++) {
        fprintf(err, "%s: warn %s\n", PRODUCT_NAME, warnings->lines[i].text);
    }
    (void)fflush(err); /* there is nowhere left to complain */
}

/* Answers on `out` were given: did they arrive? */
static enum command_line_result finish(FILE *out, FILE *err, int *ret_exit_code)
{
    *ret_exit_code = EXIT_CODE_OK;
    errno = 0;
    if (fflush(out) != 0 || ferror(out) != 0) {
        fprintf(err, "%s: writing to standard output failed: %s\n", PRODUCT_NAME, strerror(errno));
        *ret_exit_code = EXIT_CODE_FAILED;
    }
    return COMMAND_LINE_EXIT;
}

static enum command_line_result
fail(FILE *err, const struct findings *errors, bool is_usage, int *ret_exit_code)
{
    print_errors(err, errors, is_usage);
    *ret_exit_code = EXIT_CODE_USAGE;
    return COMMAND_LINE_EXIT;
}

enum command_line_result command_line_apply(int argc,
                                            char *const *argv,
                                            FILE *out,
                                            FILE *err,
                                            struct settings *settings,
                                            int *ret_exit_code)
{
    struct request request = find_request(argc, argv);
    if (request.is_given[COMMAND_HELP]) {
        help_print(out);
        return finish(out, err, ret_exit_code);
    }
    if (request.is_given[COMMAND_VERSION]) {
        fprintf(out, "%s %s\n", PRODUCT_NAME, PRODUCT_VERSION);
        return finish(out, err, ret_exit_code);
    }

    struct findings errors = {.line_count = 0};
    if (request.config_path != NULL) {
        int rc = config_file_load(request.config_path, settings, &errors);
        ASSERT((rc < 0) == (findings_count(&errors) > 0));
    }
    uint32_t file_error_count = findings_count(&errors);
    assign_options(argc, argv, settings, &errors);
    if (findings_count(&errors) > 0) {
        return fail(err, &errors, findings_count(&errors) > file_error_count, ret_exit_code);
    }

    struct findings warnings = {.line_count = 0};
    if (config_check(settings, &errors, &warnings) < 0) {
        return fail(err, &errors, false, ret_exit_code);
    }
    print_warnings(err, settings, &warnings);
    if (request.is_given[COMMAND_CHECK]) {
        fputs("configuration ok\n", out);
        return finish(out, err, ret_exit_code);
    }
    return COMMAND_LINE_RUN;
}
