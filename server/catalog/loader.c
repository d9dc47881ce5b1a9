#include "server/catalog/loader.h"

#include <errno.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/catalog/system.h"
#include "server/http/etag.h"
#include "server/http/mime.h"
#include "server/http/response.h"

/* The coarsest tick is 10 ms; whole seconds are what the clock gives, so up to two of them. */
#define RACY_SECONDS 2

#define COMPARE_BYTES 4096

/* A version and what only the loader knows of it. key, path, etag and body follow in one block. */
struct loaded_version {
    struct version version;
    LIST_ENTRY(loaded_version) link;
    bool is_racy;   /* built so soon after the file's last change that another may look the same */
    uint32_t twins; /* versions before it with the same identity: told apart by the ETag */
};

static struct loaded_version *loaded_of(const struct version *version)
{
    return version->allocation;
}

void loader_init(struct loader *loader)
{
    LIST_INIT(&loader->versions);
}

void loader_free(struct loader *loader, struct version *version)
{
    if (version->fd >= 0) {
        (void)close(version->fd); /* read only: nothing to lose */
        loader->counters->open_files--;
    }
    loader->counters->memory_bytes -= version->body_charge_bytes;
    LIST_REMOVE(loaded_of(version), link);
    alloc_free(loaded_of(version));
}

void loader_deinit(struct loader *loader)
{
    while (!LIST_EMPTY(&loader->versions)) {
        loader_free(loader, &LIST_FIRST(&loader->versions)->version);
    }
}

static bool is_directory_key(struct span key)
{
    return key.bytes == 0 || key.ptr[key.bytes - 1] == '/';
}

/* A time of the future is now (RFC 9110 8.8.2.1), one that HTTP cannot say is 1970. */
static int64_t last_modified_of(const struct file_identity *identity, int64_t now_seconds)
{
    const int64_t seconds = identity->mtime_ns / (int64_t)NS_PER_SEC;
    if (seconds < 0) {
        return 0;
    }
    return seconds < now_seconds ? seconds : now_seconds;
}

/* What a version says in text, before there is a block to keep it. */
struct text {
    struct span key;
    struct span index_name; /* empty where the key names the file itself */
    struct span etag;
    struct span content_type;
    struct span head;
    char etag_buffer[HTTP_ETAG_MAX];
    char head_buffer[HTTP_ANSWER_HEAD_MAX];
};

/* Spans of `text` point into it: it stays where it is. */
static void compose(const struct loader *loader,
                    struct span key,
                    const struct loaded_version *loaded,
                    struct text *text)
{
    const struct file_identity *identity = &loaded->version.identity;
    const struct http_etag_source source = {
        .size_bytes = identity->size_bytes,
        .mtime_ns = identity->mtime_ns,
        .ctime_ns = identity->ctime_ns + loaded->twins,
        .inode = identity->inode,
        .device = identity->device,
    };
    text->key = key;
    text->index_name = is_directory_key(key) ? span_of_string(loader->index_name) : span_of("", 0);
    text->etag = span_of(text->etag_buffer, http_etag_format(&source, text->etag_buffer));
    text->content_type = http_mime_of(is_directory_key(key) ? text->index_name : key);
    const struct http_representation representation = {
        .validators = {.etag = text->etag,
                       .last_modified_seconds = loaded->version.last_modified_seconds},
        .content_type = text->content_type,
        .size_bytes = identity->size_bytes,
    };
    const size_t bytes =
        http_version_head_write(text->head_buffer, sizeof(text->head_buffer), &representation);
    ASSERT(bytes > 0); /* every field in it is bounded */
    text->head = span_of(text->head_buffer, bytes);
}

/* Copies bytes to the end of what the block holds. */
static struct span put(char **end, struct span bytes)
{
    char *start = *end;
    if (bytes.bytes > 0) {
        memcpy(start, bytes.ptr, bytes.bytes);
    }
    *end = start + bytes.bytes;
    return span_of(start, bytes.bytes);
}

/* Puts key, path, etag and head; `end` is left where the body goes. The block is zeroed. */
static void
put_text(struct version *version, const char *root_path, const struct text *text, char **end)
{
    version->key = put(end, text->key);
    *end += 1; /* NUL */
    version->file_path = *end;
    (void)put(end, span_of_string(root_path));
    (void)put(end, SPAN("/"));
    (void)put(end, text->key);
    (void)put(end, text->index_name);
    *end += 1; /* NUL */
    version->etag = put(end, text->etag);
    version->content_type = text->content_type;
    version->head = put(end, text->head);
}

static size_t text_bytes_of(const char *root_path, const struct text *text)
{
    return text->key.bytes + 1 + strlen(root_path) + 1 + text->key.bytes + text->index_name.bytes +
           1 + text->etag.bytes + text->head.bytes;
}

/* A version with all that needs no reading; its body's bytes are still to come. */
static struct loaded_version *allocate(const struct loader *loader,
                                       struct span key,
                                       const struct file_identity *identity,
                                       const struct version *previous,
                                       uint64_t body_bytes)
{
    const int64_t now_seconds = clock_wall_seconds(loader->clock);
    struct loaded_version draft = {
        .version = {.fd = -1,
                    .identity = *identity,
                    .reference_count = 1,
                    .last_modified_seconds = last_modified_of(identity, now_seconds)},
        .is_racy = identity->ctime_ns / (int64_t)NS_PER_SEC + RACY_SECONDS > now_seconds,
    };
    if (previous != NULL && file_identity_equal(&previous->identity, identity)) {
        draft.twins = loaded_of(previous)->twins + 1;
    }
    struct text text;
    compose(loader, key, &draft, &text);
    const size_t text_bytes = text_bytes_of(loader->root_path, &text);
    struct loaded_version *loaded = system_alloc(sizeof(*loaded) + text_bytes + (size_t)body_bytes);
    if (loaded == NULL) {
        return NULL;
    }
    *loaded = draft;
    char *end = (char *)(loaded + 1);
    put_text(&loaded->version, loader->root_path, &text, &end);
    ASSERT(end == (char *)(loaded + 1) + text_bytes);
    loaded->version.allocation = loaded;
    loaded->version.body = (const uint8_t *)end;
    return loaded;
}

