#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "config/document.h"
#include "config/setting_row.h"
#include "config/spelling.h"
#include "config/yaml_values.h"
#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/fault.h"

/* One load: what the file sets, and where. */
struct load {
    const char *path;
    struct document document;
    yaml_node_t *nodes[SETTING_COUNT]; /* value of each option; NULL: not set */
    yaml_node_t *keys[SETTING_COUNT];  /* its key */
    struct yaml_shapes shapes;
    bool is_loadable; /* false: libcyaml would not see it as this file does */
    struct settings *settings;
    struct findings *errors;
    uint32_t error_count_before; /* sentences in `errors` that are not of this file */
};

static void report_at(struct load *load, struct document_mark mark, const struct sentence *sentence)
{
    findings_add(load->errors, "%s:%" PRIu64 ":%" PRIu64 ": %s", load->path, mark.line, mark.column,
                 sentence->text);
}

static void report_value(struct load *load,
                         enum setting_id id,
                         const yaml_node_t *node,
                         const struct sentence *sentence)
{
    struct sentence whole = {.text = ""};
    sentence_set(&whole, "'%s': %s", setting_row_of(id)->option, sentence->text);
    report_at(load, document_mark_of(node), &whole);
}

static void report_unknown_key(struct load *load, const yaml_node_t *key)
{
    const char *options[SETTING_COUNT];
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        options[id] = setting_row_of(id)->option;
    }
    struct sentence sentence = {.text = "unknown option "};
    sentence_add_quoted(&sentence, document_scalar(key));
    const char *nearest = spelling_nearest(document_scalar(key), options, SETTING_COUNT);
    if (nearest != NULL) {
        sentence_add(&sentence, "; did you mean '%s'?", nearest);
    } else {
        sentence_add(&sentence, "; allowed: ");
        sentence_add_words(&sentence, options, SETTING_COUNT);
    }
    report_at(load, document_mark_of(key), &sentence);
}

static bool has_nul(const yaml_node_t *scalar)
{
    struct span text = document_scalar(scalar);
    return text.bytes > 0 && memchr(text.ptr, '\0', text.bytes) != NULL;
}

/* Where one scalar stands that an option takes: says what is wrong with its kind, if anything. */
static bool check_scalar(struct load *load, enum setting_id id, const yaml_node_t *node)
{
    struct sentence sentence = {.text = ""};
    if (node->type != YAML_SCALAR_NODE || document_is_null(node)) {
        sentence_set(&sentence, "found %s; allowed: ", document_kind_name(node));
        setting_row_add_argument(setting_row_of(id), &sentence);
    } else if (has_nul(node)) {
        sentence_set(&sentence, "found a NUL; allowed: text without one");
    } else {
        return true;
    }
    report_value(load, id, node, &sentence);
    return false;
}

static enum yaml_shape check_sequence(struct load *load, enum setting_id id, yaml_node_t *node)
{
    yaml_node_item_t *first = node->data.sequence.items.start;
    yaml_node_item_t *end = node->data.sequence.items.top;
    if (first == end) {
        struct sentence sentence = {.text = "found an empty sequence; allowed: one item or more"};
        report_value(load, id, node, &sentence);
        return YAML_SHAPE_ABSENT;
    }
    enum yaml_shape shape = YAML_SHAPE_MANY;
    for (yaml_node_item_t *item = first; item != end; item++) {
        if (!check_scalar(load, id, document_node(&load->document, *item))) {
            shape = YAML_SHAPE_ABSENT;
        }
    }
    return shape;
}

static void check_pair(struct load *load, yaml_node_t *key, yaml_node_t *value)
{
    if (key->type != YAML_SCALAR_NODE || has_nul(key)) {
        struct sentence sentence = {.text = ""};
        sentence_set(&sentence, "found %s as the name of an option; allowed: 'option: value'",
                     key->type == YAML_SCALAR_NODE ? "a NUL" : document_kind_name(key));
        report_at(load, document_mark_of(key), &sentence);
        load->is_loadable = false;
        return;
    }
    enum setting_id id = setting_row_find(document_scalar(key));
    if (id == SETTING_COUNT) {
        report_unknown_key(load, key);
        return;
    }
    if (load->nodes[id] != NULL) {
        struct sentence sentence = {.text = ""};
        sentence_set(&sentence, "'%s' is set a second time; it stands in line %" PRIu64 " already",
                     setting_row_of(id)->option, document_mark_of(load->keys[id]).line);
        report_at(load, document_mark_of(key), &sentence);
        load->shapes.rows[id] = YAML_SHAPE_ABSENT; /* libcyaml takes one only when it loads none */
        return;
    }
    load->keys[id] = key;
    load->nodes[id] = value;
    bool is_list = setting_row_of(id)->kind == SETTING_KIND_LIST;
    if (is_list && value->type == YAML_SEQUENCE_NODE) {
        load->shapes.rows[id] = check_sequence(load, id, value);
    } else if (check_scalar(load, id, value)) {
        load->shapes.rows[id] = YAML_SHAPE_ONE;
    }
}

/* Notes the place and shape of every option, and reports what is not one. */
static void check_mapping(struct load *load, yaml_node_t *root)
{
    if (root->type != YAML_MAPPING_NODE) {
        struct sentence sentence = {.text = ""};
        sentence_set(&sentence, "found %s; allowed: lines of 'option: value'",
                     document_kind_name(root));
        report_at(load, document_mark_of(root), &sentence);
        load->is_loadable = false;
        return;
    }
    yaml_node_pair_t *end = root->data.mapping.pairs.top;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair != end; pair++) {
        check_pair(load, document_node(&load->document, pair->key),
                   document_node(&load->document, pair->value));
    }
}

