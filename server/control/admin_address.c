#include "server/control/admin_address.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int admin_address_parse(const char *text,
                        struct admin_address *ret_address,
                        struct sentence *ret_error)
{
    if (strcmp(text, "none") == 0) {
        *ret_address = (struct admin_address){.is_none = true};
        return 0;
    }
    struct admin_address parsed = {.is_none = false};
    int error = address_parse(span_of_string(text), &parsed.address, ret_error);
    if (error != 0) {
        sentence_add(ret_error, ", or none");
        return error;
    }
    *ret_address = parsed;
    return 0;
}

struct admin_places admin_places_system(void)
{
    return (struct admin_places){
        .runtime_directory = getenv("RUNTIME_DIRECTORY"),
        .xdg_runtime_dir = getenv("XDG_RUNTIME_DIR"),
        .uid = geteuid(),
    };
}

/* Adds a place unless its path is too long for a socket: then the next one has to do. */
static void add_default(struct address *addresses, uint32_t *count, struct span directory)
{
    char text[sizeof("unix:") + PATH_MAX];
    struct sentence ignored;
    int bytes = snprintf(text, sizeof(text), "unix:%.*s/" ADMIN_SOCKET_NAME, (int)directory.bytes,
                         (const char *)directory.ptr);
    if (bytes > 0 && (size_t)bytes < sizeof(text) &&
        address_parse(span_of(text, (size_t)bytes), &addresses[*count], &ignored) == 0) {
        (*count)++;
    }
}

uint32_t admin_default_addresses(const struct admin_places *places,
                                 struct address ret_addresses[static ADMIN_DEFAULT_MAX])
{
    char directory[PATH_MAX];
    uint32_t count = 0;
    const char *runtime = places->runtime_directory;
    if (runtime != NULL && runtime[0] == '/') {
        /* Several directories are separated by colons; the first is the unit's own. */
        add_default(ret_addresses, &count, span_of(runtime, strcspn(runtime, ":")));
    }
    if (places->xdg_runtime_dir != NULL && places->xdg_runtime_dir[0] == '/') {
        /* What is cut is too long for a socket anyway. */
        (void)snprintf(directory, sizeof(directory), "%s/turntable", places->xdg_runtime_dir);
        add_default(ret_addresses, &count, span_of_string(directory));
    }
    if (places->uid == 0) {
        add_default(ret_addresses, &count, SPAN("/run/turntable"));
    }
    (void)snprintf(directory, sizeof(directory), "/tmp/turntable-%u", (unsigned)places->uid);
    add_default(ret_addresses, &count, span_of_string(directory));
    return count;
}
