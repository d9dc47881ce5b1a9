/*
 * What one option alone cannot tell: whether the settings fit each other and this machine. Whoever
 * passes this check starts, but for what only the start itself can find out (a port in use).
 *
 * Called by main, before threads start. It looks at the file system and never changes it.
 */
#pragma once

#include "config/findings.h"
#include "config/settings.h"

/**
 * Checks the settings: the root, the listeners, the access log's directory, the descriptors.
 *
 * Settles what was left to the machine: `workers` becomes a number, and where the limit on
 * descriptors demands it `table_slots` and `max_connections` shrink (see descriptors.h). Raises the
 * process's soft limit on descriptors.
 *
 * errors, warnings   get a sentence for each finding, with its remedy
 * returns            0, or -EINVAL with at least one error added
 */
[[gnu::warn_unused_result]] int
config_check(struct settings *settings, struct findings *errors, struct findings *warnings);
