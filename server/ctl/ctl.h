/*
 * turntablectl: asks a running server for its state.
 *
 * One thread. Everything but the process's exit is here, so that tests can call it.
 */
#pragma once

#include <stdio.h>

enum ctl_exit {
    CTL_EXIT_OK = 0,
    CTL_EXIT_REFUSED = 1, /* the server said no, or not what was expected */
    CTL_EXIT_USAGE = 2,
    CTL_EXIT_NO_SERVER = 3,
};

/**
 * Runs one command line.
 *
 * argc, argv   as of main()
 * out, err     where answers and complaints go
 */
enum ctl_exit ctl_run(int argc, char *const *argv, FILE *out, FILE *err);
