#include "server/table/slot_table_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/base/check.h"
#include "server/table/slot_table.h"

#define USERS_MAX 48
#define KEY_MAX   24

/* What the fake kernel made of a version's file. */
enum file_state {
    FILE_NEVER, /* not installed, or the install failed */
    FILE_IN_KERNEL,
    FILE_DROPPED, /* the tag is under way */
    FILE_PROVEN,  /* the table has the tag */
};

struct model_version {
    struct version version; /* first: callbacks get its address */
    bool is_held;           /* by the table: published, not released */
    bool is_mapped;         /* its path leads to it */
    bool is_updating;       /* an update of its slot is taken, and not reported yet */
    enum file_state file;
    uint32_t user_count;
    uint32_t key_index;
    uint32_t slot_index;
};

struct kernel_slot {
    int32_t fd; /* -1: empty */
    uint32_t serial;
};

struct taken_update {
    struct slot_update update;
    bool is_applied;
    bool is_done;
};

struct model {
    struct model_config config;
    struct slot_table *table;
    struct model_counts counts;
    char (*keys)[KEY_MAX];
    struct model_version *versions; /* slot_count + 1: one more than the table can hold */
    struct model_version **unused;
    uint32_t unused_count;
    struct model_version **paths;  /* by key */
    struct model_version **owners; /* by slot */
    struct model_version *flipped; /* loses its path within the publish under way */
    struct kernel_slot *kernel;    /* by slot; the serial stays after the file is gone */
    struct taken_update *taken;
    uint32_t taken_count;
    uint32_t *tags; /* slots whose tag the kernel has not posted yet */
    uint32_t tag_count;
    uint32_t mapped_count;
    uint32_t held_count;
    struct model_version *users[USERS_MAX];
    uint32_t user_count;
    int32_t next_fd;
};

static void unmap_version(struct model *model, struct model_version *version)
{
    ASSERT(version->is_mapped);
    version->is_mapped = false;
    model->paths[version->key_index] = NULL;
    model->mapped_count--;
}

static void on_evicted(void *context, struct version *evicted)
{
    struct model *model = context;
    struct model_version *version = (struct model_version *)evicted;
    ASSERT(version->is_held);
    ASSERT(version->user_count == 0);
    ASSERT(version != model->flipped);
    unmap_version(model, version);
    model->counts.evictions++;
}

static void on_released(void *context, struct version *released)
{
    struct model *model = context;
    struct model_version *version = (struct model_version *)released;
    ASSERT(version->is_held);
    ASSERT(version->user_count == 0);
    ASSERT(!version->is_mapped || version == model->flipped);
    ASSERT(!version->is_updating);
    ASSERT(version->file == FILE_NEVER || version->file == FILE_PROVEN);
    version->is_held = false;
    model->owners[version->slot_index] = NULL;
    model->held_count--;
    model->counts.releases++;
    model->counts.releases_with_tag += version->file == FILE_PROVEN;
    if (version != model->flipped) {
        model->unused[model->unused_count++] = version;
    }
}

static void *allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    ASSERT(memory != NULL);
    return memory;
}

struct model *model_create(const struct model_config *config)
{
    struct model *model = allocate(1, sizeof(*model));
    model->config = *config;
    model->next_fd = 3;
    model->keys = allocate(config->key_count, sizeof(*model->keys));
    model->paths = allocate(config->key_count, sizeof(*model->paths));
    model->versions = allocate(config->slot_count + 1, sizeof(*model->versions));
    model->unused = allocate(config->slot_count + 1, sizeof(*model->unused));
    model->owners = allocate(config->slot_count, sizeof(*model->owners));
    model->kernel = allocate(config->slot_count, sizeof(*model->kernel));
    model->taken = allocate(config->slot_count, sizeof(*model->taken));
    model->tags = allocate(config->slot_count, sizeof(*model->tags));
    for (uint32_t i = 1; i < config->key_count; i++) { /* the first key is empty: the root */
        (void)snprintf(model->keys[i], KEY_MAX, "dir/%u.html", i);
    }
    for (uint32_t i = 0; i < config->slot_count; i++) {
        model->kernel[i].fd = -1;
    }
    for (uint32_t i = 0; i <= config->slot_count; i++) {
        model->unused[model->unused_count++] = &model->versions[i];
    }
    const struct slot_table_config table_config = {
        .slot_count = config->slot_count,
        .is_registered = config->is_registered,
        .hash_seed = config->hash_seed,
        .context = model,
        .on_evicted = on_evicted,
        .on_released = on_released,
    };
    ASSERT(slot_table_create(&table_config, &model->table) == 0);
    return model;
}

