#include "config/descriptors.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "server/base/check.h"
#include "server/base/fault.h"

static uint64_t reserve_for(const struct settings *settings)
{
    return DESCRIPTORS_RESERVE_PROCESS +
           UINT64_C(1) * DESCRIPTORS_RESERVE_WORKER * settings->workers;
}

static uint64_t needed_for(const struct settings *settings)
{
    return UINT64_C(1) * settings->table_slots + settings->max_connections + reserve_for(settings);
}

/* Every worker with a table full of files that no other has. */
static uint64_t ample_for(const struct settings *settings)
{
    return UINT64_C(1) * settings->table_slots * settings->workers + settings->max_connections +
           reserve_for(settings);
}

static void refuse(const struct settings *settings, uint64_t hard_limit, struct findings *errors)
{
    uint64_t needed = needed_for(settings);
    findings_add(errors,
                 "%" PRIu64 " descriptors are needed (%" PRIu32 " of --table-slots, %" PRIu32
                 " of --max-connections, %" PRIu64 " in reserve), the hard limit is %" PRIu64
                 "; raise it ('ulimit -n %" PRIu64 "' as root, or LimitNOFILE=%" PRIu64
                 " in the systemd unit), or lower the options",
                 needed, settings->table_slots, settings->max_connections, reserve_for(settings),
                 hard_limit, needed, needed);
}

/* Half for files, half for connections, none above what it was. */
static void shrink(struct settings *settings, uint64_t room)
{
    uint64_t half = room / 2;
    uint64_t slots = settings->table_slots < half ? settings->table_slots : half;
    uint64_t connections = room - slots;
    if (connections > settings->max_connections) {
        connections = settings->max_connections;
        slots = room - connections;
    }
    settings->table_slots = (uint32_t)slots;
    settings->max_connections = (uint32_t)connections;
}

uint64_t descriptors_fit(struct settings *settings,
                         uint64_t hard_limit,
                         struct findings *errors,
                         struct findings *warnings)
{
    ASSERT(settings->workers > 0);
    uint64_t needed = needed_for(settings);
    if (needed > hard_limit) {
        bool is_asked_for = settings_is_explicit(settings, SETTING_table_slots) ||
                            settings_is_explicit(settings, SETTING_max_connections);
        uint64_t reserve = reserve_for(settings);
        uint64_t least =
            reserve + UINT64_C(2) * settings->workers; /* a connection each, and files */
        if (is_asked_for || hard_limit < least) {
            refuse(settings, hard_limit, errors);
            return 0;
        }
        shrink(settings, hard_limit - reserve);
        findings_add(warnings,
                     "hard limit of %" PRIu64 " descriptors: --table-slots lowered to %" PRIu32
                     ", --max-connections to %" PRIu32 "; for the defaults allow %" PRIu64
                     " ('ulimit -n' as root, or LimitNOFILE= in the systemd unit)",
                     hard_limit, settings->table_slots, settings->max_connections, needed);
    }
    uint64_t ample = ample_for(settings);
    return ample < hard_limit ? ample : hard_limit;
}

/* A build on 32 bits has a narrower rlim_t; "unlimited" is above every number that we compare. */
static uint64_t limit_of(rlim_t limit)
{
    return limit == RLIM_INFINITY ? UINT64_MAX : limit;
}

void descriptors_settle(struct settings *settings,
                        struct findings *errors,
                        struct findings *warnings)
{
    struct rlimit limit;
    int rc = getrlimit(RLIMIT_NOFILE, &limit);
    ASSERT(rc == 0); /* fails for bad arguments only */
    uint64_t wanted = descriptors_fit(settings, limit_of(limit.rlim_max), errors, warnings);
    if (wanted <= limit_of(limit.rlim_cur)) {
        return;
    }
    limit.rlim_cur = (rlim_t)wanted;
    int fault = FAULT("descriptors_setrlimit");
    int error_number = fault;
    if (fault == 0 && setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        error_number = errno;
    }
    if (error_number != 0) {
        findings_add(errors,
                     "setrlimit() failed to allow %" PRIu64
                     " descriptors: %s; allow them before the "
                     "start ('ulimit -n', or LimitNOFILE= in the systemd unit)",
                     wanted, strerror(error_number));
    }
}
