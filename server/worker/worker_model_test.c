/*
 * A long random run against a model: a worker, clients, a file tree that changes, and a control
 * thread that keeps the contract of server/catalog/catalog.h but takes its time, in thousands of
 * short lives from seeds. What must hold:
 *   - every answer is the whole body of one state of its file;
 *   - no state that was replaced before the request was sent (law L6), no 404 for a file that was
 *     there all the time since;
 *   - when all is quiet, both sides agree on what the worker's map leads to;
 *   - each version is released as often as it was given (rig_stop()).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define LIVES_COUNT     250
#define STEPS_PER_LIFE  200
#define PATHS_COUNT     6
#define SLOTS_COUNT     2
#define CONNS_MAX       6
#define REQUESTS_MAX    64
#define STATES_MAX      (PATHS_COUNT + STEPS_PER_LIFE)
#define CONNS_EVER_MAX  (STEPS_PER_LIFE + 1)
#define FAIR_ANSWERS_IN 10 /* at least 9 of 10 answers are no 503 */

/* One state of one file: what is in it, and when it was there. */
struct file_state {
    uint32_t path_index;
    size_t bytes;
    uint64_t death; /* when it was replaced or removed; UINT64_MAX: it is there */
};

/* What the catalog knows of a path that somebody holds. */
struct entry {
    bool is_there;
    bool is_held;       /* by the worker */
    bool is_held_there; /* by some other worker */
    uint64_t serial;
    uint32_t state_index;
    struct hand_version *version;
};

struct path {
    char file[96];
    uint32_t state_index;  /* valid while is_present */
    uint64_t absent_until; /* UINT64_MAX while it is absent; 0: never was */
    bool is_present;
    struct entry entry;
};

struct request {
    uint32_t path_index;
    uint64_t sent;
};

/*
 * What the control thread is about: it does one thing at a time, and the worker may take turns
 * between any two steps of it.
 *
 *     IDLE -> ROUND_BEGUN -> ROUND_WALKED -> ROUND_SENT -> IDLE      a round of the watcher
 *     IDLE -> MISS_WALKED -> IDLE                                    a question
 */
enum control_phase {
    IDLE,
    ROUND_BEGUN,
    ROUND_WALKED,
    ROUND_SENT,
    MISS_WALKED
};

/* What a connection has asked and how far its answers were checked. */
struct client {
    struct engine_token token;
    struct request requests[REQUESTS_MAX];
    uint32_t request_count;
    uint32_t answer_count;
    size_t checked_bytes;
    bool is_ended; /* its peer has sent its last byte */
};

struct model {
    struct rig *rig;
    uint64_t random;
    uint64_t now; /* a number for each thing that happens */
    char folder[64];
    int watch[2];      /* a pipe for the watcher's queue */
    uint32_t hot_path; /* where something happened last, so that things meet */
    bool is_sleepy;    /* the worker takes a turn only now and then */
    enum control_phase phase;
    struct generation *generation; /* made, and not sent yet */
    struct message loaded;         /* the same */
    struct path paths[PATHS_COUNT];
    struct file_state states[STATES_MAX];
    uint32_t state_count;
    uint64_t serial;
    struct miss *misses[64]; /* taken and not answered */
    uint32_t miss_count;
    struct client clients[CONNS_EVER_MAX];
    uint32_t client_count;
};

/* Over all lives. */
static struct {
    uint64_t answers_200;
    uint64_t answers_404;
    uint64_t answers_503;
    uint64_t generations;
    uint64_t evicted;
    uint64_t confirms;
    uint64_t table_full;
} totals;

static uint32_t below(struct model *model, uint32_t limit)
{
    model->random = model->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(model->random >> 33) % limit;
}

/* Half of the time what is under way concerns the same path. */
static uint32_t pick_path(struct model *model)
{
    if (below(model, 2) == 0) {
        model->hot_path = below(model, PATHS_COUNT);
    }
    return model->hot_path;
}

/* ---- the file tree ---- */

static uint8_t *make_contents(const struct model *model, uint32_t state_index)
{
    const struct file_state *state = &model->states[state_index];
    uint8_t *contents = malloc(state->bytes + 32);
    ASSERT(contents != NULL);
    char label[32];
    const int label_bytes =
        snprintf(label, sizeof(label), "%u@%u|", state->path_index, state_index);
    for (size_t at = 0; at < state->bytes; at += (size_t)label_bytes) {
        memcpy(contents + at, label, (size_t)label_bytes);
    }
    return contents;
}