static struct span key_of(const struct model *model, uint32_t key_index)
{
    return span_of_string(model->keys[key_index]);
}

/* What a read through the slot would hit now. */
static void check_slot(const struct model *model, const struct model_version *version)
{
    uint32_t slot_index = version->slot_index;
    ASSERT(model->owners[slot_index] == version);
    ASSERT(slot_table_version(model->table, slot_index) == &version->version);
    if (slot_table_is_installed(model->table, slot_index)) {
        ASSERT(model->kernel[slot_index].fd == version->version.fd);
    }
}

static struct model_version *find(struct model *model, uint16_t argument)
{
    uint32_t key_index = argument % model->config.key_count;
    struct model_version *version = model->paths[key_index];
    uint32_t slot_index = slot_table_find(model->table, key_of(model, key_index));
    if (version == NULL) {
        ASSERT(slot_index == SLOT_NONE);
        return NULL;
    }
    ASSERT(slot_index == version->slot_index);
    check_slot(model, version);
    return version;
}

static void acquire(struct model *model, uint16_t argument)
{
    struct model_version *version = find(model, argument);
    if (version == NULL || model->user_count == USERS_MAX) {
        return;
    }
    slot_table_acquire(model->table, version->slot_index);
    version->user_count++;
    model->users[model->user_count++] = version;
}

static void release(struct model *model, uint16_t argument)
{
    if (model->user_count == 0) {
        return;
    }
    uint32_t i = argument % model->user_count;
    struct model_version *version = model->users[i];
    check_slot(model, version);
    model->users[i] = model->users[--model->user_count];
    version->user_count--;
    slot_table_release(model->table, version->slot_index);
}

static struct model_version *new_version(struct model *model, uint16_t argument)
{
    struct model_version *version = model->unused[--model->unused_count];
    bool is_memory = (argument >> 8 ^ argument) % 256 < model->config.memory_share;
    uint32_t key_index = argument % model->config.key_count;
    *version = (struct model_version){
        .version = {.key = key_of(model, key_index), .fd = is_memory ? -1 : model->next_fd++},
        .key_index = key_index,
    };
    return version;
}

/* The table took `version`; `old` had the path before. */
static void on_published(struct model *model,
                         struct model_version *version,
                         struct model_version *old,
                         uint32_t slot_index)
{
    ASSERT(slot_index < model->config.slot_count);
    ASSERT(model->owners[slot_index] == NULL);
    ASSERT(model->kernel[slot_index].fd == -1);
    model->owners[slot_index] = version;
    if (old != NULL) {
        unmap_version(model, old);
        model->counts.replacements++;
        if (!old->is_held) { /* released within the publish */
            model->unused[model->unused_count++] = old;
        }
    }
    version->slot_index = slot_index;
    version->is_held = true;
    version->is_mapped = true;
    model->paths[version->key_index] = version;
    model->mapped_count++;
    model->held_count++;
    model->counts.publishes++;
}

static void publish(struct model *model, uint16_t argument)
{
    struct model_version *version = new_version(model, argument);
    struct model_version *old = model->paths[version->key_index];
    uint32_t free_before = slot_table_counts(model->table).free;
    model->flipped = old;
    uint32_t slot_index = slot_table_publish(model->table, &version->version);
    model->flipped = NULL;
    if (slot_index != SLOT_NONE) {
        on_published(model, version, old, slot_index);
    } else {
        ASSERT(free_before == 0);
        ASSERT(slot_table_counts(model->table).free == 0);
        ASSERT(old == NULL || old->is_held);
        model->unused[model->unused_count++] = version;
        model->counts.refusals++;
    }
    (void)find(model, argument); /* flipped, or where it was */
}

static void retire(struct model *model, uint16_t argument)
{
    uint32_t key_index = argument % model->config.key_count;
    struct model_version *version = model->paths[key_index];
    if (version != NULL) {
        unmap_version(model, version);
    }
    bool is_retired = slot_table_retire(model->table, key_of(model, key_index));
    ASSERT(is_retired == (version != NULL));
    (void)find(model, argument);
}

