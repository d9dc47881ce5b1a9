/*
 * The whole catalog against a model: three workers whose mailboxes deliver whenever they like, a
 * file tree that changes in between, evictions, full tables, and (in test builds) system calls
 * that fail. At every rest, what the workers' maps lead to is what is on the disk; at the end
 * nothing is left: no version, no descriptor, no generation that is not drained. That no version
 * is freed while a worker may use it, sim_check() and the sanitizer see.
 *
 * Seeded: the same run every time. MODEL_SEED=n runs that seed alone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/catalog/catalog.h"
#include "server/catalog/tree_fixture.h"
#include "server/catalog/worker_fixture.h"

#define SEEDS 24
#define STEPS 4000
#define FLIPS 1000

static const char *const keys[] = {"a", "b", "dir/c", "dir/d", "live/e", "live/f", "link", ""};

struct model {
    struct sim *sim;
    unsigned short random[3];
    bool has_faults;
    unsigned content_count;
    bool is_dir_away;
    unsigned fault_count;
};

static uint32_t pick(struct model *m, uint32_t count)
{
    return (uint32_t)nrand48(m->random) % count;
}

/* Every content differs; some are too large for the memory, some are empty. */
static const char *next_content(struct model *m, char buffer[static 64])
{
    const uint32_t kind = pick(m, 10);
    if (kind == 0) {
        return "";
    }
    (void)snprintf(buffer, 64, "%s%u", kind < 5 ? "too large for the memory: " : "",
                   m->content_count++);
    return buffer;
}

static bool exists(const struct model *m, const char *path)
{
    char full[TREE_PATH_MAX];
    return access(tree_path(&m->sim->tree, path, full), F_OK) == 0;
}

/* Some file of either release; `dir` may be away. */
static const char *pick_file(struct model *m, char buffer[static 64])
{
    static const char *const files[] = {"a",    "b",    "dir/c", "dir/d",     "v1/e",
                                        "v2/e", "v1/f", "v2/f",  "index.html"};
    for (;;) {
        const char *file = files[pick(m, ARRAY_COUNT(files))];
        const uint32_t release = 1 + pick(m, 2);
        if (!m->is_dir_away || strncmp(file, "dir/", 4) != 0 || release != 1) {
            (void)snprintf(buffer, 64, "%u/%s", release, file);
            return buffer;
        }
    }
}

static void change_link(struct model *m)
{
    char path[64];
    static const char *const targets[] = {"a", "b", "dir/c", "live/e", "none", "../1/a", "link"};
    (void)snprintf(path, sizeof(path), "%u/link", 1 + pick(m, 2));
    tree_flip(&m->sim->tree, targets[pick(m, ARRAY_COUNT(targets))], path);
}

static void change_directories(struct model *m)
{
    struct tree *tree = &m->sim->tree;
    char path[64];
    switch (pick(m, 4)) {
    case 0:
        tree_flip(tree, pick(m, 2) == 0 ? "1" : "2", "current");
        break;
    case 1:
        tree_rename(tree, m->is_dir_away ? "away" : "1/dir", m->is_dir_away ? "1/dir" : "away");
        m->is_dir_away = !m->is_dir_away;
        break;
    case 2:
        change_link(m);
        break;
    default:
        (void)snprintf(path, sizeof(path), "%u/live", 1 + pick(m, 2));
        tree_flip(tree, pick(m, 2) == 0 ? "v1" : "v2", path);
        break;
    }
}

static void change_tree(struct model *m)
{
    struct tree *tree = &m->sim->tree;
    char path[64];
    char content[64];
    const char *file = pick_file(m, path);
    switch (pick(m, 8)) {
    case 0:
        if (exists(m, file)) {
            tree_unlink(tree, file);
        }
        break;
    case 1:
    case 2:
        tree_write(tree, file, next_content(m, content));
        break;
    case 3:
        if (exists(m, file)) {
            tree_set_mtime(tree, file, 1000000000 + pick(m, 3));
        }
        break;
    case 4:
        change_directories(m);
        break;
    default:
        tree_replace(tree, file, next_content(m, content));
        break;
    }
}

static void arm_some_fault(struct model *m)
{
#ifdef TURNTABLE_FAULT_POINTS
    static const struct {
        const char *point;
        int error_number;
    } faults[] = {{"catalog_alloc", ENOMEM},
                  {"catalog_openat2", EMFILE},
                  {"catalog_stat", EIO},
                  {"catalog_pread", EIO},
                  {"catalog_add_watch", ENOSPC}};
    const uint32_t i = pick(m, ARRAY_COUNT(faults));
    fault_disarm_all();
    fault_arm(faults[i].point, pick(m, 20), 1 + pick(m, 5), faults[i].error_number);
    m->fault_count++;
#else
    (void)m;
#endif
}