/* The watcher's queue gets its event within rename(2) and unlink(2), before they return. */
static void note_change(struct model *model, struct path *path)
{
    ASSERT(write(model->watch[1], "x", 1) == 1);
    if (path->is_present) {
        model->states[path->state_index].death = model->now;
    } else {
        path->absent_until = model->now;
    }
}

static void write_file(struct model *model, uint32_t path_index)
{
    static const size_t sizes[] = {40, 300, 5000, 5000, 80000, 80000};
    struct path *path = &model->paths[path_index];
    ASSERT(model->state_count < STATES_MAX);
    const uint32_t state_index = model->state_count++;
    model->states[state_index] = (struct file_state){
        .path_index = path_index,
        .bytes = sizes[below(model, ARRAY_COUNT(sizes))],
        .death = UINT64_MAX,
    };
    uint8_t *contents = make_contents(model, state_index);
    char temporary[128];
    (void)snprintf(temporary, sizeof(temporary), "%s.new", path->file);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    const size_t bytes = model->states[state_index].bytes;
    ASSERT(write(fd, contents, bytes) == (ssize_t)bytes);
    ASSERT(close(fd) == 0);
    free(contents);
    ASSERT(rename(temporary, path->file) == 0);
    note_change(model, path);
    path->is_present = true;
    path->state_index = state_index;
}

static void remove_file(struct model *model, uint32_t path_index)
{
    struct path *path = &model->paths[path_index];
    ASSERT(unlink(path->file) == 0);
    note_change(model, path);
    path->is_present = false;
    path->absent_until = UINT64_MAX;
}

static void change_a_file(struct model *model)
{
    const uint32_t path_index = pick_path(model);
    model->now++;
    if (model->paths[path_index].is_present && below(model, 4) == 0) {
        remove_file(model, path_index);
    } else {
        write_file(model, path_index);
    }
}

/* ---- the catalog ---- */

static struct hand_version *make_version(struct model *model, uint32_t path_index, uint64_t serial)
{
    struct path *path = &model->paths[path_index];
    char key[16];
    (void)snprintf(key, sizeof(key), "%u", path_index);
    struct hand_version *made = version_of_path(model->rig, key, path->file);
    made->version.entry_serial = serial;
    if (made->version.identity.size_bytes <= 300) { /* into memory; the descriptor goes */
        made->version.body = make_contents(model, path->state_index);
        ASSERT(close(made->version.fd) == 0);
        made->version.fd = -1;
    }
    free(made->path); /* the file is the model's */
    made->path = NULL;
    return made;
}

/* The change that brings an entry up to date. True when the worker is to be told. */
static bool refresh(struct model *model, uint32_t path_index, struct generation *generation)
{
    struct path *path = &model->paths[path_index];
    struct entry *entry = &path->entry;
    const bool is_current =
        path->is_present && entry->is_there && entry->state_index == path->state_index;
    if (!entry->is_there || is_current) {
        return false;
    }
    struct hand_version *retired = entry->version;
    const bool is_held = entry->is_held;
    if (path->is_present) {
        entry->version = make_version(model, path_index, entry->serial);
        entry->state_index = path->state_index;
    } else {
        *entry = (struct entry){0};
    }
    if (is_held) {
        generation_add(generation, retired, path->is_present ? entry->version : NULL, 1);
    }
    return is_held;
}

static void send_generation(struct model *model)
{
    if (model->generation->change_count > 0) {
        control_publish(model->rig, model->generation);
        totals.generations++;
    }
}

/* Looks at the path as it is now; the answer leaves later. */
static void walk_miss(struct model *model, uint32_t at)
{
    struct miss *miss = model->misses[at];
    model->misses[at] = model->misses[--model->miss_count];
    const uint32_t path_index = (uint32_t)strtoul(miss->key, NULL, 10);
    struct path *path = &model->paths[path_index];
    struct entry *entry = &path->entry;
    model->hot_path = path_index;
    model->generation = control_generation(model->rig, 1);
    (void)refresh(model, path_index, model->generation);

    model->loaded = (struct message){.kind = MESSAGE_LOADED, .pointer = miss, .number = 404};
    if (path->is_present) {
        model->loaded.number = 200;
        if (!entry->is_there) {
            *entry = (struct entry){.is_there = true,
                                    .serial = ++model->serial,
                                    .state_index = path->state_index,
                                    .is_held_there = below(model, 4) != 0};
            entry->version = make_version(model, path_index, entry->serial);
        }
        if (!entry->is_held) {
            entry->is_held = true;
            entry->version->given_count++;
            model->loaded.second = &entry->version->version;
        }
    }
}

