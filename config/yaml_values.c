#include "config/yaml_values.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdlib.h>

#include "config/setting_row.h"
#include "server/base/fault.h"

/* The schema of one load; the parts point at each other, so it stays where it was made. */
struct schema {
    cyaml_schema_field_t fields[SETTING_COUNT + 1]; /* the last one ends the list */
    cyaml_schema_value_t top;
};

/* Any string: its length is left to the option's own parser. */
static const cyaml_schema_value_t string_schema = {
    .type = CYAML_STRING,
    .flags = CYAML_FLAG_POINTER,
    .data_size = sizeof(char),
    .string = {.min = 0, .max = CYAML_UNLIMITED},
};

/* libcyaml's allocator: realloc(), where a size of 0 frees. */
static void *resize(void *context, void *pointer, size_t bytes)
{
    (void)context;
    if (bytes == 0) {
        free(pointer);
        return NULL;
    }
    if (FAULT("yaml_values_alloc") != 0) {
        return NULL;
    }
    return realloc(pointer, bytes);
}

/* Silent: every error is said by file.c, with its place. Unknown keys are among them. */
static const cyaml_config_t library_config = {
    .log_fn = NULL,
    .mem_fn = resize,
    .log_level = CYAML_LOG_ERROR,
    .flags = CYAML_CFG_IGNORE_UNKNOWN_KEYS,
};

static cyaml_schema_field_t make_field(enum setting_id id, enum yaml_shape shape)
{
    size_t value_offset = offsetof(struct yaml_values, rows) + id * sizeof(struct yaml_value);
    cyaml_schema_field_t field = {
        .key = setting_row_of(id)->option,
        .value = {.type = CYAML_IGNORE, .flags = CYAML_FLAG_OPTIONAL},
    };
    if (shape == YAML_SHAPE_ONE) {
        field.data_offset = (uint32_t)(value_offset + offsetof(struct yaml_value, one));
        field.value = string_schema;
        field.value.flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL;
    }
    if (shape == YAML_SHAPE_MANY) {
        field.data_offset = (uint32_t)(value_offset + offsetof(struct yaml_value, many));
        field.count_offset = (uint32_t)(value_offset + offsetof(struct yaml_value, many_count));
        field.count_size = sizeof(uint32_t);
        field.value = (cyaml_schema_value_t){
            .type = CYAML_SEQUENCE,
            .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
            .data_size = sizeof(char *),
            .sequence = {.entry = &string_schema, .min = 0, .max = CYAML_UNLIMITED},
        };
    }
    return field;
}

static void schema_init(struct schema *schema, const struct yaml_shapes *shapes)
{
    *schema = (struct schema){
        .top = {.type = CYAML_MAPPING,
                .flags = CYAML_FLAG_POINTER,
                .data_size = sizeof(struct yaml_values),
                .mapping = {.fields = schema->fields}},
    };
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        schema->fields[id] = make_field(id, shapes->rows[id]);
    }
}

int yaml_values_create(struct span text,
                       const struct yaml_shapes *shapes,
                       struct yaml_values **ret_values,
                       struct sentence *ret_error)
{
    struct schema schema;
    schema_init(&schema, shapes);
    cyaml_data_t *data = NULL;
    cyaml_err_t error =
        cyaml_load_data(text.ptr, text.bytes, &library_config, &schema.top, &data, NULL);
    if (error == CYAML_OK) {
        *ret_values = data;
        return 0;
    }
    sentence_set(ret_error, "libcyaml could not load it: %s", cyaml_strerror(error));
    return error == CYAML_ERR_OOM ? -ENOMEM : -EINVAL;
}

void yaml_values_destroy(struct yaml_values *values, const struct yaml_shapes *shapes)
{
    struct schema schema;
    schema_init(&schema, shapes);
    (void)cyaml_free(&library_config, &schema.top, values, 0); /* fails for a wrong schema only */
}
