/*
 * A YAML text as a tree that knows the line and column of everything in it (libyaml's). libcyaml,
 * which loads the values, reports no usable place: its backtrace gives the position of the value
 * *before* an unknown key, and nothing at all once loading has succeeded, which is when values are
 * parsed. So the place of each error is looked up here.
 *
 * Private to config/. Owned by the load that makes it; any thread.
 */
#pragma once

#include <stdint.h>
#include <yaml.h>

#include "config/sentence.h"
#include "server/base/span.h"

/* Deeper than any configuration; libyaml's time grows with the square of the depth. */
#define DOCUMENT_DEPTH_MAX 32

/* Where something stands in the file; both count from 1, columns in characters. */
struct document_mark {
    uint64_t line;
    uint64_t column;
};

struct document {
    yaml_document_t yaml; /* as after yaml_parser_load(), or empty */
};

/**
 * Parses `text`, which must hold one document or none.
 *
 * ret_document  valid on success, until document_deinit()
 * ret_mark      on failure: where
 * ret_error     on failure: what was found and what is allowed
 * returns       0, -EINVAL (not YAML, too deep, or more than one document) or -ENOMEM
 */
[[gnu::warn_unused_result]] int document_init(struct document *ret_document,
                                              struct span text,
                                              struct document_mark *ret_mark,
                                              struct sentence *ret_error);
void document_deinit(struct document *document);

/** The node at the top; NULL when the text holds nothing but comments. */
yaml_node_t *document_root(struct document *document);

/** A node by the index that mappings and sequences hold; never NULL. */
yaml_node_t *document_node(struct document *document, int index);

struct document_mark document_mark_of(const yaml_node_t *node);

/** The text of a scalar. */
struct span document_scalar(const yaml_node_t *node);

/** Whether a scalar is YAML's way to say nothing: `key:`, `~` or `null`, without quotes. */
bool document_is_null(const yaml_node_t *node);

/** What a node is called in a sentence: "a sequence". */
const char *document_kind_name(const yaml_node_t *node);
