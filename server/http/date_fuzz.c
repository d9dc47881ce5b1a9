/*
 * Dates: eight bytes of "now", then text. Properties: what is read, is written in the one canonical
 * form, which reads as the same; and what is already in that form is written as it was but for the
 * name of the day.
 */
#include "server/http/date.h"

#include "server/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_round_trip(int64_t seconds)
{
    char text[HTTP_DATE_BYTES + 1];
    http_date_format(seconds, text);
    ASSERT(strlen(text) == HTTP_DATE_BYTES);
    int64_t again = -1;
    ASSERT(http_date_parse(span_of(text, HTTP_DATE_BYTES), 0, &again));
    bool is_clamped = seconds < 0 || seconds > HTTP_DATE_SECONDS_MAX;
    ASSERT(again == seconds || is_clamped);
    char twice[HTTP_DATE_BYTES + 1];
    http_date_format(again, twice);
    ASSERT(strcmp(text, twice) == 0);
}

static void check_canonical(struct span text, int64_t seconds)
{
    bool is_imf = text.bytes == HTTP_DATE_BYTES && text.ptr[3] == ',';
    bool is_leap_second = is_imf && text.ptr[23] == '6';
    if (!is_imf || is_leap_second) {
        return;
    }
    char canonical[HTTP_DATE_BYTES + 1];
    http_date_format(seconds, canonical);
    ASSERT(memcmp(canonical + 3, text.ptr + 3, HTTP_DATE_BYTES - 3) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    int64_t now_seconds = 0;
    if (bytes < sizeof(now_seconds)) {
        return 0;
    }
    memcpy(&now_seconds, data, sizeof(now_seconds));
    check_round_trip(now_seconds);
    struct span text = span_skip(span_of(data, bytes), sizeof(now_seconds));
    int64_t seconds = -1;
    if (!http_date_parse(text, now_seconds, &seconds)) {
        ASSERT(seconds == -1);
        return 0;
    }
    ASSERT(seconds >= 0);
    ASSERT(seconds <= HTTP_DATE_SECONDS_MAX + 1);
    check_round_trip(seconds);
    check_canonical(text, seconds);
    return 0;
}
