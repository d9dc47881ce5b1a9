#include "config/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/types.h>

#include "config/spelling.h"
#include "server/base/check.h"

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Formatters take the first that leaves no fraction, so the largest stands first. */
static const struct unit size_units[] = {
    {"G", UINT64_C(1) << 30}, {"M", UINT64_C(1) << 20}, {"K", UINT64_C(1) << 10}, {"", 1},
    {"g", UINT64_C(1) << 30}, {"m", UINT64_C(1) << 20}, {"k", UINT64_C(1) << 10},
};
static const struct unit duration_units[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1000},
};

/**
 * Reads the digits at the front of `text`.
 *
 * returns   how many (> 0); -EINVAL without any; -ERANGE when the number does not fit
 */
static ssize_t parse_digits(struct span text, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t digits = 0;
    while (digits < text.bytes && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        uint64_t digit = (uint64_t)(text.ptr[digits] - '0');
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number)) {
            return -ERANGE;
        }
        digits++;
    }
    if (digits == 0) {
        return -EINVAL;
    }
    *ret_number = number;
    return (ssize_t)digits;
}

static const struct unit *find_unit(struct span suffix, const struct unit *units, size_t unit_count)
{
    for (size_t i = 0; i < unit_count; i++) {
        if (span_equal(suffix, span_of_string(units[i].suffix))) {
            return &units[i];
        }
    }
    return NULL;
}

static bool is_within(uint64_t number, struct value_bounds bounds)
{
    return number >= bounds.low && number <= bounds.high;
}

static void begin_refusal(struct sentence *sentence, struct span text)
{
    if (text.bytes == 0) {
        sentence_set(sentence, "found nothing; allowed: ");
        return;
    }
    sentence_set(sentence, "found ");
    sentence_add_quoted(sentence, text);
    sentence_add(sentence, "; allowed: ");
}

int value_parse_count(struct span text,
                      struct value_bounds bounds,
                      bool takes_auto,
                      uint64_t *ret_count,
                      struct sentence *ret_error)
{
    if (takes_auto && span_equal(text, SPAN("auto"))) {
        *ret_count = VALUE_AUTO;
        return 0;
    }
    uint64_t number = 0;
    ssize_t digits = parse_digits(text, &number);
    if (digits >= 0 && (size_t)digits == text.bytes && is_within(number, bounds)) {
        *ret_count = number;
        return 0;
    }
    begin_refusal(ret_error, text);
    sentence_add(ret_error, "a whole number from %" PRIu64 " to %" PRIu64, bounds.low, bounds.high);
    if (takes_auto) {
        sentence_add(ret_error, ", or auto");
    }
    return -EINVAL;
}

/* A number times its unit; false when it is not one of `units`, or does not fit. */
static bool
parse_scaled(struct span text, const struct unit *units, size_t unit_count, uint64_t *ret_number)
{
    uint64_t number = 0;
    ssize_t digits = parse_digits(text, &number);
    if (digits < 0) {
        return false;
    }
    const struct unit *unit = find_unit(span_skip(text, (size_t)digits), units, unit_count);
    return unit != NULL && !__builtin_mul_overflow(number, unit->factor, ret_number);
}

int value_parse_size(struct span text,
                     struct value_bounds bounds,
                     uint64_t *ret_bytes,
                     struct sentence *ret_error)
{
    uint64_t bytes = 0;
    if (parse_scaled(text, size_units, ARRAY_COUNT(size_units), &bytes) &&
        is_within(bytes, bounds)) {
        *ret_bytes = bytes;
        return 0;
    }
    begin_refusal(ret_error, text);
    sentence_add(ret_error, "a size from %s to %s, such as 512, 32K, 64M or 1G",
                 value_format_size(bounds.low).text, value_format_size(bounds.high).text);
    return -EINVAL;
}

int value_parse_duration(struct span text,
                         struct value_bounds bounds,
                         uint64_t *ret_duration_ms,
                         struct sentence *ret_error)
{
    uint64_t duration_ms = 0;
    if (parse_scaled(text, duration_units, ARRAY_COUNT(duration_units), &duration_ms) &&
        is_within(duration_ms, bounds)) {
        *ret_duration_ms = duration_ms;
        return 0;
    }
    begin_refusal(ret_error, text);
    sentence_add(ret_error,
                 "a time from %s to %s, such as 500ms, 10s, 5m or 1h; a plain number is seconds",
                 value_format_duration(bounds.low).text, value_format_duration(bounds.high).text);
    return -EINVAL;
}

int value_parse_choice(struct span text,
                       const char *const *words,
                       uint32_t word_count,
                       uint32_t *ret_index,
                       struct sentence *ret_error)
{
    for (uint32_t i = 0; i < word_count; i++) {
        if (span_equal(text, span_of_string(words[i]))) {
            *ret_index = i;
            return 0;
        }
    }
    begin_refusal(ret_error, text);
    sentence_add_words(ret_error, words, word_count);
    const char *nearest = spelling_nearest(text, words, word_count);
    if (nearest != NULL) {
        sentence_add(ret_error, "; did you mean '%s'?", nearest);
    }
    return -EINVAL;
}

static struct value_text format_scaled(uint64_t number, const struct unit *units, size_t unit_count)
{
    struct value_text value = {.text = "0"};
    for (size_t i = 0; number > 0 && i < unit_count; i++) {
        if (number % units[i].factor == 0) {
            (void)snprintf(value.text, /* 20 digits and a suffix fit */
                           sizeof(value.text), "%" PRIu64 "%s", number / units[i].factor,
                           units[i].suffix);
            break;
        }
    }
    return value;
}

struct value_text value_format_size(uint64_t bytes)
{
    return format_scaled(bytes, size_units, ARRAY_COUNT(size_units));
}

struct value_text value_format_duration(uint64_t duration_ms)
{
    return format_scaled(duration_ms, duration_units, ARRAY_COUNT(duration_units));
}
