#include "server/ctl/options.h"

#include <errno.h>
#include <string.h>

#include "config/spelling.h"
#include "server/base/check.h"

const char ctl_usage[] =
    "Usage: turntablectl [--admin ADDR] status [--json]\n"
    "       turntablectl [--admin ADDR] generations [--json]\n"
    "\n"
    "Asks a running turntable for its state.\n"
    "\n"
    "  status        what it serves, how much, and which limits were hit\n"
    "  generations   what was published, and whether all that it replaced is released\n"
    "\n"
    "  --admin ADDR  the server's admin listener: unix:PATH or HOST:PORT (default: the socket in\n"
    "                the runtime directory, where the server puts it)\n"
    "  --json        the server's answer as it is\n"
    "  --help        this\n"
    "  --version     the version\n"
    "\n"
    "Exit status: 0 done, 1 the server said no, 2 wrong usage, 3 no server.\n";

static const char *const verb_words[] = {"status", "generations"};
static const enum ctl_verb verbs[] = {CTL_VERB_STATUS, CTL_VERB_GENERATIONS};
static_assert(ARRAY_COUNT(verb_words) == ARRAY_COUNT(verbs), "a verb a word");

static const char *const option_words[] = {"--admin", "--json", "--help", "--version"};

static int refuse(struct sentence *ret_error,
                  const char *what,
                  const char *word,
                  const char *const *words,
                  uint32_t word_count)
{
    const char *nearest = spelling_nearest(span_of_string(word), words, word_count);
    sentence_set(ret_error, "there is no %s ", what);
    sentence_add_quoted(ret_error, span_of_string(word));
    if (nearest != NULL) {
        sentence_add(ret_error, "; did you mean '%s'?", nearest);
        return -EINVAL;
    }
    sentence_add(ret_error, "; there is ");
    sentence_add_words(ret_error, words, word_count);
    return -EINVAL;
}

static int
take_verb(const char *word, bool has_verb, enum ctl_verb *verb, struct sentence *ret_error)
{
    if (has_verb) {
        sentence_set(ret_error, "one command at a time: what is ");
        sentence_add_quoted(ret_error, span_of_string(word));
        sentence_add(ret_error, " for?");
        return -EINVAL;
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(word, verb_words[i]) == 0) {
            *verb = verbs[i];
            return 0;
        }
    }
    return refuse(ret_error, "command", word, verb_words, ARRAY_COUNT(verb_words));
}

/* `--admin ADDR` or `--admin=ADDR`. `index` is moved over what was taken. */
static int take_admin(int argc,
                      char *const *argv,
                      int *index,
                      struct ctl_options *options,
                      struct sentence *ret_error)
{
    const char *equals = strchr(argv[*index], '=');
    if (equals != NULL) {
        options->admin = equals + 1;
        return 0;
    }
    if (*index + 1 == argc) {
        sentence_set(ret_error, "--admin wants an address: unix:PATH or HOST:PORT");
        return -EINVAL;
    }
    options->admin = argv[++*index];
    return 0;
}

static int take_option(int argc,
                       char *const *argv,
                       int *index,
                       struct ctl_options *options,
                       struct sentence *ret_error)
{
    const char *word = argv[*index];
    if (strcmp(word, "--json") == 0) {
        options->is_json = true;
        return 0;
    }
    if (strcmp(word, "--admin") == 0 || strncmp(word, "--admin=", 8) == 0) {
        return take_admin(argc, argv, index, options, ret_error);
    }
    return refuse(ret_error, "option", word, option_words, ARRAY_COUNT(option_words));
}

int options_parse(int argc,
                  char *const *argv,
                  struct ctl_options *ret_options,
                  struct sentence *ret_error)
{
    struct ctl_options options = {.admin = NULL};
    bool has_verb = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *ret_options = (struct ctl_options){.verb = CTL_VERB_HELP};
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            *ret_options = (struct ctl_options){.verb = CTL_VERB_VERSION};
            return 0;
        }
        int error;
        if (argv[i][0] == '-') {
            error = take_option(argc, argv, &i, &options, ret_error);
        } else {
            error = take_verb(argv[i], has_verb, &options.verb, ret_error);
            has_verb = true;
        }
        if (error != 0) {
            return error;
        }
    }
    if (!has_verb) {
        sentence_set(ret_error, "which command? There is ");
        sentence_add_words(ret_error, verb_words, ARRAY_COUNT(verb_words));
        return -EINVAL;
    }
    *ret_options = options;
    return 0;
}