/* Reads `bytes` bytes from the front. Returns 0, -EAGAIN when the file is shorter, or -errno. */
static int read_body(int fd, uint8_t *body, uint64_t bytes)
{
    uint64_t done = 0;
    while (done < bytes) {
        const ssize_t got = system_read_at(fd, body + done, (size_t)(bytes - done), done);
        if (got < 0) {
            return (int)got;
        }
        if (got == 0) {
            return -EAGAIN;
        }
        done += (uint64_t)got;
    }
    return 0;
}

/**
 * One try at a version with its body in memory.
 *
 * identity  of the file before the reading; after -EAGAIN what it is now: it changed meanwhile
 * returns   0, -EAGAIN, -ENOMEM or -errno
 */
static int read_version(const struct loader *loader,
                        struct span key,
                        int fd,
                        const struct version *previous,
                        struct file_identity *identity,
                        struct loaded_version **ret_loaded)
{
    struct loaded_version *loaded = allocate(loader, key, identity, previous, identity->size_bytes);
    if (loaded == NULL) {
        return -ENOMEM;
    }
    struct stat stat;
    int rc = read_body(fd, (uint8_t *)loaded->version.body, identity->size_bytes);
    if (rc != 0 && rc != -EAGAIN) {
        goto free_loaded;
    }
    const int stat_rc = system_stat_fd(fd, &stat);
    if (stat_rc != 0) {
        rc = stat_rc;
        goto free_loaded;
    }
    const struct file_identity after = system_identity_of(&stat);
    if (rc == 0 && file_identity_equal(identity, &after)) {
        loaded->version.body_charge_bytes = identity->size_bytes;
        *ret_loaded = loaded;
        return 0;
    }
    *identity = after;
    rc = -EAGAIN;

free_loaded:
    alloc_free(loaded);
    return rc;
}

static bool fits_in_memory(const struct loader *loader, uint64_t size_bytes)
{
    return loader->memory_body_bytes > 0 && size_bytes <= loader->memory_body_bytes &&
           loader->counters->memory_bytes <= loader->memory_total_bytes &&
           size_bytes <= loader->memory_total_bytes - loader->counters->memory_bytes;
}

static void adopt(struct loader *loader, struct loaded_version *loaded)
{
    LIST_INSERT_HEAD(&loader->versions, loaded, link);
    loader->counters->memory_bytes += loaded->version.body_charge_bytes;
    loader->counters->open_files += loaded->version.fd >= 0 ? 1 : 0;
}

int loader_build(struct loader *loader,
                 struct span key,
                 const struct resolved *found,
                 const struct version *previous,
                 struct version **ret_version)
{
    struct file_identity identity = system_identity_of(&found->stat);
    struct loaded_version *loaded = NULL;
    int rc = -EAGAIN;
    for (unsigned reads = 0; rc == -EAGAIN && reads < LOADER_READS_MAX; reads++) {
        if (!fits_in_memory(loader, identity.size_bytes)) {
            break;
        }
        rc = read_version(loader, key, found->fd, previous, &identity, &loaded);
    }
    if (rc == 0) {
        (void)close(found->fd); /* read only: nothing to lose */
    } else if (rc == -EAGAIN) {
        loaded = allocate(loader, key, &identity, previous, 0);
        rc = loaded == NULL ? -ENOMEM : 0;
        if (rc == 0) {
            loaded->version.fd = found->fd;
            loaded->version.body = NULL;
        }
    }
    if (rc != 0) {
        return rc;
    }
    adopt(loader, loaded);
    *ret_version = &loaded->version;
    return 0;
}

/* Returns 1 when the file begins with `body`, 0 when not, or -errno. */
static int compare_body(int fd, const uint8_t *body, uint64_t bytes)
{
    uint8_t buffer[COMPARE_BYTES];
    uint64_t done = 0;
    while (done < bytes) {
        const uint64_t rest = bytes - done;
        const size_t want = rest < sizeof(buffer) ? (size_t)rest : sizeof(buffer);
        const ssize_t got = system_read_at(fd, buffer, want, done);
        if (got < 0) {
            return (int)got;
        }
        if (got == 0 || memcmp(buffer, body + done, (size_t)got) != 0) {
            return 0;
        }
        done += (uint64_t)got;
    }
    return 1;
}

int loader_is_current(const struct loader *loader,
                      const struct version *version,
                      const struct resolved *found,
                      bool is_modified)
{
    (void)loader;
    const struct file_identity identity = system_identity_of(&found->stat);
    if (!file_identity_equal(&version->identity, &identity)) {
        return 0;
    }
    if (!loaded_of(version)->is_racy) {
        return 1;
    }
    if (version->body == NULL) {
        return is_modified ? 0 : 1;
    }
    return compare_body(found->fd, version->body, identity.size_bytes);
}