static void read_queue(struct model *model)
{
    char events[4096];
    int queued_bytes = 0;
    ASSERT(ioctl(model->watch[0], FIONREAD, &queued_bytes) == 0);
    ASSERT(queued_bytes == 0 || read(model->watch[0], events, sizeof(events)) == queued_bytes);
}

static void walk_all(struct model *model)
{
    model->generation = control_generation(model->rig, PATHS_COUNT);
    for (uint32_t i = 0; i < PATHS_COUNT; i++) {
        (void)refresh(model, i, model->generation);
    }
}

static void on_evicted(struct model *model, struct hand_version *version)
{
    version->evicted_count++;
    ASSERT(version->evicted_count <= version->given_count);
    totals.evicted++;
    for (uint32_t i = 0; i < PATHS_COUNT; i++) {
        struct entry *entry = &model->paths[i].entry;
        if (entry->is_there && entry->serial == version->version.entry_serial) {
            entry->is_held = false;
            entry->is_there = entry->is_held_there;
        }
    }
}

static bool take_a_message(struct model *model)
{
    struct message message;
    if (!worker_receive(model->rig->worker, &message)) {
        return false;
    }
    struct hand_version *version =
        container_of((struct version *)message.pointer, struct hand_version, version);
    switch ((enum message_kind)message.kind) {
    case MESSAGE_MISS:
        ASSERT(model->miss_count < ARRAY_COUNT(model->misses));
        model->misses[model->miss_count++] = message.pointer;
        return true;
    case MESSAGE_EVICTED:
        on_evicted(model, version);
        return true;
    case MESSAGE_RELEASED:
        version->released_count++;
        ASSERT(version->released_count <= version->given_count);
        return true;
    case MESSAGE_APPLIED:
        ((struct generation *)message.pointer)->unapplied_count--;
        return true;
    case MESSAGE_DRAINED:
    case MESSAGE_FAILED:
    case MESSAGE_LOADED:
    case MESSAGE_GENERATION:
    case MESSAGE_DRAIN:
    case MESSAGE_STOP:
        break;
    }
    ASSERT(false);
    return false;
}

/* The control thread's next step; `is_round`: where it is free, it begins a round. */
static void control_step(struct model *model, bool is_round)
{
    switch (model->phase) {
    case IDLE:
        if (is_round) {
            freshness_begin(&model->rig->gate);
            read_queue(model);
            model->phase = ROUND_BEGUN;
        } else if (model->miss_count > 0) {
            walk_miss(model, below(model, model->miss_count));
            model->phase = MISS_WALKED;
        } else {
            (void)take_a_message(model);
        }
        return;
    case ROUND_BEGUN:
        walk_all(model);
        model->phase = ROUND_WALKED;
        return;
    case ROUND_WALKED:
        send_generation(model);
        model->phase = ROUND_SENT;
        return;
    case ROUND_SENT:
        freshness_finish(&model->rig->gate);
        model->phase = IDLE;
        return;
    case MISS_WALKED:
        send_generation(model);
        ASSERT(worker_send(model->rig->worker, model->loaded));
        model->phase = IDLE;
        return;
    }
}

/* ---- the clients ---- */

static void open_client(struct model *model)
{
    if (model->rig->worker->open_count == CONNS_MAX ||
        fake_find(model->rig->engine, ENGINE_ACCEPT, (struct engine_token){0, 1}) == NULL) {
        return;
    }
    ASSERT(model->client_count < CONNS_EVER_MAX);
    model->clients[model->client_count++] = (struct client){.token = rig_open(model->rig)};
}

static struct client *any_client(struct model *model)
{
    struct client *client = NULL;
    for (uint32_t i = 0; i < 8 && client == NULL && model->client_count > 0; i++) {
        const uint32_t newest = model->client_count < 8 ? model->client_count : 8;
        client = &model->clients[model->client_count - 1 - below(model, newest)];
        client = rig_conn(model->rig, client->token) == NULL ? NULL : client;
    }
    return client;
}

static void send_requests(struct model *model, struct client *client)
{
    if (!rig_is_in_flight(model->rig, client->token, ENGINE_RECEIVE) || client->is_ended) {
        return;
    }
    model->now++;
    for (uint32_t i = below(model, 3) + 1; i > 0 && client->request_count < REQUESTS_MAX; i--) {
        struct request *request = &client->requests[client->request_count++];
        *request = (struct request){.path_index = pick_path(model), .sent = model->now};
        char text[64];
        (void)snprintf(text, sizeof(text), "GET /%u HTTP/1.1\r\nHost: x\r\n\r\n",
                       request->path_index);
        rig_receive(model->rig, client->token, text);
    }
}

