#include "server/http/refusal.h"

#include "server/base/check.h"

struct refusal {
    uint32_t status;
    const char *word;
};

static const struct refusal refusals[HTTP_REFUSAL_COUNT] = {
    [HTTP_REFUSAL_NONE] = {0, "none"},
#define HTTP_REFUSAL(name, status, word) [HTTP_REFUSAL_##name] = {status, word},
#include "server/http/refusal.def"
#undef HTTP_REFUSAL
};

uint32_t http_refusal_status(enum http_refusal_reason reason)
{
    ASSERT(reason > HTTP_REFUSAL_NONE);
    ASSERT(reason < HTTP_REFUSAL_COUNT);
    return refusals[reason].status;
}

const char *http_refusal_word(enum http_refusal_reason reason)
{
    ASSERT(reason < HTTP_REFUSAL_COUNT);
    return refusals[reason].word;
}
