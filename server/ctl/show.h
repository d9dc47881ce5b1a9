/*
 * A server's JSON for people: one screen of aligned lines. A field that is not there, as an older
 * server leaves out, shows as 0 or "?".
 *
 * Pure but for what it writes. Any thread; uses jansson.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

/** Writes /status; errors stay with `out`. */
void show_status(const json_t *status, FILE *out);

/** Writes /generations; errors stay with `out`. */
void show_generations(const json_t *generations, FILE *out);
