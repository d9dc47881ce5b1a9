/*
 * What the options that hold text may hold: a listener is an address, an index is a bare name. This
 * looks at one value alone; what depends on other values, or on the machine, is in check.h.
 *
 * Pure: no state, no I/O; any thread.
 */
#pragma once

#include "config/settings.h"
#include "server/base/span.h"

/**
 * Checks one value of a TEXT or LIST row.
 *
 * ret_error   what was found and what is allowed; set on failure
 * returns     0 or -EINVAL
 */
[[gnu::warn_unused_result]] int
setting_text_check(enum setting_id id, struct span text, struct sentence *ret_error);
