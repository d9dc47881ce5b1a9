#include "server/catalog/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/catalog/system.h"
#include "server/table/generation.h"

/* What remains of the path: a key or root, and the symlink targets put in front of it. */
#define REST_MAX (4 * PATH_MAX)

/* How often a name that changes its kind between two calls is looked at again. */
#define LOOKS_MAX 8

/* How a component, or a whole walk, ended. Errors are -errno. */
enum walk_end {
    WALK_ON = 1,    /* the next component */
    WALK_DIRECTORY, /* nothing remains: the deepest directory is what was asked for */
    WALK_FILE,      /* the file is open */
};

/* A directory on the way that later walks may begin at. */
struct kept {
    bool is_valid;
    uint32_t depth;
    uint32_t step_count;
};

struct resolver {
    struct resolver_config config;
    int directories[RESOLVER_DEPTH_MAX]; /* O_PATH; [0] is "/", the last is where the walk is */
    void *places[RESOLVER_DEPTH_MAX]; /* of the last step in each of them in this batch, or NULL */
    uint32_t depth;                   /* 1..RESOLVER_DEPTH_MAX */
    struct kept root;
    struct kept directory;      /* deeper than the root, or the same */
    size_t directory_key_bytes; /* the part of a key that leads to `directory` */
    char directory_key[PATH_KEY_MAX + 1];

    struct resolver_step steps[RESOLVER_STEPS_MAX];
    uint32_t step_count;
    uint32_t link_count;

    char rest[REST_MAX + 1]; /* the path still to walk is its end, from rest_start */
    size_t rest_start;
    char name[NAME_MAX + 1]; /* the component at hand */
    char target[PATH_MAX];

    struct resolved file; /* when WALK_FILE */
};

int resolver_create(const struct resolver_config *config, struct resolver **ret_resolver)
{
    struct resolver *resolver = system_alloc(sizeof(*resolver));
    if (resolver == NULL) {
        return -ENOMEM;
    }
    resolver->config = *config;
    const int slash_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int fd = slash_fd < 0 ? -errno : system_open(slash_fd, ".", O_PATH | O_DIRECTORY);
    if (slash_fd >= 0) {
        (void)close(slash_fd); /* O_PATH: nothing to lose */
    }
    if (fd < 0) {
        alloc_free(resolver);
        return fd;
    }
    resolver->directories[0] = fd;
    resolver->depth = 1;
    *ret_resolver = resolver;
    return 0;
}

/* Back to an earlier place of the same walk. */
static void go_back(struct resolver *resolver, uint32_t depth)
{
    ASSERT(depth >= 1 && depth <= resolver->depth);
    while (resolver->depth > depth) {
        resolver->depth--;
        (void)close(resolver->directories[resolver->depth]); /* O_PATH: nothing to lose */
    }
    if (resolver->directory.depth > depth) {
        resolver->directory.is_valid = false;
    }
}

void resolver_reset(struct resolver *resolver)
{
    go_back(resolver, 1);
    resolver->places[0] = NULL;
    resolver->root.is_valid = false;
    resolver->directory.is_valid = false;
    resolver->step_count = 0;
}

void resolver_keep_root(struct resolver *resolver)
{
    if (!resolver->root.is_valid) {
        resolver_reset(resolver);
        return;
    }
    go_back(resolver, resolver->root.depth);
    resolver->places[resolver->depth - 1] = NULL; /* a place is good for one batch */
    resolver->directory.is_valid = false;
    resolver->step_count = resolver->root.step_count;
}

void resolver_destroy(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    resolver_reset(resolver);
    (void)close(resolver->directories[0]); /* O_PATH: nothing to lose */
    alloc_free(resolver);
}

const struct resolver_step *
resolver_steps(const struct resolver *resolver, uint32_t *ret_root_count, uint32_t *ret_count)
{
    *ret_root_count = resolver->root.is_valid ? resolver->root.step_count : 0;
    *ret_count = resolver->step_count;
    return resolver->steps;
}

static int here(const struct resolver *resolver)
{
    return resolver->directories[resolver->depth - 1];
}

