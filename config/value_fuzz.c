/*
 * Properties: nothing is accepted outside its bounds; a refusal always says something, on one line;
 * what was accepted is the same again once formatted.
 */
#include "config/value.h"

#include <stddef.h>
#include <stdint.h>

#include "config/address.h"
#include "config/spelling.h"
#include "server/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char *const words[] = {"error", "warn", "info", "debug"};

static void expect_sentence(const struct sentence *sentence)
{
    size_t bytes = strnlen(sentence->text, sizeof(sentence->text));
    ASSERT(bytes > 0);
    ASSERT(bytes < sizeof(sentence->text));
    for (size_t i = 0; i < bytes; i++) {
        ASSERT((uint8_t)sentence->text[i] >= 0x20);
    }
}

static void try_count(struct span text, struct value_bounds bounds)
{
    uint64_t count = UINT64_MAX;
    struct sentence sentence = {.text = ""};
    if (value_parse_count(text, bounds, false, &count, &sentence) < 0) {
        expect_sentence(&sentence);
        ASSERT(count == UINT64_MAX);
        return;
    }
    ASSERT(count >= bounds.low);
    ASSERT(count <= bounds.high);
    for (size_t i = 0; i < text.bytes; i++) {
        ASSERT(text.ptr[i] >= '0');
        ASSERT(text.ptr[i] <= '9');
    }
}

static void try_size(struct span text, struct value_bounds bounds)
{
    uint64_t size = 0;
    struct sentence sentence = {.text = ""};
    if (value_parse_size(text, bounds, &size, &sentence) < 0) {
        expect_sentence(&sentence);
        return;
    }
    ASSERT(size >= bounds.low);
    ASSERT(size <= bounds.high);
    uint64_t again = ~size;
    struct value_text formatted = value_format_size(size);
    int rc = value_parse_size(span_of_string(formatted.text), bounds, &again, &sentence);
    ASSERT(rc == 0);
    ASSERT(again == size);
}

static void try_duration(struct span text, struct value_bounds bounds)
{
    uint64_t duration_ms = 0;
    struct sentence sentence = {.text = ""};
    if (value_parse_duration(text, bounds, &duration_ms, &sentence) < 0) {
        expect_sentence(&sentence);
        return;
    }
    ASSERT(duration_ms >= bounds.low);
    ASSERT(duration_ms <= bounds.high);
    uint64_t again = ~duration_ms;
    struct value_text formatted = value_format_duration(duration_ms);
    int rc = value_parse_duration(span_of_string(formatted.text), bounds, &again, &sentence);
    ASSERT(rc == 0);
    ASSERT(again == duration_ms);
}

static void try_choice(struct span text)
{
    uint32_t index = UINT32_MAX;
    struct sentence sentence = {.text = ""};
    if (value_parse_choice(text, words, ARRAY_COUNT(words), &index, &sentence) < 0) {
        expect_sentence(&sentence);
        return;
    }
    ASSERT(index < ARRAY_COUNT(words));
    ASSERT(span_equal(text, span_of_string(words[index])));
}

static void try_address(struct span text)
{
    struct address address;
    struct sentence sentence = {.text = ""};
    if (address_parse(text, &address, &sentence) < 0) {
        expect_sentence(&sentence);
        return;
    }
    struct address_text formatted = address_format(&address);
    struct address again;
    int rc = address_parse(span_of_string(formatted.text), &again, &sentence);
    ASSERT(rc == 0);
    ASSERT(again.family == address.family);
    ASSERT(again.is_dual_stack == address.is_dual_stack);
    ASSERT(again.name_bytes == address.name_bytes);
    ASSERT(memcmp(&again.name, &address.name, address.name_bytes) == 0);
    ASSERT(address_port(&address) == 0 || address_overlaps(&again, &address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct span text = span_of(data, bytes);
    struct value_bounds all = {.low = 0, .high = UINT64_MAX - 1};
    struct value_bounds some = {.low = 100, .high = 3600000};
    try_count(text, all);
    try_count(text, some);
    try_size(text, all);
    try_size(text, some);
    try_duration(text, all);
    try_duration(text, some);
    try_choice(text);
    try_address(text);
    uint32_t distance = spelling_distance(text, SPAN("debug"));
    ASSERT(distance == spelling_distance(SPAN("debug"), text));
    return 0;
}
