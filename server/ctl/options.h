/*
 * The command line of turntablectl.
 *
 * Pure; borrows argv's strings.
 */
#pragma once

#include <stdbool.h>

#include "config/sentence.h"

enum ctl_verb {
    CTL_VERB_STATUS,
    CTL_VERB_GENERATIONS,
    CTL_VERB_HELP,    /* --help */
    CTL_VERB_VERSION, /* --version */
};

struct ctl_options {
    enum ctl_verb verb;
    const char *admin; /* NULL: the default places */
    bool is_json;
};

/** The text of --help. */
extern const char ctl_usage[];

/**
 * Reads a command line.
 *
 * ret_error   set on failure: what is wrong, and the nearest that would be right
 * returns     0 or -EINVAL
 */
[[gnu::warn_unused_result]] int options_parse(int argc,
                                              char *const *argv,
                                              struct ctl_options *ret_options,
                                              struct sentence *ret_error);
