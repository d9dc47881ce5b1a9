#include "server/control/report.h"

void worker_totals_add(struct worker_totals *totals, const struct worker_counters *counters)
{
#define COUNTER(field, metric, label, help) totals->field += counter_get(&counters->field);
#define GAUGE(field, metric, label, help)   totals->field += counter_get(&counters->field);
#include "server/base/counters.def" /* nogncheck: data for whoever lists all counters */
#undef COUNTER
#undef GAUGE
}

const char *report_files_word(const struct settings *settings)
{
    switch (settings->files) {
    case FILES_FIXED:
        return "fixed";
    case FILES_PLAIN:
        break;
    }
    return "plain";
}
