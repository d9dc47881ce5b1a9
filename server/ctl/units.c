#include "server/ctl/units.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/base/check.h"

/* What is written here always fits: 20 digits and two short words at most. */

void units_format_bytes(uint64_t bytes, char out[static UNITS_TEXT_BYTES])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        (void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64 " B", bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    /* 1023.95 would be written as 1024.0 of the smaller unit. */
    while (value >= 1023.95 && unit + 1 < ARRAY_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, UNITS_TEXT_BYTES, "%.1f %s", value, units[unit]);
}

void units_format_seconds(uint64_t seconds, char out[static UNITS_TEXT_BYTES])
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t unit = 0;
    while (unit + 1 < ARRAY_COUNT(units) && seconds < units[unit].seconds) {
        unit++;
    }
    uint64_t whole = seconds / units[unit].seconds;
    uint64_t rest = seconds % units[unit].seconds;
    if (unit + 1 == ARRAY_COUNT(units)) {
        (void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64 " %s", whole, units[unit].name);
        return;
    }
    (void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64 " %s %" PRIu64 " %s", whole, units[unit].name,
                   rest / units[unit + 1].seconds, units[unit + 1].name);
}

void units_format_microseconds(uint64_t microseconds, char out[static UNITS_TEXT_BYTES])
{
    if (microseconds < 1000) {
        (void)snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64 " us", microseconds);
        return;
    }
    (void)snprintf(out, UNITS_TEXT_BYTES, "%.1f %s",
                   (double)microseconds / (microseconds < 999950 ? 1e3 : 1e6),
                   microseconds < 999950 ? "ms" : "s");
}
