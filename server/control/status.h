/*
 * A report as JSON: /status and /generations of the admin listener. People script against the
 * names; adding is fine, anything else wants a CHANGELOG entry.
 *
 * Pure; control thread; uses jansson.
 */
#pragma once

#include <stdio.h>

#include "server/control/report.h"

/**
 * Writes /status: one JSON object and a newline.
 *
 * returns   0 or -ENOMEM; errors of `out` stay with it
 */
[[gnu::warn_unused_result]] int status_write(const struct report *report, FILE *out);

/** Writes /generations; the same contract. */
[[gnu::warn_unused_result]] int status_write_generations(const struct report *report, FILE *out);
