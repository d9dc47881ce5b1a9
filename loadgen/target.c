#include "loadgen/target.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loadgen/rotator.h"
#include "loadgen/url.h"
#include "loadgen/version_file.h"
#include "server/base/alloc.h"
#include "server/base/check.h"

/* For "%.*s": an int of the span's bytes, then the bytes. */
#define SPAN_ARGS(span) (int)(span).bytes, (const char *)(span).ptr

static_assert(VERIFY_NO_FILE == UINT32_MAX, "as rotator_find_name() says it");

/* ---------------------------------------------------------------------------------- requests */

/* The prefix, one slash, the path: all that is sent of a target. */
struct joined_path {
    struct span prefix; /* of the URL, without a slash at its end */
    struct span path;   /* of the list, without one at its beginning; encoded when it is written */
    bool is_joined;     /* false: the prefix is all */
};

static struct joined_path join_path(struct span url_path, const struct span *path)
{
    if (path == NULL) {
        return (struct joined_path){.prefix = url_path.bytes > 0 ? url_path : SPAN("/")};
    }
    while (url_path.bytes > 0 && url_path.ptr[url_path.bytes - 1] == '/') {
        url_path.bytes--;
    }
    struct span rest = *path;
    while (rest.bytes > 0 && rest.ptr[0] == '/') {
        rest = span_skip(rest, 1);
    }
    return (struct joined_path){.prefix = url_path, .path = rest, .is_joined = true};
}

static size_t append(char *out, size_t bytes, struct span text)
{
    memcpy(out + bytes, text.ptr, text.bytes);
    return bytes + text.bytes;
}

static int target_init(struct target *target, struct span authority, struct joined_path path)
{
    static const char version[] = " HTTP/1.1\r\nHost: ";
    size_t bytes_max = sizeof("GET /") + path.prefix.bytes +
                       URL_ENCODED_BYTES_MAX * path.path.bytes + sizeof(version) + authority.bytes +
                       sizeof("\r\n\r\n");
    char *text = alloc_zeroed(1, bytes_max);
    if (text == NULL) {
        return -ENOMEM;
    }
    size_t bytes = append(text, 0, SPAN("GET "));
    size_t path_begin = bytes;
    bytes = append(text, bytes, path.prefix);
    if (path.is_joined) {
        text[bytes++] = '/';
        bytes += url_encode_path(path.path, text + bytes);
    }
    target->path = span_of(text + path_begin, bytes - path_begin);
    bytes = append(text, bytes, span_of(version, sizeof(version) - 1));
    bytes = append(text, bytes, authority);
    bytes = append(text, bytes, SPAN("\r\n\r\n"));
    ASSERT(bytes <= bytes_max);
    target->request = span_of(text, bytes);
    return 0;
}

static int endpoint_init_targets(struct endpoint *endpoint,
                                 const struct url *url,
                                 const struct target_source *source)
{
    size_t count = source->paths == NULL ? 1 : source->path_count;
    endpoint->targets = alloc_zeroed(count, sizeof(*endpoint->targets));
    if (endpoint->targets == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        struct target *target = &endpoint->targets[i];
        const struct span *path = source->paths == NULL ? NULL : &source->paths[i];
        int result = target_init(target, url->authority, join_path(url->path, path));
        if (result < 0) {
            return result;
        }
        endpoint->target_count++;
        struct span name = url_last_segment(target->path);
        target->path_id = version_path_id(name);
        target->file_index = rotator_find_name(name, source->rotated_file_count);
    }
    return 0;
}

static int endpoint_init(struct endpoint *endpoint,
                         const char *text,
                         const struct target_source *source,
                         char ret_error[static TARGET_ERROR_MAX])
{
    struct url url;
    const char *error = url_parse(text, &url);
    if (error == NULL && url.host.bytes >= sizeof(endpoint->host)) {
        error = "the host's name is too long";
    }
    if (error != NULL) {
        (void)snprintf(ret_error, TARGET_ERROR_MAX, "'%s': %s", text, error);
        return -EINVAL;
    }
    endpoint->url = text;
    endpoint->port = url.port;
    (void)snprintf(endpoint->host, sizeof(endpoint->host), "%.*s", SPAN_ARGS(url.host));
    int result = endpoint_init_targets(endpoint, &url, source);
    if (result < 0) {
        (void)snprintf(ret_error, TARGET_ERROR_MAX, "'%s': no memory for its requests", text);
    }
    return result;
}

int target_list_init(struct target_list *list,
                     const struct target_source *source,
                     char ret_error[static TARGET_ERROR_MAX])
{
    ASSERT(source->url_count > 0);
    *list = (struct target_list){0};
    list->endpoints = alloc_zeroed(source->url_count, sizeof(*list->endpoints));
    if (list->endpoints == NULL) {
        (void)snprintf(ret_error, TARGET_ERROR_MAX, "no memory for the URLs");
        return -ENOMEM;
    }
    list->endpoint_count = source->url_count;
    for (size_t i = 0; i < source->url_count; i++) {
        int result = endpoint_init(&list->endpoints[i], source->urls[i], source, ret_error);
        if (result < 0) {
            target_list_deinit(list);
            return result;
        }
    }
    return 0;
}

