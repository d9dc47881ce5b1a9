/*
 * The values of a configuration text, loaded by libcyaml by a schema made from settings.def. They
 * are strings still: what they mean, settings_assign() knows, and where they stand, document.h.
 *
 * Private to config/. The text must have been checked (file.c): libcyaml's own errors say too
 * little to be shown. Any thread.
 */
#pragma once

#include <stdint.h>

#include "config/settings.h"
#include "server/base/span.h"

/* How an option is written in the text, by row. */
enum yaml_shape {
    YAML_SHAPE_ABSENT, /* not there, or refused already: passed over */
    YAML_SHAPE_ONE,    /* a scalar */
    YAML_SHAPE_MANY,   /* a sequence of scalars */
};

struct yaml_shapes {
    enum yaml_shape rows[SETTING_COUNT];
};

struct yaml_value {
    char *one;   /* YAML_SHAPE_ONE */
    char **many; /* YAML_SHAPE_MANY */
    uint32_t many_count;
};

struct yaml_values {
    struct yaml_value rows[SETTING_COUNT];
};

/**
 * Loads the values of the rows that `shapes` says are there.
 *
 * text         holds a mapping with scalar keys, each known key once, and no NUL
 * ret_values   free with yaml_values_destroy() and the same `shapes`
 * returns      0, -ENOMEM or -EINVAL; ret_error then has libcyaml's word for it
 */
[[gnu::warn_unused_result]] int yaml_values_create(struct span text,
                                                   const struct yaml_shapes *shapes,
                                                   struct yaml_values **ret_values,
                                                   struct sentence *ret_error);

/** NULL is fine. */
void yaml_values_destroy(struct yaml_values *values, const struct yaml_shapes *shapes);