static bool is_beneath_root(const struct resolver *resolver)
{
    return resolver->root.is_valid;
}

static void set_rest(struct resolver *resolver, const void *path, size_t bytes)
{
    ASSERT(bytes <= REST_MAX);
    resolver->rest_start = REST_MAX - bytes;
    memcpy(resolver->rest + resolver->rest_start, path, bytes);
    resolver->link_count = 0;
}

/* Puts a symlink's target in front of what remains, from the directory that the symlink is in. */
static int follow_link(struct resolver *resolver, size_t target_bytes)
{
    if (target_bytes == 0) {
        return -ENOENT;
    }
    if (++resolver->link_count > RESOLVER_LINKS_MAX) {
        return -ELOOP;
    }
    if (resolver->target[0] == '/') {
        if (is_beneath_root(resolver)) {
            return -EXDEV; /* refused, even if it leads back: the root's own path may change */
        }
        go_back(resolver, 1);
    }
    if (target_bytes > resolver->rest_start) {
        return -ENAMETOOLONG;
    }
    resolver->rest_start -= target_bytes;
    memcpy(resolver->rest + resolver->rest_start, resolver->target, target_bytes);
    return WALK_ON;
}

static int go_up(struct resolver *resolver)
{
    const uint32_t top = is_beneath_root(resolver) ? resolver->root.depth : 1;
    if (resolver->depth > top) {
        go_back(resolver, resolver->depth - 1);
        return WALK_ON;
    }
    return is_beneath_root(resolver) ? -EXDEV : WALK_ON; /* "/.." is "/" */
}

static int go_down(struct resolver *resolver, int directory_fd)
{
    if (resolver->depth == RESOLVER_DEPTH_MAX) {
        (void)close(directory_fd); /* O_PATH: nothing to lose */
        return -ENAMETOOLONG;
    }
    resolver->directories[resolver->depth] = directory_fd;
    resolver->places[resolver->depth] = NULL;
    resolver->depth++;
    return WALK_ON;
}

