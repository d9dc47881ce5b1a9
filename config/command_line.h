/*
 * The command line, from argv to settings that the server can start with: defaults, the file that
 * --config names, then the options, then the checks. Everything that is wrong is said at once.
 *
 * Long options only, as `--option value` or `--option=value`, in full: an abbreviation that works
 * today would mean something else, or nothing, after the next option. This, and that it keeps
 * state of the process, is why getopt_long() is not used.
 *
 * Called by main, before threads start.
 */
#pragma once

#include <stdio.h>

#include "config/settings.h"

#define EXIT_CODE_OK     0
#define EXIT_CODE_FAILED 1 /* while running */
#define EXIT_CODE_USAGE  2 /* wrong usage or configuration */

enum command_line_result {
    COMMAND_LINE_RUN,  /* the settings are complete and checked */
    COMMAND_LINE_EXIT, /* everything has been said; leave with the exit code */
};

/**
 * Applies the command line to `settings`, which settings_init() has set up.
 *
 * out, err         where answers (--help, --version, --check) and errors go
 * settings         filled in; the caller frees it in both cases
 * ret_exit_code    set for COMMAND_LINE_EXIT: 0, EXIT_CODE_USAGE, or EXIT_CODE_FAILED when `out`
 *                  cannot be written to
 *
 * Warnings go to `err` as the log writes them, and do not stop anything. Raises the process's soft
 * limit on descriptors (config_check()).
 */
[[gnu::warn_unused_result]] enum command_line_result command_line_apply(int argc,
                                                                        char *const *argv,
                                                                        FILE *out,
                                                                        FILE *err,
                                                                        struct settings *settings,
                                                                        int *ret_exit_code);
