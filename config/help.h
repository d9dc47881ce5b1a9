/*
 * What --help prints, made from settings.def and command.def, so that it is always true.
 *
 * Any thread.
 */
#pragma once

#include <stdio.h>

/** Writes the help to `out`; whether that went well, ferror() and fclose() tell. */
void help_print(FILE *out);
