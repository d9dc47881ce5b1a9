#include "server/worker/control_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/http/response.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    ASSERT(copy != NULL);
    return copy;
}

static struct hand_version *make_version(struct rig *rig, const char *key)
{
    struct hand_version *made = calloc(1, sizeof(*made));
    ASSERT(made != NULL);
    made->version.fd = -1;
    made->version.key = span_of_string(copy_text(key));
    made->version.etag = span_of_string(copy_text("\"1-2-3\""));
    made->version.content_type = SPAN("text/plain");
    made->version.last_modified_seconds = 1600000000;
    const int bytes =
        snprintf(made->label, sizeof(made->label), "%s#%u", key, ++rig->control.version_count);
    ASSERT(bytes < (int)sizeof(made->label));
    made->next = rig->control.versions;
    rig->control.versions = made;
    return made;
}

static void write_head(struct version *version)
{
    const struct http_representation file = {
        .validators = {.etag = version->etag,
                       .last_modified_seconds = version->last_modified_seconds},
        .content_type = version->content_type,
        .size_bytes = version->identity.size_bytes,
    };
    char *head = malloc(HTTP_ANSWER_HEAD_MAX);
    ASSERT(head != NULL);
    const size_t bytes = http_version_head_write(head, HTTP_ANSWER_HEAD_MAX, &file);
    ASSERT(bytes > 0);
    version->head = span_of(head, bytes);
}

struct hand_version *version_memory(struct rig *rig, const char *key, const char *body)
{
    struct hand_version *made = make_version(rig, key);
    made->version.file_path = copy_text("/nonexistent");
    made->version.body = (const uint8_t *)copy_text(body);
    made->version.identity.size_bytes = strlen(body);
    write_head(&made->version);
    return made;
}

static int64_t time_ns(const struct timespec *time)
{
    return time->tv_sec * (int64_t)NS_PER_SEC + time->tv_nsec;
}

struct hand_version *version_of_path(struct rig *rig, const char *key, const char *path)
{
    struct hand_version *made = make_version(rig, key);
    struct version *version = &made->version;
    struct stat status;
    version->fd = open(path, O_RDONLY | O_CLOEXEC);
    ASSERT(version->fd >= 0);
    ASSERT(fstat(version->fd, &status) == 0);
    made->path = copy_text(path);
    version->file_path = copy_text(path);
    version->identity = (struct file_identity){
        .device = status.st_dev,
        .inode = status.st_ino,
        .size_bytes = (uint64_t)status.st_size,
        .mtime_ns = time_ns(&status.st_mtim),
        .ctime_ns = time_ns(&status.st_ctim),
    };
    write_head(version);
    return made;
}

static void make_folder(struct control *control)
{
    if (control->folder[0] == '\0') {
        (void)snprintf(control->folder, sizeof(control->folder), "/tmp/turntable-worker-XXXXXX");
        ASSERT(mkdtemp(control->folder) != NULL);
    }
}

struct hand_version *version_file(struct rig *rig, const char *key, size_t body_bytes)
{
    make_folder(&rig->control);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%u", rig->control.folder,
                   rig->control.version_count + 1);
    FILE *file = fopen(path, "w");
    ASSERT(file != NULL);
    for (size_t i = 0; i < body_bytes; i++) {
        ASSERT(fputc("0123456789abcdef"[i % 16], file) != EOF);
    }
    ASSERT(fclose(file) == 0);
    return version_of_path(rig, key, path);
}

void version_put(struct rig *rig, struct hand_version *version)
{
    version->given_count++;
    ASSERT(slot_table_publish(rig->worker->table, &version->version) != SLOT_NONE);
    rig_turn(rig);
}

void version_spoil(struct hand_version *made)
{
    struct version *version = &made->version;
    if (version->head.ptr == NULL) {
        return;
    }
    ASSERT(made->released_count == made->given_count);
    free((void *)(uintptr_t)version->key.ptr);
    free((void *)(uintptr_t)version->etag.ptr);
    free((void *)(uintptr_t)version->head.ptr);
    free((void *)(uintptr_t)version->body);
    free((void *)(uintptr_t)version->file_path);
    if (version->fd >= 0) {
        ASSERT(close(version->fd) == 0);
    }
    if (made->path != NULL) {
        ASSERT(unlink(made->path) == 0 || errno == ENOENT);
        free(made->path);
        made->path = NULL;
    }
    *version = (struct version){.fd = -1};
}

uint32_t version_slot(struct rig *rig, const char *key)
{
    return slot_table_find(rig->worker->table, span_of_string(key));
}

const char *version_mapped(struct rig *rig, const char *key)
{
    const uint32_t slot_index = version_slot(rig, key);
    if (slot_index == SLOT_NONE) {
        return "-";
    }
    const struct version *version = slot_table_version(rig->worker->table, slot_index);
    return container_of(version, struct hand_version, version)->label;
}

[[gnu::format(printf, 2, 3)]] static void
note_said(struct control *control, const char *format, ...)
{
    if (control->is_quiet) {
        return;
    }
    const size_t bytes = strlen(control->said);
    va_list arguments;
    va_start(arguments, format);
    const int more =
        vsnprintf(control->said + bytes, sizeof(control->said) - bytes, format, arguments);
    va_end(arguments);
    ASSERT(more > 0 && (size_t)more < sizeof(control->said) - bytes);
}

