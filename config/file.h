/*
 * The configuration file: YAML, whose keys are the names of the options. Every error is told with
 * file, line and column, what was found and what is allowed; all of them at once.
 *
 * Called by main, before threads start, and by a reload. May block on the disk.
 */
#pragma once

#include "config/findings.h"
#include "config/settings.h"
#include "server/base/span.h"

/* Far above any configuration by hand; a mistaken path to something big is refused in time. */
#define CONFIG_FILE_BYTES_MAX (UINT32_C(1) << 20)

/**
 * Reads `path` and assigns what it sets. A list in the file replaces the default.
 *
 * errors    gets a sentence for each error, `path:line:column: ...`
 * returns   0, or -EINVAL with at least one sentence added; `settings` may then hold a part
 */
[[gnu::warn_unused_result]] int
config_file_load(const char *path, struct settings *settings, struct findings *errors);

/** The same for text that was read already; `path` is only its name in sentences. */
[[gnu::warn_unused_result]] int config_file_parse(const char *path,
                                                  struct span text,
                                                  struct settings *settings,
                                                  struct findings *errors);