static void
assign_one(struct load *load, enum setting_id id, const yaml_node_t *node, const char *text)
{
    ASSERT(text != NULL);
    DEBUG_ASSERT(
        span_equal(span_of_string(text), document_scalar(node))); /* one text, two readers */
    struct sentence sentence = {.text = ""};
    if (settings_assign(load->settings, id, span_of_string(text), &sentence) < 0) {
        report_value(load, id, node, &sentence);
    }
}

static void assign_row(struct load *load, enum setting_id id, const struct yaml_value *value)
{
    yaml_node_t *node = load->nodes[id];
    if (load->shapes.rows[id] == YAML_SHAPE_ABSENT) {
        return;
    }
    settings_restart_list(load->settings, id);
    if (load->shapes.rows[id] == YAML_SHAPE_ONE) {
        assign_one(load, id, node, value->one);
        return;
    }
    yaml_node_item_t *items = node->data.sequence.items.start;
    ASSERT(value->many_count == node->data.sequence.items.top - items);
    for (uint32_t i = 0; i < value->many_count; i++) {
        int item = items[i];
        assign_one(load, id, document_node(&load->document, item), value->many[i]);
    }
}

static void assign_all(struct load *load, struct span text)
{
    struct yaml_values *values = NULL;
    struct sentence sentence = {.text = ""};
    int rc = yaml_values_create(text, &load->shapes, &values, &sentence);
    if (rc == -EINVAL && findings_count(load->errors) > load->error_count_before) {
        return; /* what libcyaml stumbled over has been said better */
    }
    if (rc < 0) {
        report_at(load, (struct document_mark){.line = 1, .column = 1}, &sentence);
        return;
    }
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        assign_row(load, id, &values->rows[id]);
    }
    yaml_values_destroy(values, &load->shapes);
}

int config_file_parse(const char *path,
                      struct span text,
                      struct settings *settings,
                      struct findings *errors)
{
    struct load load = {.error_count_before = findings_count(errors),
                        .path = path,
                        .is_loadable = true,
                        .settings = settings,
                        .errors = errors};
    struct document_mark mark = {.line = 1, .column = 1};
    struct sentence sentence = {.text = ""};
    if (document_init(&load.document, text, &mark, &sentence) < 0) {
        report_at(&load, mark, &sentence);
        return -EINVAL;
    }
    yaml_node_t *root = document_root(&load.document);
    if (root != NULL) {
        check_mapping(&load, root);
        if (load.is_loadable) {
            assign_all(&load, text);
        }
    }
    document_deinit(&load.document);
    return findings_count(errors) == load.error_count_before ? 0 : -EINVAL;
}

/**
 * Fills `buffer` from `fd` until the end of the file.
 *
 * returns   bytes read, or -errno; -EFBIG when the file does not end within the buffer
 */
static ssize_t read_all(int fd, uint8_t *buffer, size_t buffer_bytes)
{
    size_t used = 0;
    while (used < buffer_bytes) {
        int fault = FAULT("config_file_read");
        ssize_t rc = -1;
        if (fault != 0) {
            errno = fault;
        } else {
            rc = read(fd, buffer + used, buffer_bytes - used);
        }
        if (rc < 0 && errno == EINTR) {
            continue;
        }
        if (rc < 0) {
            return -errno;
        }
        if (rc == 0) {
            return (ssize_t)used;
        }
        used += (size_t)rc;
    }
    return -EFBIG;
}

static const char *remedy_for(int error_number)
{
    switch (error_number) {
    case ENOENT:
    case ENOTDIR:
        return "; give the path of a YAML file to --config";
    case EISDIR:
        return "; --config takes a file, not a directory";
    case EACCES:
        return "; make it readable for the user that runs turntable";
    case EFBIG:
        return "; a configuration has at most 1 MiB";
    default:
        return "";
    }
}

static int refuse_file(const char *path, const char *call, int rc, struct findings *errors)
{
    findings_add(errors, "configuration file '%s': %s() failed: %s%s", path, call, strerror(-rc),
                 remedy_for(-rc));
    return -EINVAL;
}

int config_file_load(const char *path, struct settings *settings, struct findings *errors)
{
    int fault = FAULT("config_file_open");
    int fd = fault != 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return refuse_file(path, "open", fault != 0 ? -fault : -errno, errors);
    }
    int rc = 0;
    size_t room = CONFIG_FILE_BYTES_MAX + 1; /* one more, to notice what is too long */
    uint8_t *buffer = FAULT("config_file_alloc") != 0 ? NULL : alloc_zeroed(1, room);
    if (buffer == NULL) {
        rc = refuse_file(path, "calloc", -ENOMEM, errors);
        goto close_file;
    }
    ssize_t bytes = read_all(fd, buffer, room);
    if (bytes < 0) {
        rc = refuse_file(path, "read", (int)bytes, errors);
        goto free_buffer;
    }
    rc = config_file_parse(path, span_of(buffer, (size_t)bytes), settings, errors);
free_buffer:
    alloc_free(buffer);
close_file:
    (void)close(fd); /* read only: nothing can be lost */
    return rc;
}