static void end_an_operation(struct model *model, struct client *client)
{
    struct rig *rig = model->rig;
    const bool is_failing = below(model, 40) == 0;
    if (rig_is_in_flight(rig, client->token, ENGINE_SEND)) {
        if (is_failing) {
            fake_end(rig->engine, ENGINE_SEND, client->token, -EPIPE);
        } else {
            fake_send_all(rig->engine, client->token);
        }
    } else if (rig_is_in_flight(rig, client->token, ENGINE_READ)) {
        if (is_failing) {
            fake_end(rig->engine, ENGINE_READ, client->token, -EIO);
        } else {
            rig_read(rig, client->token, below(model, 3) == 0 ? 1000 : UINT32_MAX);
        }
    }
}

static void end_input(struct model *model, struct client *client)
{
    if (rig_is_in_flight(model->rig, client->token, ENGINE_RECEIVE)) {
        fake_end(model->rig->engine, ENGINE_RECEIVE, client->token,
                 below(model, 2) == 0 ? 0 : -ECONNRESET);
        client->is_ended = true;
    }
}

static void
check_200(const struct model *model, const struct request *request, const char *body, size_t bytes)
{
    uint32_t path_index = 0;
    uint32_t state_index = 0;
    ASSERT(sscanf(body, "%u@%u|", &path_index, &state_index) == 2);
    ASSERT(path_index == request->path_index);
    ASSERT(state_index < model->state_count);
    const struct file_state *state = &model->states[state_index];
    ASSERT(state->path_index == path_index);
    ASSERT(state->bytes == bytes);
    uint8_t *expected = make_contents(model, state_index);
    ASSERT(memcmp(body, expected, bytes) == 0);
    free(expected);
    ASSERT(state->death > request->sent); /* law L6 */
    totals.answers_200++;
}

