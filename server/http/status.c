#include "server/http/status.h"

#include <stddef.h>

#include "server/base/check.h"

struct status {
    uint32_t code;
    const char *reason;
    const char *sentence;
};

static const struct status statuses[] = {
#define HTTP_STATUS(code, reason, sentence) {code, reason, sentence},
#include "server/http/status.def"
#undef HTTP_STATUS
};

static const struct status *status_find(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
        if (statuses[i].code == code) {
            return &statuses[i];
        }
    }
    return NULL;
}

const char *http_status_reason(uint32_t status)
{
    const struct status *found = status_find(status);
    ASSERT(found != NULL);
    return found->reason;
}

const char *http_status_sentence(uint32_t status)
{
    const struct status *found = status_find(status);
    ASSERT(found != NULL);
    return found->sentence;
}