static void disarm_faults(void)
{
#ifdef TURNTABLE_FAULT_POINTS
    fault_disarm_all();
#endif
}

/* A worker gives something up, or one of its users ends. */
static void worker_lets_go(struct model *m, uint32_t worker_index)
{
    struct sim_worker *worker = &m->sim->workers[worker_index];
    if (worker->held_count == 0) {
        return;
    }
    const uint32_t held_index = pick(m, worker->held_count);
    if (!worker->held[held_index].is_mapped) {
        sim_release(m->sim, worker_index, held_index);
    } else if (pick(m, 2) == 0) {
        sim_evict(m->sim, worker_index, held_index);
    }
}

static void step(struct model *m)
{
    struct sim *sim = m->sim;
    const uint32_t worker_index = pick(m, SIM_WORKERS);
    switch (pick(m, 12)) {
    case 0:
        change_tree(m);
        break;
    case 1:
        (void)sim_take(sim);
        break;
    case 2:
    case 3:
        sim_ask(sim, worker_index, span_of_string(keys[pick(m, ARRAY_COUNT(keys))]));
        break;
    case 4:
    case 5:
        worker_lets_go(m, worker_index);
        break;
    case 6:
    case 7:
    case 8:
        (void)sim_deliver_to_worker(sim, worker_index);
        break;
    case 9:
    case 10:
        (void)sim_deliver_to_control(sim, worker_index);
        break;
    default:
        sim->workers[worker_index].cannot_publish = pick(m, 20) == 0;
        sim->clock.now_ns += pick(m, 50) * NS_PER_MS;
        if (m->has_faults && pick(m, 4) == 0) {
            arm_some_fault(m);
        }
        break;
    }
    sim_check(sim);
}

static void check_key(struct model *m, uint32_t worker_index, const char *key)
{
    char path[64];
    char want[64];
    (void)snprintf(path, sizeof(path), "current/%s", key[0] == '\0' ? "index.html" : key);
    const ssize_t bytes = tree_read(&m->sim->tree, path, want, sizeof(want) - 1);
    const struct version *version = sim_mapped(m->sim, worker_index, span_of_string(key));
    if (version == NULL) {
        return;
    }
    ASSERT(bytes >= 0);
    want[bytes] = '\0';
    ASSERT(sim_serves(m->sim, worker_index, key, want));
}

/* No fault is armed, all messages arrive: the maps show what is on the disk. */
static void rest(struct model *m)
{
    struct sim *sim = m->sim;
    disarm_faults();
    for (uint32_t i = 0; i < SIM_WORKERS; i++) {
        sim->workers[i].cannot_publish = false;
    }
    for (unsigned i = 0; i < 2; i++) {
        sim_let_poll(sim);
        (void)sim_take(sim);
        sim_settle(sim);
    }
    ASSERT(!catalog_wants_poll(sim->catalog));
    ASSERT(catalog_counters(sim->catalog)->generations_draining == 0);
    for (uint32_t i = 0; i < SIM_WORKERS; i++) {
        for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
            check_key(m, i, keys[k]);
        }
    }
}

static void make_tree(struct tree *tree)
{
    char path[64];
    for (unsigned release = 1; release <= 2; release++) {
        static const char *const directories[] = {"", "/dir", "/v1", "/v2"};
        for (size_t i = 0; i < ARRAY_COUNT(directories); i++) {
            (void)snprintf(path, sizeof(path), "%u%s", release, directories[i]);
            tree_mkdir(tree, path);
        }
        (void)snprintf(path, sizeof(path), "%u/live", release);
        tree_symlink(tree, "v1", path);
        (void)snprintf(path, sizeof(path), "%u/link", release);
        tree_symlink(tree, "dir/c", path);
    }
    tree_symlink(tree, "1", "current");
}

static void run(unsigned seed, bool has_faults)
{
    struct model m = {
        .sim = sim_create(), .random = {(unsigned short)seed, 7, 9}, .has_faults = has_faults};
    const struct sim_options options = {
        .root = "current", .memory_body_bytes = 16, .memory_total_bytes = 128};
    make_tree(&m.sim->tree);
    sim_start(m.sim, &options);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&m);
        if (pick(&m, 400) == 0) {
            rest(&m);
        }
    }
    rest(&m);
    const struct catalog_counters *counters = catalog_counters(m.sim->catalog);
    print_message("seed %u: %u loads, %u generations, %u retired, %u evicted, %u refreshes, "
                  "%u faults, %u refresh failures\n",
                  seed, (unsigned)counters->loads, (unsigned)counters->generation,
                  (unsigned)counters->versions_retired, (unsigned)counters->versions_evicted,
                  (unsigned)counters->refreshes, m.fault_count,
                  (unsigned)counters->refresh_failures);
    assert_true(counters->generation > 10 && counters->versions_evicted > 0);
    sim_stop(m.sim);
    sim_destroy(m.sim);
}