/* Checks one more answer at the front of `text`; returns its bytes, 0 when it is not whole. */
static size_t check_answer(const struct model *model, struct client *client, const char *text)
{
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const uint32_t status = (uint32_t)strtoul(text + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = strstr(text, "Content-Length: ");
    ASSERT(length != NULL && length < end);
    const size_t body_bytes = strtoul(length + strlen("Content-Length: "), NULL, 10);
    const char *body = end + 4;
    if (strlen(body) < body_bytes) {
        return 0;
    }
    ASSERT(client->answer_count < client->request_count);
    const struct request *request = &client->requests[client->answer_count++];
    if (status == 200) {
        check_200(model, request, body, body_bytes);
    } else if (status == 404) {
        ASSERT(model->paths[request->path_index].absent_until > request->sent);
        totals.answers_404++;
    } else {
        ASSERT(status == 503);
        totals.answers_503++;
    }
    return (size_t)(body - text) + body_bytes;
}

static void check_answers(struct model *model, struct client *client)
{
    const struct span sent = fake_sent(model->rig->engine, client->token);
    if (sent.bytes == client->checked_bytes) {
        return;
    }
    char *text = calloc(1, sent.bytes - client->checked_bytes + 1);
    ASSERT(text != NULL);
    memcpy(text, sent.ptr + client->checked_bytes, sent.bytes - client->checked_bytes);
    size_t at = 0;
    size_t bytes;
    while (text[at] != '\0' && (bytes = check_answer(model, client, text + at)) > 0) {
        at += bytes;
    }
    client->checked_bytes += at;
    free(text);
}

/* ---- lives ---- */

static void start_life(struct model *model, struct rig *rig, uint64_t seed)
{
    *model = (struct model){.rig = rig, .random = seed * 7919 + 1, .folder = "/tmp/model-XXXXXX"};
    ASSERT(mkdtemp(model->folder) != NULL);
    ASSERT(pipe2(model->watch, O_CLOEXEC) == 0);
    rig_init(rig);
    rig->settings.table_slots = SLOTS_COUNT;
    rig->connection_max = CONNS_MAX;
    rig->gate.watch_fd = model->watch[0];
    rig->control.is_quiet = true;
    rig_start(rig);
    for (uint32_t i = 0; i < PATHS_COUNT; i++) {
        (void)snprintf(model->paths[i].file, sizeof(model->paths[i].file), "%s/%u", model->folder,
                       i);
        model->now++;
        model->paths[i].absent_until = UINT64_MAX;
        if (i % 5 != 0) {
            write_file(model, i);
        }
    }
}

static void step(struct model *model)
{
    struct rig *rig = model->rig;
    struct client *client = any_client(model);
    const uint32_t choice = below(model, 100);
    if (choice < 8 || client == NULL) {
        open_client(model);
    } else if (choice < 28) {
        send_requests(model, client);
    } else if (choice < 58) {
        end_an_operation(model, client);
    } else if (choice < 61) {
        end_input(model, client);
    } else if (choice < 69) {
        change_a_file(model);
    } else if (choice < 94) {
        control_step(model, below(model, 5) == 0);
    } else if (choice < 95) {
        fake_hold_releases(rig->engine, below(model, 2) == 0);
    } else if (choice < 96) {
        fake_fail_update(rig->engine, below(model, SLOTS_COUNT), EBADF);
    } else if (choice < 97) {
        rig->failing_updates_count = 1;
    } else {
        rig_pass_ms(rig, 500);
    }
    if (below(model, 20) == 0) {
        model->is_sleepy = !model->is_sleepy;
    }
    if (below(model, 6) < (model->is_sleepy ? 1 : 5)) {
        rig_turn(rig);
    }
}

/* One round of everything that may follow from what is under way. True when nothing did. */
static bool settle_once(struct model *model)
{
    struct rig *rig = model->rig;
    bool is_quiet = model->phase == IDLE;
    while (model->phase != IDLE) {
        control_step(model, false); /* what it has begun */
    }
    while (take_a_message(model)) {
        is_quiet = false;
    }
    while (model->miss_count > 0 || model->phase != IDLE) {
        control_step(model, false);
        is_quiet = false;
    }
    for (uint32_t at = 0; at < model->client_count; at++) {
        const struct engine_token token = model->clients[at].token;
        if (rig_conn(rig, token) != NULL) {
            rig_finish(rig, token);
        }
        if (rig_state(rig, token) == CONN_CLOSING && rig_is_in_flight(rig, token, ENGINE_RECEIVE)) {
            rig_end(rig, token, ENGINE_RECEIVE, 0); /* as shutdown(2) makes it */
        }
    }
    do {
        control_step(model, true);
    } while (model->phase != IDLE);
    rig_pass_ms(rig, 500);
    return is_quiet;
}

static void settle(struct model *model)
{
    fake_hold_releases(model->rig->engine, false);
    uint32_t quiet_count = 0;
    for (uint32_t i = 0; quiet_count < 2; i++) {
        ASSERT(i < 1000);
        quiet_count = settle_once(model) ? quiet_count + 1 : 0;
    }
}

/* Both sides agree: what is held is in the map, and nothing else is. */
static void check_agreement(struct model *model)
{
    for (uint32_t i = 0; i < PATHS_COUNT; i++) {
        const struct entry *entry = &model->paths[i].entry;
        char key[16];
        (void)snprintf(key, sizeof(key), "%u", i);
        const char *expected = entry->is_there && entry->is_held ? entry->version->label : "-";
        ASSERT(strcmp(version_mapped(model->rig, key), expected) == 0);
    }
}

static void end_life(struct model *model)
{
    struct rig *rig = model->rig;
    totals.confirms += RIG_COUNTER(rig, confirms);
    totals.table_full += RIG_COUNTER(rig, table_full);
    rig_stop(rig);
    for (uint32_t i = 0; i < PATHS_COUNT; i++) {
        ASSERT(unlink(model->paths[i].file) == 0 || errno == ENOENT);
    }
    ASSERT(rmdir(model->folder) == 0);
    ASSERT(close(model->watch[0]) == 0 && close(model->watch[1]) == 0);
}

static void live(struct model *model, struct rig *rig, uint64_t seed)
{
    start_life(model, rig, seed);
    for (uint32_t i = 0; i < STEPS_PER_LIFE; i++) {
        step(model);
        for (uint32_t at = 0; at < model->client_count; at++) {
            check_answers(model, &model->clients[at]);
        }
        if (i % 50 == 49) {
            settle(model);
            check_agreement(model);
        }
    }
    end_life(model);
}

static void worker_and_catalog_agree_over_many_lives(void **state)
{
    (void)state;
    static struct rig rig;
    static struct model model;
    const char *only = getenv("TURNTABLE_SEED"); /* to look at one life again */
    for (uint64_t seed = 1; seed <= LIVES_COUNT; seed++) {
        if (only == NULL || strtoull(only, NULL, 10) == seed) {
            print_message("seed %u\n", (unsigned)seed); /* the last one is the one that failed */
            live(&model, &rig, seed);
        }
    }
    if (only == NULL) {
        assert_true(totals.answers_200 > 1000);
        assert_true(totals.answers_404 > 100);
        assert_true(totals.answers_503 * FAIR_ANSWERS_IN < totals.answers_200 + totals.answers_404);
        assert_true(totals.generations > 500);
        assert_true(totals.evicted > 1000);
        assert_true(totals.confirms > 100);
        assert_true(totals.table_full > 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worker_and_catalog_agree_over_many_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
