/*
 * Writes JSON to a stream as it goes: no tree, no memory. The caller keeps begins and ends in
 * pairs; the writer puts commas and escapes strings.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_writer {
    FILE *out;
    bool needs_comma;
};

void json_writer_init(struct json_writer *writer, FILE *out);

/* The name is NULL inside an array, and for the outermost value. */
void json_begin_object(struct json_writer *writer, const char *name);
void json_end_object(struct json_writer *writer);
void json_begin_array(struct json_writer *writer, const char *name);
void json_end_array(struct json_writer *writer);
void json_string(struct json_writer *writer, const char *name, const char *value);
void json_count(struct json_writer *writer, const char *name, uint64_t value);
/** `decimals` digits after the point; `value` must be finite. */
void json_number(struct json_writer *writer, const char *name, double value, int decimals);
void json_bool(struct json_writer *writer, const char *name, bool value);