/* `name` is a directory, or a symlink to follow; anything else is -ENOTDIR. */
static int walk_directory(struct resolver *resolver)
{
    for (unsigned looks = 0; looks < LOOKS_MAX; looks++) {
        const int fd =
            system_open(here(resolver), resolver->name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
        if (fd >= 0) {
            return go_down(resolver, fd);
        }
        if (fd != -ENOTDIR) {
            return fd;
        }
        const ssize_t target_bytes = system_read_link(here(resolver), resolver->name,
                                                      resolver->target, sizeof(resolver->target));
        if (target_bytes >= 0) {
            return follow_link(resolver, (size_t)target_bytes);
        }
        if (target_bytes != -EINVAL) {
            return (int)target_bytes;
        }
        /* No symlink either: a file, or a directory that took a symlink's place just now. */
        struct stat stat;
        const int rc = system_stat_name(here(resolver), resolver->name, &stat);
        if (rc != 0) {
            return rc;
        }
        if (!S_ISDIR(stat.st_mode) && !S_ISLNK(stat.st_mode)) {
            return -ENOTDIR;
        }
    }
    return -EAGAIN;
}

/* Opens a regular file; -EAGAIN where it is none any more. */
static int open_regular(struct resolver *resolver)
{
    /* O_NONBLOCK: if it became a FIFO just now, the open does not wait for a writer. */
    const int fd = system_open(here(resolver), resolver->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fd == -ELOOP || fd == -ENXIO || fd == -ENODEV) {
        return -EAGAIN; /* a symlink, socket or device took its place */
    }
    if (fd < 0) {
        return fd;
    }
    int rc = system_stat_fd(fd, &resolver->file.stat);
    if (rc == 0 && !S_ISREG(resolver->file.stat.st_mode)) {
        rc = -EAGAIN;
    }
    if (rc != 0) {
        (void)close(fd); /* read only: nothing to lose */
        return rc;
    }
    resolver->file.fd = fd;
    return WALK_FILE;
}

/* `name` is the last component where a file is wanted. It is looked at before it is opened. */
static int walk_file(struct resolver *resolver)
{
    for (unsigned looks = 0; looks < LOOKS_MAX; looks++) {
        struct stat stat;
        int rc = system_stat_name(here(resolver), resolver->name, &stat);
        if (rc != 0) {
            return rc;
        }
        if (S_ISDIR(stat.st_mode)) {
            return WALK_DIRECTORY;
        }
        if (S_ISLNK(stat.st_mode)) {
            const ssize_t target_bytes = system_read_link(
                here(resolver), resolver->name, resolver->target, sizeof(resolver->target));
            if (target_bytes == -EINVAL) {
                continue; /* it took another kind in between */
            }
            return target_bytes < 0 ? (int)target_bytes
                                    : follow_link(resolver, (size_t)target_bytes);
        }
        if (!S_ISREG(stat.st_mode)) {
            return -EACCES; /* FIFO, device, socket */
        }
        rc = open_regular(resolver);
        if (rc != -EAGAIN) {
            return rc;
        }
    }
    return -EAGAIN;
}

/* Takes the next component of `rest` into `name`; 0 at the end, or its bytes, or -ENAMETOOLONG. */
static int take_component(struct resolver *resolver)
{
    while (resolver->rest[resolver->rest_start] == '/') {
        resolver->rest_start++;
    }
    const char *rest = resolver->rest + resolver->rest_start;
    const size_t bytes = strcspn(rest, "/");
    if (bytes > NAME_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(resolver->name, rest, bytes);
    resolver->name[bytes] = '\0';
    resolver->rest_start += bytes;
    return (int)bytes;
}

static int announce(struct resolver *resolver, enum resolver_stage stage, struct span name)
{
    if (resolver->step_count == RESOLVER_STEPS_MAX) {
        return -ELOOP;
    }
    struct resolver_step *step = &resolver->steps[resolver->step_count++];
    void **place = &resolver->places[resolver->depth - 1];
    *step = (struct resolver_step){0};
    resolver->config.on_step(resolver->config.context, here(resolver), *place, stage, name, step);
    *place = step->place;
    return 0;
}

static int walk_component(struct resolver *resolver, enum resolver_stage stage, struct span name)
{
    if (span_equal(name, SPAN("."))) {
        return WALK_ON;
    }
    if (span_equal(name, SPAN(".."))) {
        return go_up(resolver);
    }
    const bool is_last = resolver->rest[resolver->rest_start] == '\0';
    const bool is_file = stage == RESOLVER_FILE && is_last;
    if (stage == RESOLVER_FILE && !is_last) {
        stage = RESOLVER_DIRECTORY; /* on the way to where a symlink leads */
    }
    const int rc = announce(resolver, stage, name);
    if (rc != 0) {
        return rc;
    }
    return is_file ? walk_file(resolver) : walk_directory(resolver);
}

/* Walks all of `rest`. Returns WALK_DIRECTORY, WALK_FILE (for RESOLVER_FILE only) or -errno. */
static int walk(struct resolver *resolver, enum resolver_stage stage)
{
    for (;;) {
        const int bytes = take_component(resolver);
        if (bytes <= 0) {
            return bytes == 0 ? WALK_DIRECTORY : bytes;
        }
        const int rc = walk_component(resolver, stage, span_of(resolver->name, (size_t)bytes));
        if (rc != WALK_ON) {
            return rc;
        }
    }
}

static struct kept keep(const struct resolver *resolver)
{
    return (struct kept){
        .is_valid = true, .depth = resolver->depth, .step_count = resolver->step_count};
}

static void begin_at(struct resolver *resolver, const struct kept *kept)
{
    go_back(resolver, kept->depth);
    resolver->step_count = kept->step_count;
}

int resolver_open_root(struct resolver *resolver)
{
    if (resolver->root.is_valid) {
        begin_at(resolver, &resolver->root);
        return here(resolver);
    }
    resolver_reset(resolver);
    set_rest(resolver, resolver->config.root_path, strlen(resolver->config.root_path));
    const int rc = walk(resolver, RESOLVER_ANCESTOR);
    if (rc < 0) {
        return rc;
    }
    resolver->root = keep(resolver);
    return here(resolver);
}

/* Walks to the directory that the key's last component is in. Returns 0 or -errno. */
static int open_directory(struct resolver *resolver, struct span directory_key)
{
    const struct span kept_key = span_of(resolver->directory_key, resolver->directory_key_bytes);
    if (resolver->root.is_valid && resolver->directory.is_valid &&
        span_equal(directory_key, kept_key)) {
        begin_at(resolver, &resolver->directory);
        return 0;
    }
    resolver->directory.is_valid = false;
    int rc = resolver_open_root(resolver);
    if (rc < 0) {
        return rc;
    }
    set_rest(resolver, directory_key.ptr, directory_key.bytes);
    rc = walk(resolver, RESOLVER_DIRECTORY);
    if (rc < 0) {
        return rc;
    }
    ASSERT(rc == WALK_DIRECTORY);
    memcpy(resolver->directory_key, directory_key.ptr, directory_key.bytes);
    resolver->directory_key_bytes = directory_key.bytes;
    resolver->directory = keep(resolver);
    return 0;
}

/* Splits a key into its directories (with the last slash) and a name; false: no such path is. */
static bool split_key(struct span key, struct span *ret_directory_key, struct span *ret_name)
{
    if (key.bytes > PATH_KEY_MAX || memchr(key.ptr, '\0', key.bytes) != NULL) {
        return false;
    }
    size_t start = 0;
    for (size_t i = 0; i < key.bytes; i++) {
        if (key.ptr[i] != '/') {
            continue;
        }
        const struct span component = span_of(key.ptr + start, i - start);
        if (component.bytes == 0 || span_equal(component, SPAN(".")) ||
            span_equal(component, SPAN(".."))) {
            return false;
        }
        start = i + 1;
    }
    *ret_directory_key = span_of(key.ptr, start);
    *ret_name = span_skip(key, start);
    return !span_equal(*ret_name, SPAN(".")) && !span_equal(*ret_name, SPAN(".."));
}

static uint32_t status_of(int error_number)
{
    switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
        return 404;
    case EACCES:
    case EPERM:
    case EXDEV: /* a symlink out of the root */
        return 403;
    default:
        return 503;
    }
}

static struct resolved refuse(uint32_t status, int error_number)
{
    return (struct resolved){.status = status, .error_number = error_number, .fd = -1};
}

/* A directory is there, but no index file in it: that is 403, as nginx has it. */
static struct resolved open_index(struct resolver *resolver)
{
    set_rest(resolver, resolver->config.index_name, strlen(resolver->config.index_name));
    const int rc = walk(resolver, RESOLVER_FILE);
    if (rc == WALK_FILE) {
        return resolver->file;
    }
    if (rc == WALK_DIRECTORY) {
        return refuse(403, EISDIR);
    }
    const uint32_t status = status_of(-rc);
    return refuse(status == 404 ? 403 : status, -rc);
}

static struct resolved open_name(struct resolver *resolver, struct span name)
{
    set_rest(resolver, name.ptr, name.bytes);
    const int rc = walk(resolver, RESOLVER_FILE);
    if (rc == WALK_FILE) {
        return resolver->file;
    }
    return rc == WALK_DIRECTORY ? refuse(301, EISDIR) : refuse(status_of(-rc), -rc);
}

struct resolved resolver_open(struct resolver *resolver, struct span key)
{
    struct span directory_key;
    struct span name;
    if (key.bytes == 0) {
        key = SPAN(""); /* whose pointer is never NULL */
    }
    resolver->file = (struct resolved){.status = 200, .fd = -1};
    if (!split_key(key, &directory_key, &name)) {
        return refuse(404, ENOENT);
    }
    const int rc = open_directory(resolver, directory_key);
    if (rc != 0) {
        return refuse(status_of(-rc), -rc);
    }
    return name.bytes == 0 ? open_index(resolver) : open_name(resolver, name);
}