static void retire_all(struct model *model)
{
    for (uint32_t i = 0; i < model->config.key_count; i++) {
        if (model->paths[i] != NULL) {
            unmap_version(model, model->paths[i]);
        }
    }
    slot_table_retire_all(model->table);
}

static void check_update(const struct model *model, const struct slot_update *update)
{
    const struct model_version *version = model->owners[update->slot_index];
    ASSERT(model->config.is_registered);
    ASSERT(version != NULL);
    ASSERT(!version->is_updating);
    ASSERT(version->version.fd >= 0);
    if (update->fd < 0) {
        ASSERT(update->serial == 0);
        ASSERT(version->file == FILE_IN_KERNEL);
        ASSERT(version->user_count == 0);
        ASSERT(!version->is_mapped);
        return;
    }
    ASSERT(update->fd == version->version.fd);
    ASSERT(update->serial == model->kernel[update->slot_index].serial + 1);
    ASSERT(version->file == FILE_NEVER);
    ASSERT(version->is_mapped);
}

static void take(struct model *model, uint16_t argument)
{
    uint32_t room = model->config.slot_count - model->taken_count;
    if (room == 0) {
        return;
    }
    struct slot_update updates[8];
    uint32_t update_max = 1 + argument % 8;
    update_max = update_max < room ? update_max : room;
    uint32_t count = slot_table_take_updates(model->table, updates, update_max);
    ASSERT(count <= update_max);
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(i == 0 || updates[i].slot_index > updates[i - 1].slot_index);
        check_update(model, &updates[i]);
        model->owners[updates[i].slot_index]->is_updating = true;
        if (updates[i].fd >= 0) {
            model->kernel[updates[i].slot_index].serial = updates[i].serial;
        }
        model->taken[model->taken_count++] = (struct taken_update){.update = updates[i]};
    }
}

/* The kernel's part of one taken update. */
static void apply(struct model *model, struct taken_update *taken, bool is_done)
{
    if (taken->is_applied) {
        return;
    }
    taken->is_applied = true;
    taken->is_done = is_done;
    uint32_t slot_index = taken->update.slot_index;
    struct kernel_slot *slot = &model->kernel[slot_index];
    struct model_version *version = model->owners[slot_index];
    if (taken->update.fd >= 0) {
        ASSERT(slot->fd == -1);
        model->counts.failed_installs += !is_done;
        model->counts.unwanted_installs += !version->is_mapped;
        slot->fd = is_done ? taken->update.fd : -1;
        version->file = is_done ? FILE_IN_KERNEL : FILE_NEVER;
        return;
    }
    ASSERT(slot->fd == version->version.fd);
    ASSERT(version->user_count == 0); /* law L3 */
    if (!is_done) {
        model->counts.failed_clears++;
        return;
    }
    slot->fd = -1;
    version->file = FILE_DROPPED;
    model->tags[model->tag_count++] = slot_index;
}

static void apply_any(struct model *model, uint16_t argument)
{
    if (model->taken_count > 0) {
        bool is_done = argument >> 8 >= model->config.failure_share;
        apply(model, &model->taken[argument % model->taken_count], is_done);
    }
}

static void report(struct model *model, uint32_t i)
{
    struct taken_update taken = model->taken[i];
    if (!taken.is_applied) {
        return;
    }
    model->taken[i] = model->taken[--model->taken_count];
    model->owners[taken.update.slot_index]->is_updating = false;
    slot_table_on_updated(model->table, &taken.update, taken.is_done);
}

static void report_any(struct model *model, uint16_t argument)
{
    if (model->taken_count > 0) {
        report(model, argument % model->taken_count);
    }
}

static void post_tag(struct model *model, uint16_t argument)
{
    if (model->tag_count == 0) {
        return;
    }
    uint32_t i = argument % model->tag_count;
    uint32_t slot_index = model->tags[i];
    model->tags[i] = model->tags[--model->tag_count];
    struct model_version *version = model->owners[slot_index];
    ASSERT(version != NULL); /* not released before its tag */
    version->file = FILE_PROVEN;
    model->counts.early_tags += version->is_updating;
    slot_table_on_tag(model->table, slot_index, model->kernel[slot_index].serial);
}