static struct hand_version *hand_of(void *version)
{
    return container_of((struct version *)version, struct hand_version, version);
}

static void take_message(struct control *control, const struct message *message)
{
    switch ((enum message_kind)message->kind) {
    case MESSAGE_MISS: {
        struct miss *miss = message->pointer;
        ASSERT(control->miss_count < CONTROL_MISSES_MAX);
        ASSERT(strlen(miss->key) == miss->key_bytes);
        control->misses[control->miss_count++] = miss;
        note_said(control, "miss %s, ", miss->key);
        return;
    }
    case MESSAGE_APPLIED: {
        struct generation *generation = message->pointer;
        ASSERT(generation->unapplied_count > 0);
        generation->unapplied_count--;
        note_said(control, "applied %u, ", (unsigned)generation->id);
        return;
    }
    case MESSAGE_EVICTED:
        hand_of(message->pointer)->evicted_count++;
        note_said(control, "evicted %s, ", hand_of(message->pointer)->label);
        return;
    case MESSAGE_RELEASED:
        hand_of(message->pointer)->released_count++;
        ASSERT(hand_of(message->pointer)->released_count <= hand_of(message->pointer)->given_count);
        note_said(control, "released %s, ", hand_of(message->pointer)->label);
        return;
    case MESSAGE_DRAINED:
        control->drained_count++;
        note_said(control, "drained, ");
        return;
    case MESSAGE_FAILED:
        control->failed_count++;
        note_said(control, "failed, ");
        return;
    case MESSAGE_LOADED:
    case MESSAGE_GENERATION:
    case MESSAGE_DRAIN:
    case MESSAGE_STOP:
        break;
    }
    ASSERT(false); /* a worker says none of these */
}

void control_take(struct rig *rig)
{
    struct message message;
    while (worker_receive(rig->worker, &message)) {
        take_message(&rig->control, &message);
    }
}

const char *control_said(struct rig *rig)
{
    struct control *control = &rig->control;
    control_take(rig);
    memcpy(control->taken, control->said, sizeof(control->taken));
    control->said[0] = '\0';
    return control->taken;
}

static void answer_miss(struct rig *rig, uint32_t at, uint32_t status, struct hand_version *version)
{
    struct control *control = &rig->control;
    struct miss *miss = control->misses[at];
    control->miss_count--;
    memmove(&control->misses[at], &control->misses[at + 1],
            (control->miss_count - at) * sizeof(control->misses[0]));
    if (version != NULL) {
        version->given_count++;
    }
    ASSERT(worker_send(rig->worker, (struct message){
                                        .kind = MESSAGE_LOADED,
                                        .number = status,
                                        .pointer = miss,
                                        .second = version == NULL ? NULL : &version->version,
                                    }));
}

void control_load(struct rig *rig, uint32_t status, struct hand_version *version)
{
    control_take(rig);
    ASSERT(rig->control.miss_count > 0);
    answer_miss(rig, 0, status, version);
}

void control_load_key(struct rig *rig,
                      const char *key,
                      uint32_t status,
                      struct hand_version *version)
{
    control_take(rig);
    for (uint32_t i = 0; i < rig->control.miss_count; i++) {
        if (strcmp(rig->control.misses[i]->key, key) == 0) {
            answer_miss(rig, i, status, version);
            return;
        }
    }
    ASSERT(false); /* nobody asked */
}

struct generation *control_generation(struct rig *rig, uint32_t change_max)
{
    struct generation *generation =
        calloc(1, sizeof(*generation) + change_max * sizeof(generation->changes[0]));
    ASSERT(generation != NULL);
    generation->id = ++rig->control.generation_count;
    generation->next = rig->control.generations;
    rig->control.generations = generation;
    return generation;
}

void generation_add(struct generation *generation,
                    struct hand_version *retired,
                    struct hand_version *version,
                    uint64_t holder_mask)
{
    generation->changes[generation->change_count++] = (struct change){
        .retired = &retired->version,
        .version = version == NULL ? NULL : &version->version,
        .holder_mask = holder_mask,
    };
    generation->holder_mask |= holder_mask;
    if (version != NULL && (holder_mask & 1) != 0) {
        version->given_count++;
    }
}

void control_publish(struct rig *rig, struct generation *generation)
{
    generation->unapplied_count = 1;
    ASSERT(worker_has_room(rig->worker, generation));
    ASSERT(worker_send(rig->worker,
                       (struct message){.kind = MESSAGE_GENERATION, .pointer = generation}));
}

void control_change(struct rig *rig, struct hand_version *retired, struct hand_version *version)
{
    struct generation *generation = control_generation(rig, 1);
    generation_add(generation, retired, version, 1);
    control_publish(rig, generation);
}

void control_tell(struct rig *rig, enum message_kind kind)
{
    ASSERT(worker_send(rig->worker, (struct message){.kind = kind}));
}

void control_deinit(struct control *control)
{
    while (control->versions != NULL) {
        struct hand_version *made = control->versions;
        control->versions = made->next;
        made->given_count = made->released_count; /* the worker is gone */
        version_spoil(made);
        free(made);
    }
    while (control->generations != NULL) {
        struct generation *generation = control->generations;
        control->generations = generation->next;
        free(generation);
    }
    if (control->folder[0] != '\0') {
        ASSERT(rmdir(control->folder) == 0);
        control->folder[0] = '\0';
    }
}
