#include "config/document.h"

#include <errno.h>

#include "server/base/check.h"
#include "server/base/fault.h"

static struct document_mark mark_of(yaml_mark_t mark)
{
    return (struct document_mark){.line = mark.line + 1, .column = mark.column + 1};
}

/* libyaml gives a byte offset, and no mark, for bytes that are no characters. */
static struct document_mark mark_at(struct span text, size_t offset)
{
    struct document_mark mark = {.line = 1, .column = 1};
    for (size_t i = 0; i < offset && i < text.bytes; i++) {
        if (text.ptr[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
        if ((text.ptr[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static struct span line_at(struct span text, uint64_t line)
{
    for (uint64_t i = 1; i < line; i++) {
        const uint8_t *end = text.bytes == 0 ? NULL : memchr(text.ptr, '\n', text.bytes);
        if (end == NULL) {
            return span_of(NULL, 0);
        }
        text = span_skip(text, (size_t)(end - text.ptr) + 1);
    }
    const uint8_t *end = text.bytes == 0 ? NULL : memchr(text.ptr, '\n', text.bytes);
    return end == NULL ? text : span_of(text.ptr, (size_t)(end - text.ptr));
}

/* The first byte of the value on a line `key: value` or `- value`; 0 without one. */
static char first_of_value(struct span line)
{
    for (size_t i = 1; i < line.bytes; i++) {
        bool is_after_mark = line.ptr[i - 1] == ':' || line.ptr[i - 1] == '-';
        if (!is_after_mark || line.ptr[i] != ' ') {
            continue;
        }
        while (i < line.bytes && line.ptr[i] == ' ') {
            i++;
        }
        return i < line.bytes ? (char)line.ptr[i] : '\0';
    }
    return '\0';
}

/* *:80 and [::1]:80 are what people write first, and both mean something else in YAML. */
static void
add_hint(struct span text, uint64_t line, const char *problem, struct sentence *ret_error)
{
    if (strncmp(problem, "mapping values", strlen("mapping values")) == 0) {
        sentence_add(ret_error, "; indent them alike, and put a value with ': ' in it in quotes");
        return;
    }
    char first = first_of_value(line_at(text, line));
    if (first != '\0' && strchr("*&[{!%@`|>", first) != NULL) {
        sentence_add(ret_error, "; put a value that begins with '%c' in quotes", first);
    }
}

static int refuse_syntax(const yaml_parser_t *parser,
                         struct span text,
                         struct document_mark *ret_mark,
                         struct sentence *ret_error)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        *ret_mark = (struct document_mark){.line = 1, .column = 1};
        sentence_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    const char *problem = parser->problem == NULL ? "unreadable" : parser->problem;
    if (parser->error == YAML_READER_ERROR) {
        *ret_mark = mark_at(text, parser->problem_offset);
        sentence_set(ret_error, "not text: %s; allowed: UTF-8 without control bytes", problem);
        return -EINVAL;
    }
    *ret_mark = mark_of(parser->problem_mark);
    sentence_set(ret_error, "not YAML: %s", problem);
    if (parser->context != NULL) {
        sentence_add(ret_error, " %s", parser->context);
        if (parser->context_mark.line != parser->problem_mark.line) {
            sentence_add(ret_error, " that began in line %zu", parser->context_mark.line + 1);
        }
    }
    sentence_add(ret_error, "; allowed: lines of 'option: value'");
    add_hint(text, ret_mark->line, problem, ret_error);
    return -EINVAL;
}

/* After the first document nothing may follow: its options would be passed over in silence. */
static int refuse_second(yaml_parser_t *parser,
                         struct span text,
                         struct document_mark *ret_mark,
                         struct sentence *ret_error)
{
    yaml_document_t second;
    if (yaml_parser_load(parser, &second) == 0) {
        return refuse_syntax(parser, text, ret_mark, ret_error);
    }
    int rc = 0;
    if (yaml_document_get_root_node(&second) != NULL) {
        *ret_mark = mark_of(second.start_mark);
        sentence_set(ret_error, "found a second document; allowed: one");
        rc = -EINVAL;
    }
    yaml_document_delete(&second);
    return rc;
}

static int start_parser(yaml_parser_t *parser,
                        struct span text,
                        struct document_mark *ret_mark,
                        struct sentence *ret_error)
{
    if (FAULT("document_parser") != 0 || yaml_parser_initialize(parser) == 0) {
        *ret_mark = (struct document_mark){.line = 1, .column = 1};
        sentence_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    const uint8_t *bytes = text.bytes == 0 ? (const uint8_t *)"" : text.ptr;
    yaml_parser_set_input_string(parser, bytes, text.bytes);
    return 0;
}

/* How much deeper what follows the event is. */
static int depth_step(const yaml_event_t *event)
{
    if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT) {
        return 1;
    }
    if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT) {
        return -1;
    }
    return 0;
}

/* Walks the text without building anything, and stops where it becomes too deep. */
static int check_depth(yaml_parser_t *parser,
                       struct span text,
                       struct document_mark *ret_mark,
                       struct sentence *ret_error)
{
    int depth = 0;
    bool is_end = false;
    while (!is_end) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            return refuse_syntax(parser, text, ret_mark, ret_error);
        }
        struct document_mark mark = mark_of(event.start_mark);
        depth += depth_step(&event);
        is_end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        if (depth > DOCUMENT_DEPTH_MAX) {
            *ret_mark = mark;
            sentence_set(ret_error, "nested too deep; allowed: %d levels", DOCUMENT_DEPTH_MAX);
            return -EINVAL;
        }
    }
    return 0;
}

static int build(yaml_parser_t *parser,
                 struct span text,
                 struct document *ret_document,
                 struct document_mark *ret_mark,
                 struct sentence *ret_error)
{
    struct document document;
    if (yaml_parser_load(parser, &document.yaml) == 0) {
        return refuse_syntax(parser, text, ret_mark, ret_error);
    }
    int rc = 0;
    if (document_root(&document) != NULL) {
        rc = refuse_second(parser, text, ret_mark, ret_error);
    }
    if (rc < 0) {
        yaml_document_delete(&document.yaml);
        return rc;
    }
    *ret_document = document;
    return 0;
}

int document_init(struct document *ret_document,
                  struct span text,
                  struct document_mark *ret_mark,
                  struct sentence *ret_error)
{
    yaml_parser_t parser;
    int rc = start_parser(&parser, text, ret_mark, ret_error);
    if (rc < 0) {
        return rc;
    }
    rc = check_depth(&parser, text, ret_mark, ret_error);
    yaml_parser_delete(&parser);
    if (rc < 0) {
        return rc;
    }
    rc = start_parser(&parser, text, ret_mark, ret_error);
    if (rc < 0) {
        return rc;
    }
    rc = build(&parser, text, ret_document, ret_mark, ret_error);
    yaml_parser_delete(&parser);
    return rc;
}

void document_deinit(struct document *document)
{
    yaml_document_delete(&document->yaml);
}

yaml_node_t *document_root(struct document *document)
{
    return yaml_document_get_root_node(&document->yaml);
}

yaml_node_t *document_node(struct document *document, int index)
{
    yaml_node_t *node = yaml_document_get_node(&document->yaml, index);
    ASSERT(node != NULL);
    return node;
}

struct document_mark document_mark_of(const yaml_node_t *node)
{
    return mark_of(node->start_mark);
}

struct span document_scalar(const yaml_node_t *node)
{
    ASSERT(node->type == YAML_SCALAR_NODE);
    return span_of(node->data.scalar.value, node->data.scalar.length);
}

bool document_is_null(const yaml_node_t *node)
{
    static const struct span words[] = {SPAN(""), SPAN("~"), SPAN("null"), SPAN("Null"),
                                        SPAN("NULL")};
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (span_equal(document_scalar(node), words[i])) {
            return true;
        }
    }
    return false;
}

const char *document_kind_name(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return document_is_null(node) ? "nothing" : "a value";
    case YAML_SEQUENCE_NODE:
        return "a sequence";
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_NO_NODE:
        break;
    }
    return "nothing";
}