/* The right serial where nothing is to be cleared, and a wrong one anywhere else. */
static void post_stale_tag(struct model *model, uint16_t argument)
{
    uint32_t slot_index = argument % (model->config.slot_count + 1);
    uint32_t serial = 1 + argument;
    if (slot_index < model->config.slot_count) {
        const struct model_version *version = model->owners[slot_index];
        bool is_in_use = version == NULL || version->is_mapped || version->user_count > 0;
        serial = model->kernel[slot_index].serial + (is_in_use ? 0 : 1 + argument % 99);
    }
    uint64_t stale_before = slot_table_counts(model->table).stale_tags;
    slot_table_on_tag(model->table, slot_index, serial);
    ASSERT(slot_table_counts(model->table).stale_tags == stale_before + 1);
    model->counts.stale_tags++;
}

/* What a worker does in each turn of its loop; tags are left for later. */
static void flush(struct model *model, uint16_t argument)
{
    while (slot_table_has_updates(model->table)) {
        take(model, 7);
    }
    for (uint32_t i = model->taken_count; i-- > 0;) {
        bool is_done = argument >> 8 >= model->config.failure_share;
        apply(model, &model->taken[i], is_done);
        report(model, i);
    }
}

static void post_tags(struct model *model)
{
    while (model->tag_count > 0) {
        post_tag(model, 0);
    }
}

void model_step(struct model *model, uint8_t verb, uint16_t argument)
{
    static const struct {
        uint8_t end; /* exclusive; the last one takes what is left */
        void (*step)(struct model *, uint16_t);
    } steps[] = {
        {60, publish},     {90, acquire},   {120, release},        {140, retire}, {180, apply_any},
        {200, report_any}, {220, post_tag}, {228, post_stale_tag}, {240, flush},
    };
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        if (verb < steps[i].end) {
            steps[i].step(model, argument);
            return;
        }
    }
    if (verb == 255 && argument % 64 == 0) {
        retire_all(model);
    } else if (verb > 250) {
        post_tags(model);
    } else {
        take(model, argument);
    }
}

static void check_held(const struct model *model, const struct model_version *version)
{
    check_slot(model, version);
    bool is_installed = slot_table_is_installed(model->table, version->slot_index);
    if (version->is_mapped || version->user_count > 0) {
        ASSERT(is_installed == (version->file == FILE_IN_KERNEL && !version->is_updating));
        return;
    }
    /* Kept for nothing but the kernel. */
    ASSERT(version->is_updating || version->file == FILE_IN_KERNEL ||
           version->file == FILE_DROPPED);
}

void model_check(const struct model *model)
{
    slot_table_verify(model->table);
    uint32_t held_count = 0;
    for (uint32_t i = 0; i < model->config.slot_count; i++) {
        const struct model_version *version = model->owners[i];
        if (version == NULL) {
            ASSERT(model->kernel[i].fd == -1);
            continue;
        }
        check_held(model, version);
        held_count++;
    }
    struct slot_counts counts = slot_table_counts(model->table);
    ASSERT(held_count == model->held_count);
    ASSERT(counts.live == model->mapped_count);
    ASSERT(counts.retiring == model->held_count - model->mapped_count);
    ASSERT(counts.free == model->config.slot_count - model->held_count);
    ASSERT(counts.evictions == model->counts.evictions);
    ASSERT(counts.stale_tags == model->counts.stale_tags);
}

struct model_counts model_finish(struct model *model)
{
    retire_all(model);
    while (model->user_count > 0) {
        release(model, 0);
    }
    model->config.failure_share = 0;
    /* Reports what is under way; clears what that queued, and what failed before; once more. */
    for (int round = 0; round < 3; round++) {
        flush(model, 0);
        post_tags(model);
    }
    model_check(model);
    ASSERT(model->held_count == 0);
    ASSERT(model->counts.publishes == model->counts.releases);
    slot_table_destroy(model->table);
    struct model_counts counts = model->counts;
    void *parts[] = {model->keys,   model->paths, model->versions, model->unused, model->owners,
                     model->kernel, model->taken, model->tags,     model};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        free(parts[i]);
    }
    return counts;
}
