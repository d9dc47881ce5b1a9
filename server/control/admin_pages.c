#include "server/control/admin_pages.h"

#include "server/base/check.h"
#include "server/control/metrics.h"
#include "server/control/status.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
#define JSON_TYPE "application/json"

static void gather(const struct admin_source *source, struct report *ret_report)
{
    *ret_report = (struct report){0};
    source->gather(source->context, ret_report);
}

static uint32_t render_index(void *context, FILE *out)
{
    (void)context;
    (void)fputs("turntable, admin listener\n"
                "\n"
                "  /healthz      200 while the process lives\n"
                "  /readyz       200 while it takes new connections, 503 once it drains\n"
                "  /status       state and totals, JSON\n"
                "  /generations  what was published and is drained, JSON\n"
                "  /metrics      Prometheus\n",
                out); /* a failed write is the caller's to find */
    return 200;
}

static uint32_t render_health(void *context, FILE *out)
{
    (void)context;
    (void)fputs("ok\n", out); /* as above */
    return 200;
}

static uint32_t render_readiness(void *context, FILE *out)
{
    struct report report;
    gather(context, &report);
    (void)fputs(report.is_draining ? "draining\n" : "ready\n", out); /* as above */
    return report.is_draining ? 503 : 200;
}

static uint32_t render_status(void *context, FILE *out)
{
    struct report report;
    gather(context, &report);
    return status_write(&report, out) == 0 ? 200 : 503;
}

static uint32_t render_generations(void *context, FILE *out)
{
    struct report report;
    gather(context, &report);
    return status_write_generations(&report, out) == 0 ? 200 : 503;
}

static uint32_t render_metrics(void *context, FILE *out)
{
    struct report report;
    gather(context, &report);
    metrics_write(&report, out);
    return 200;
}

static const struct admin_page pages[] = {
    {"/", TEXT_TYPE, render_index},
    {"/healthz", TEXT_TYPE, render_health},
    {"/readyz", TEXT_TYPE, render_readiness},
    {"/status", JSON_TYPE, render_status},
    {"/generations", JSON_TYPE, render_generations},
    {"/metrics", METRICS_CONTENT_TYPE, render_metrics},
};

const struct admin_page *admin_pages(uint32_t *ret_count)
{
    *ret_count = ARRAY_COUNT(pages);
    return pages;
}
