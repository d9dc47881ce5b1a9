/*
 * Properties: whatever the bytes, loading ends without a leak; it fails exactly when it reports,
 * and every report begins with the file, a line and a column that exist; what was accepted holds;
 * and libcyaml, which loads, has nothing to add to what libyaml, which locates, let pass.
 */
#include "config/file.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/address.h"
#include "config/setting_row.h"
#include "server/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Lines as YAML counts them: three more bytes than '\n' end one. */
static uint64_t line_limit(const uint8_t *data, size_t bytes)
{
    uint64_t lines = 2; /* the end of the file may stand one past the last */
    for (size_t i = 0; i < bytes; i++) {
        lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] >= 0xa8;
    }
    return lines;
}

static void expect_place(const struct sentence *sentence, uint64_t lines)
{
    unsigned long long line = 0;
    unsigned long long column = 0;
    int used = 0;
    int fields = sscanf(sentence->text, "f.yaml:%llu:%llu: %n", &line, &column, &used);
    ASSERT(fields == 2);
    ASSERT(used > 0);
    ASSERT(line >= 1);
    ASSERT(line <= lines);
    ASSERT(column >= 1);
    ASSERT(sentence->text[used] != '\0');
    ASSERT(strncmp(sentence->text + used, "libcyaml", strlen("libcyaml")) != 0);
}

static void expect_accepted(const struct settings *settings)
{
    ASSERT(settings->root[0] != '\0');
    ASSERT(settings->workers <= setting_row_of(SETTING_workers)->bounds.high);
    ASSERT(settings->listen.count >= 1);
    ASSERT(settings->listen.count <= SETTINGS_LIST_MAX);
    for (uint32_t i = 0; i < settings->listen.count; i++) {
        struct address address;
        struct sentence sentence;
        int rc = address_parse(span_of_string(settings->listen.items[i]), &address, &sentence);
        ASSERT(rc == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct findings errors; /* tidy: 33 KB, cleared for each input */
    errors.line_count = 0;
    errors.dropped_count = 0;
    struct settings settings;
    settings_init(&settings);
    int rc = config_file_parse("f.yaml", span_of(data, bytes), &settings, &errors);
    ASSERT((rc < 0) == (findings_count(&errors) > 0));
    uint64_t lines = line_limit(data, bytes);
    for (uint32_t i = 0; i < errors.line_count; i++) {
        expect_place(&errors.lines[i], lines);
    }
    expect_accepted(&settings);
    settings_deinit(&settings);
    return 0;
}