static void run_seeds(bool has_faults)
{
    const char *seed = getenv("MODEL_SEED");
    log_set_level(LOG_LEVEL_ERROR);
    if (seed != NULL) {
        run((unsigned)strtoul(seed, NULL, 10), has_faults);
        return;
    }
    for (unsigned i = 1; i <= SEEDS; i++) {
        run(i, has_faults);
    }
}

static void counts_are_right_in_any_order_of_messages(void **state)
{
    (void)state;
    run_seeds(false);
}

#ifdef TURNTABLE_FAULT_POINTS
static void counts_are_right_when_the_system_fails(void **state)
{
    (void)state;
    run_seeds(true);
}
#endif

/* Releases are flipped and the old ones removed at once, as fast as can be. */
static void flip_releases(struct tree *tree, unsigned count, _Atomic unsigned *flipped)
{
    char path[64];
    for (unsigned i = 1; i <= count; i++) {
        char release[32];
        (void)snprintf(release, sizeof(release), "release%u", i);
        tree_mkdir(tree, release);
        (void)snprintf(path, sizeof(path), "%s/dir", release);
        tree_mkdir(tree, path);
        (void)snprintf(path, sizeof(path), "%s/dir/c", release);
        tree_write(tree, path, release);
        tree_flip(tree, release, "current");
        atomic_store(flipped, i);
        if (i == 1) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "release%u/dir/c", i - 1);
        tree_unlink(tree, path);
        (void)snprintf(path, sizeof(path), "release%u/dir", i - 1);
        tree_rmdir(tree, path);
        (void)snprintf(path, sizeof(path), "release%u", i - 1);
        tree_rmdir(tree, path);
    }
}

/* Asks while releases are flipped: the answer is never 404, and never older than the question. */
static void ask_while_flipping(struct sim *sim, uint32_t worker_index, _Atomic unsigned *flipped)
{
    char body[32] = "";
    unsigned release = 0;
    const unsigned flipped_before = atomic_load(flipped);
    const uint32_t status = sim_status(sim, worker_index, "dir/c");
    ASSERT(status == 200 || status == 503);
    const struct version *version = sim_mapped(sim, worker_index, SPAN("dir/c"));
    if (status != 200 || version == NULL) {
        return;
    }
    (void)sim_body(version, body, sizeof(body) - 1);
    ASSERT(sscanf(body, "release%u", &release) == 1);
    ASSERT(release >= flipped_before);
}

static void answers_are_causal_while_releases_flip(void **state)
{
    (void)state;
    struct sim *sim = sim_create();
    unsigned answers = 0;
    int status = 0;
    _Atomic unsigned *flipped =
        mmap(NULL, sizeof(*flipped), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(flipped, MAP_FAILED);
    make_tree(&sim->tree);
    tree_write(&sim->tree, "1/dir/c", "release0");
    sim_start(sim, &(struct sim_options){.root = "current"});
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        flip_releases(&sim->tree, FLIPS, flipped);
        _exit(0);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        const uint32_t worker_index = answers % SIM_WORKERS;
        ask_while_flipping(sim, worker_index, flipped);
        answers++;
        if (answers % 5 == 0) {
            (void)sim_take(sim);
            sim_settle(sim);
        }
        if (sim_mapped(sim, worker_index, SPAN("dir/c")) != NULL && answers % 3 == 0) {
            sim_evict(sim, worker_index, 0);
            sim_settle(sim);
        }
    }
    assert_int_equal(status, 0);
    sim_let_poll(sim);
    (void)sim_take(sim);
    sim_settle(sim);
    assert_int_equal(sim_status(sim, 0, "dir/c"), 200);
    assert_true(sim_serves(sim, 0, "dir/c", "release1000"));
    print_message("%u answers, %u generations\n", answers,
                  (unsigned)catalog_counters(sim->catalog)->generation);
    sim_stop(sim);
    sim_destroy(sim);
    assert_int_equal(munmap(flipped, sizeof(*flipped)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_right_in_any_order_of_messages),
        cmocka_unit_test(answers_are_causal_while_releases_flip),
#ifdef TURNTABLE_FAULT_POINTS
        cmocka_unit_test(counts_are_right_when_the_system_fails),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
