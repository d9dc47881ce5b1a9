#include "loadgen/json_writer.h"

#include <inttypes.h>
#include <stddef.h>

#include "server/base/check.h"

/* Results of printing are dropped here: whoever opened the stream asks it once, at its end. */

void json_writer_init(struct json_writer *writer, FILE *out)
{
    *writer = (struct json_writer){.out = out};
}

/* Bytes above 127 are passed on: what comes from outside may not be UTF-8, so it is made safe. */
static void write_text(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte == '"' || byte == '\\') {
            (void)fputc('\\', out);
        }
        if (byte < 0x20 || byte >= 0x7f) {
            (void)fprintf(out, "\\u%04x", byte);
            continue;
        }
        (void)fputc(byte, out);
    }
    (void)fputc('"', out);
}

static void begin_value(struct json_writer *writer, const char *name)
{
    if (writer->needs_comma) {
        (void)fputc(',', writer->out);
    }
    writer->needs_comma = true;
    if (name != NULL) {
        write_text(writer->out, name);
        (void)fputc(':', writer->out);
    }
}

static void begin(struct json_writer *writer, const char *name, char bracket)
{
    begin_value(writer, name);
    (void)fputc(bracket, writer->out);
    writer->needs_comma = false;
}

static void end(struct json_writer *writer, char bracket)
{
    (void)fputc(bracket, writer->out);
    writer->needs_comma = true;
}

void json_begin_object(struct json_writer *writer, const char *name)
{
    begin(writer, name, '{');
}

void json_end_object(struct json_writer *writer)
{
    end(writer, '}');
}

void json_begin_array(struct json_writer *writer, const char *name)
{
    begin(writer, name, '[');
}

void json_end_array(struct json_writer *writer)
{
    end(writer, ']');
}

void json_string(struct json_writer *writer, const char *name, const char *value)
{
    begin_value(writer, name);
    write_text(writer->out, value);
}

void json_count(struct json_writer *writer, const char *name, uint64_t value)
{
    begin_value(writer, name);
    (void)fprintf(writer->out, "%" PRIu64, value);
}

void json_number(struct json_writer *writer, const char *name, double value, int decimals)
{
    ASSERT(__builtin_isfinite(value));
    begin_value(writer, name);
    (void)fprintf(writer->out, "%.*f", decimals, value);
}

void json_bool(struct json_writer *writer, const char *name, bool value)
{
    begin_value(writer, name);
    (void)fputs(value ? "true" : "false", writer->out);
}
