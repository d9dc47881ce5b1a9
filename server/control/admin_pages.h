/*
 * The pages of the admin listener: /healthz, /readyz, /status, /metrics, /generations and an index.
 *
 * Pure but for what `gather` does. Control thread.
 */
#pragma once

#include <stdint.h>

#include "server/control/admin.h"
#include "server/control/report.h"

/* Context of the pages: where a report comes from. */
struct admin_source {
    void (*gather)(void *context, struct report *ret_report);
    void *context;
};

/** The table for struct admin_config, whose context is a struct admin_source. Static. */
const struct admin_page *admin_pages(uint32_t *ret_count);