void target_list_deinit(struct target_list *list)
{
    for (size_t i = 0; i < list->endpoint_count; i++) {
        struct endpoint *endpoint = &list->endpoints[i];
        for (size_t j = 0; j < endpoint->target_count; j++) {
            alloc_free((void *)endpoint->targets[j].request.ptr);
        }
        alloc_free(endpoint->targets);
    }
    alloc_free(list->endpoints);
    *list = (struct target_list){0};
}

/* --------------------------------------------------------------------------------- addresses */

static int wait_connected(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int ready = poll(&poll_fd, 1, timeout_ms);
    if (ready <= 0) {
        return ready < 0 ? -errno : -ETIMEDOUT;
    }
    int error = 0;
    socklen_t bytes = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0) {
        return -errno;
    }
    return -error;
}

/* Connects and closes again. */
static int try_address(const struct addrinfo *info, int timeout_ms)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int result = 0;
    if (connect(fd, info->ai_addr, info->ai_addrlen) < 0) {
        result = errno == EINPROGRESS ? wait_connected(fd, timeout_ms) : -errno;
    }
    (void)close(fd); /* nothing was sent */
    return result;
}

static int
endpoint_resolve(struct endpoint *endpoint, int timeout_ms, char ret_error[static TARGET_ERROR_MAX])
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", endpoint->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *infos = NULL;
    int status = getaddrinfo(endpoint->host, port, &hints, &infos);
    if (status != 0) {
        const char *why = status == EAI_SYSTEM ? strerror(errno) : gai_strerror(status);
        (void)snprintf(ret_error, TARGET_ERROR_MAX, "cannot look up '%s': %s", endpoint->host, why);
        return -EHOSTUNREACH;
    }
    int result = -EHOSTUNREACH;
    for (struct addrinfo *info = infos; info != NULL && result < 0; info = info->ai_next) {
        result = try_address(info, timeout_ms);
        if (result == 0) {
            memcpy(&endpoint->address, info->ai_addr, info->ai_addrlen);
            endpoint->address_bytes = info->ai_addrlen;
        }
    }
    freeaddrinfo(infos);
    if (result < 0) {
        (void)snprintf(ret_error, TARGET_ERROR_MAX, "cannot connect to '%s' (%s port %u): %s",
                       endpoint->url, endpoint->host, endpoint->port, strerror(-result));
    }
    return result;
}

int target_list_resolve(struct target_list *list,
                        int timeout_ms,
                        char ret_error[static TARGET_ERROR_MAX])
{
    for (size_t i = 0; i < list->endpoint_count; i++) {
        int result = endpoint_resolve(&list->endpoints[i], timeout_ms, ret_error);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* --------------------------------------------------------------------------------- path file */

/* All of a file of any kind (a pipe too). */
static int read_all(const char *name, char **ret_text, size_t *ret_bytes)
{
    FILE *in = fopen(name, "re");
    if (in == NULL) {
        return -errno;
    }
    char *text = NULL;
    size_t capacity = 0;
    errno = 0;
    ssize_t bytes = getdelim(&text, &capacity, '\0', in);
    int error = ferror(in) != 0 ? errno : 0;
    (void)fclose(in); /* only read from */
    if (bytes < 0) {
        free(text);
        return error != 0 ? -error : -ENODATA;
    }
    *ret_text = text;
    *ret_bytes = (size_t)bytes;
    return 0;
}

/* The next line without its end; false when there is none. */
static bool next_line(struct span *rest, struct span *ret_line)
{
    if (rest->bytes == 0) {
        return false;
    }
    const uint8_t *feed = memchr(rest->ptr, '\n', rest->bytes);
    size_t bytes = feed == NULL ? rest->bytes : (size_t)(feed - rest->ptr);
    *ret_line = span_of(rest->ptr, bytes);
    *rest = span_skip(*rest, bytes + (feed != NULL));
    if (bytes > 0 && ret_line->ptr[bytes - 1] == '\r') {
        ret_line->bytes--;
    }
    return true;
}

static size_t collect_paths(struct span text, struct span *paths)
{
    size_t count = 0;
    struct span line;
    while (next_line(&text, &line)) {
        if (line.bytes == 0) {
            continue;
        }
        if (paths != NULL) {
            paths[count] = line;
        }
        count++;
    }
    return count;
}

int path_file_init(struct path_file *file, const char *name)
{
    *file = (struct path_file){0};
    size_t bytes = 0;
    int result = read_all(name, &file->text, &bytes);
    if (result < 0) {
        return result;
    }
    struct span text = span_of(file->text, bytes);
    size_t count = collect_paths(text, NULL);
    if (count == 0 || count > TARGET_PATHS_MAX) {
        path_file_deinit(file);
        return count == 0 ? -ENODATA : -EFBIG;
    }
    file->paths = alloc_zeroed(count, sizeof(*file->paths));
    if (file->paths == NULL) {
        path_file_deinit(file);
        return -ENOMEM;
    }
    file->path_count = collect_paths(text, file->paths);
    return 0;
}

void path_file_deinit(struct path_file *file)
{
    free(file->text); /* as getdelim(3) wants it */
    alloc_free(file->paths);
    *file = (struct path_file){0};
}
