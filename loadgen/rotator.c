#include "loadgen/rotator.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loadgen/cpu_clock.h"
#include "loadgen/scheduling.h"
#include "loadgen/version_file.h"
#include "server/base/alloc.h"
#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/fault.h"

#define PATH_MAX_BYTES 4096
#define SLEEP_MAX_NS   (20 * NS_PER_MS) /* how late a stop may be noticed */
#define SIZE_CLASSES   9                /* 1 KB << 0..8 */
#define SMALLEST_RATE  1e-6

static_assert(ROTATOR_FILE_BYTES_MIN << (SIZE_CLASSES - 1) == ROTATOR_FILE_BYTES_MAX, "classes");
static_assert(ROTATOR_FILE_BYTES_MIN >= VERSION_HEADER_BYTES, "a version has its header");

struct rotated_file {
    char name[ROTATOR_NAME_BYTES];
    uint64_t path_id;
    uint64_t number; /* of the newest version, 0 before there is one */
    uint64_t bytes;  /* of the newest version */
};

struct rotator {
    struct rotator_settings settings;
    struct rotation_log *log;
    struct witness *witness;
    const struct clock *clock;
    int directory_fd;
    uint64_t random;
    struct rotated_file *files;
    uint8_t *buffer; /* ROTATOR_FILE_BYTES_MAX */
    char path[PATH_MAX_BYTES];
    pthread_t thread;
    bool has_thread;
    atomic_bool is_stopping;
    _Atomic uint64_t replaced; /* also read by the progress line */
    struct rotator_counts counts;
};

static uint64_t next_random(uint64_t *random)
{
    *random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = (*random ^ (*random >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

/* The smaller of two draws: small files are common, as in a real tree; the mean is about 26 KB. */
static uint64_t draw_bytes(uint64_t *random)
{
    uint64_t first = next_random(random) % SIZE_CLASSES;
    uint64_t second = next_random(random) % SIZE_CLASSES;
    uint64_t base = (uint64_t)ROTATOR_FILE_BYTES_MIN << (first < second ? first : second);
    uint64_t bytes = base + next_random(random) % base;
    return bytes < ROTATOR_FILE_BYTES_MAX ? bytes : ROTATOR_FILE_BYTES_MAX;
}

/*
 * The size of the next version: half of them change it, half keep it. It follows from seed, path
 * and number alone, so that the same seed makes the same files whatever the pace.
 */
static uint64_t next_bytes(const struct rotator *rotator, const struct rotated_file *file)
{
    uint64_t random = version_stream_key(rotator->settings.seed, ~file->path_id, file->number + 1);
    bool keeps = (next_random(&random) & 1) != 0;
    return keeps && file->bytes != 0 ? file->bytes : draw_bytes(&random);
}

void rotator_write_name(uint32_t file_index, char ret_name[static ROTATOR_NAME_BYTES])
{
    (void)snprintf(ret_name, ROTATOR_NAME_BYTES, "rotate-%03" PRIu32 ".bin", file_index);
}

uint32_t rotator_find_name(struct span name, uint32_t file_count)
{
    /* Guessed from the digits, then compared: only the name that would be written is one. */
    uint64_t file_index = 0;
    for (size_t i = 0; i < name.bytes && file_index < file_count; i++) {
        if (name.ptr[i] >= '0' && name.ptr[i] <= '9') {
            file_index = file_index * 10 + (uint64_t)(name.ptr[i] - '0');
        }
    }
    if (file_index >= file_count) {
        return UINT32_MAX;
    }
    char want[ROTATOR_NAME_BYTES];
    rotator_write_name((uint32_t)file_index, want);
    return span_equal(name, span_of_string(want)) ? (uint32_t)file_index : UINT32_MAX;
}

int rotator_create(const struct rotator_settings *settings,
                   struct rotation_log *log,
                   struct witness *witness,
                   struct rotator **ret_rotator)
{
    ASSERT(settings->file_count > 0);
    ASSERT(settings->file_count <= ROTATOR_FILES_MAX);
    ASSERT(log->file_count == settings->file_count);
    ASSERT(log->seed == settings->seed);
    int result = -ENOMEM;
    struct rotator *rotator = alloc_zeroed(1, sizeof(*rotator));
    if (rotator == NULL) {
        return -ENOMEM;
    }
    rotator->settings = *settings;
    rotator->log = log;
    rotator->witness = witness;
    rotator->clock = clock_system();
    rotator->random = settings->seed;
    rotator->buffer = alloc_map(ROTATOR_FILE_BYTES_MAX);
    rotator->files = alloc_zeroed(settings->file_count, sizeof(*rotator->files));
    if (rotator->buffer == NULL || rotator->files == NULL) {
        goto free_rotator;
    }
    for (uint32_t i = 0; i < settings->file_count; i++) {
        struct rotated_file *file = &rotator->files[i];
        rotator_write_name(i, file->name);
        file->path_id = version_path_id(span_of_string(file->name));
    }
    rotator->directory_fd = open(settings->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rotator->directory_fd < 0) {
        result = -errno;
        goto free_rotator;
    }
    *ret_rotator = rotator;
    return 0;

free_rotator:
    alloc_free(rotator->files);
    alloc_unmap(rotator->buffer, ROTATOR_FILE_BYTES_MAX);
    alloc_free(rotator);
    return result;
}

uint64_t rotator_file_bytes(const struct rotator *rotator, uint32_t file_index)
{
    ASSERT(file_index < rotator->settings.file_count);
    return rotator->files[file_index].bytes;
}

static int write_all(int fd, struct span bytes)
{
    while (bytes.bytes > 0) {
        int fault = FAULT("rotator_write");
        ssize_t written = fault != 0 ? -1 : write(fd, bytes.ptr, bytes.bytes);
        if (written < 0) {
            int error = fault != 0 ? fault : errno;
            if (error == EINTR) {
                continue;
            }
            return -error;
        }
        bytes = span_skip(bytes, (size_t)written);
    }
    return 0;
}

/* Makes the whole file beside its place; the descriptor is closed before the rename. */
static int write_temporary(struct rotator *rotator, const char *name, struct span bytes)
{
    int fd = openat(rotator->directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return -errno;
    }
    /* Only for speed: a file whose blocks are there is not flushed to disk by ext4's rename. */
    (void)fallocate(fd, 0, 0, (off_t)bytes.bytes);
    int result = write_all(fd, bytes);
    if (close(fd) < 0 && result == 0) {
        result = -errno;
    }
    return result;
}

/* The file's next version, in the buffer. */
static struct span
make_version(struct rotator *rotator, const struct rotated_file *file, uint64_t bytes)
{
    const struct version_label label = {
        .seed = rotator->settings.seed,
        .path_id = file->path_id,
        .number = file->number + 1,
        .total_bytes = bytes,
    };
    version_header_encode(&label, rotator->buffer);
    version_stream_fill(version_stream_key(label.seed, label.path_id, label.number),
                        VERSION_HEADER_BYTES, rotator->buffer + VERSION_HEADER_BYTES,
                        (size_t)bytes - VERSION_HEADER_BYTES);
    return span_of(rotator->buffer, (size_t)bytes);
}

/* The instant of the change: logged before and after, so that any answer can be judged by it. */
static int rename_logged(struct rotator *rotator,
                         uint32_t file_index,
                         const char *temporary,
                         uint64_t *ret_after_ns)
{
    uint64_t number = rotator->files[file_index].number + 1;
    const char *name = rotator->files[file_index].name;
    uint64_t before_ns = clock_monotonic_ns(rotator->clock);
    rotation_log_announce(rotator->log, file_index, number, before_ns);
    int fault = FAULT("rotator_rename");
    if (fault != 0 || renameat(rotator->directory_fd, temporary, rotator->directory_fd, name) < 0) {
        int error = fault != 0 ? fault : errno;
        rotation_log_withdraw(rotator->log, file_index);
        return -error;
    }
    uint64_t after_ns = clock_monotonic_ns(rotator->clock);
    rotation_log_confirm(rotator->log, file_index, after_ns);
    *ret_after_ns = after_ns;
    return 0;
}

/* Shows the file that is about to go to the witness; negative when there is none to show. */
static int watch_old(struct rotator *rotator, const struct rotated_file *file)
{
    bool is_made = rotation_log_newest(rotator->log, (uint32_t)(file - rotator->files)) != 0;
    if (rotator->witness == NULL || !is_made) {
        return -ENOENT;
    }
    int bytes = snprintf(rotator->path, sizeof(rotator->path), "%s/%s", rotator->settings.directory,
                         file->name);
    if (bytes < 0 || (size_t)bytes >= sizeof(rotator->path)) {
        return -ENAMETOOLONG;
    }
    return witness_watch(rotator->witness, rotator->path);
}

/* Puts what was written in its place, with the witness looking on. */
static int swap_in(struct rotator *rotator, uint32_t file_index, const char *temporary)
{
    int watch = watch_old(rotator, &rotator->files[file_index]);
    uint64_t after_ns = 0;
    int result = rename_logged(rotator, file_index, temporary, &after_ns);
    if (rotator->witness == NULL) {
        return result;
    }
    if (result < 0) {
        witness_cancel(rotator->witness, watch);
        return result;
    }
    witness_replaced(rotator->witness, watch, after_ns);
    return 0;
}

int rotator_replace(struct rotator *rotator, uint32_t file_index)
{
    struct rotated_file *file = &rotator->files[file_index];
    uint64_t bytes = next_bytes(rotator, file);
    char temporary[ROTATOR_NAME_BYTES];
    (void)snprintf(temporary, sizeof(temporary), ".rotate-tmp-%" PRIu32, file_index);
    int result = write_temporary(rotator, temporary, make_version(rotator, file, bytes));
    if (result == 0) {
        result = swap_in(rotator, file_index, temporary);
    }
    if (result < 0) {
        (void)unlinkat(rotator->directory_fd, temporary, 0); /* it may not even be there */
        return result;
    }
    file->number++;
    file->bytes = bytes;
    return 0;
}

/* The number of the version that an earlier run left, 0 when there is none. */
static uint64_t read_left_number(const struct rotator *rotator, const struct rotated_file *file)
{
    uint8_t header[VERSION_HEADER_BYTES];
    int fd = openat(rotator->directory_fd, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return 0;
    }
    ssize_t bytes = pread(fd, header, sizeof(header), 0);
    (void)close(fd); /* only read from */
    struct version_label label;
    if (bytes != (ssize_t)sizeof(header) || !version_header_decode(header, &label) ||
        label.path_id != file->path_id) {
        return 0;
    }
    return label.number;
}

int rotator_make_files(struct rotator *rotator)
{
    for (uint32_t i = 0; i < rotator->settings.file_count; i++) {
        struct rotated_file *file = &rotator->files[i];
        file->number = read_left_number(rotator, file);
        int result = rotator_replace(rotator, i);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ thread */

/* Sleeps until `due_ns`, in short turns; false when the rotator is to stop. */
static bool sleep_until(struct rotator *rotator, uint64_t due_ns)
{
    while (!atomic_load_explicit(&rotator->is_stopping, memory_order_relaxed)) {
        uint64_t now_ns = clock_monotonic_ns(rotator->clock);
        if (now_ns >= due_ns) {
            return true;
        }
        uint64_t until_ns = due_ns - now_ns < SLEEP_MAX_NS ? due_ns : now_ns + SLEEP_MAX_NS;
        const struct timespec until = {
            .tv_sec = (time_t)(until_ns / NS_PER_SEC),
            .tv_nsec = (long)(until_ns % NS_PER_SEC),
        };
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); /* EINTR: look again */
    }
    return false;
}

/* One replacement of a random file; false when there is no point in going on. */
static bool replace_random(struct rotator *rotator, unsigned *failures_in_a_row)
{
    uint32_t file_index = (uint32_t)(next_random(&rotator->random) % rotator->settings.file_count);
    int result = rotator_replace(rotator, file_index);
    if (result == 0) {
        *failures_in_a_row = 0;
        atomic_fetch_add_explicit(&rotator->replaced, 1, memory_order_relaxed);
        return true;
    }
    rotator->counts.failed++;
    rotator->counts.error = result;
    return ++*failures_in_a_row < ROTATOR_FAILURES_MAX;
}

static void *run(void *argument)
{
    struct rotator *rotator = argument;
    scheduling_ask_for_short_slices();
    double period_ns = (double)NS_PER_SEC / rotator->settings.rate;
    uint64_t begin_ns = clock_monotonic_ns(rotator->clock);
    uint64_t turn = 1;
    unsigned failures_in_a_row = 0;
    /* Absolute times: the pace does not drift. Of what a delay missed, only a few are made up. */
    while (sleep_until(rotator, begin_ns + (uint64_t)((double)turn * period_ns))) {
        double late_ns =
            (double)(clock_monotonic_ns(rotator->clock) - begin_ns) - (double)turn * period_ns;
        if (late_ns > ROTATOR_CATCH_UP_MAX * period_ns) {
            uint64_t skipped = (uint64_t)(late_ns / period_ns) - ROTATOR_CATCH_UP_MAX;
            rotator->counts.skipped += skipped;
            turn += skipped;
        }
        turn++;
        if (!replace_random(rotator, &failures_in_a_row)) {
            break;
        }
    }
    rotator->counts.cpu_ns = cpu_clock_thread_ns();
    return NULL;
}

int rotator_start(struct rotator *rotator)
{
    ASSERT(!rotator->has_thread);
    if (rotator->settings.rate < SMALLEST_RATE) {
        return 0; /* the files are made; nothing is to be replaced */
    }
    int result = -pthread_create(&rotator->thread, NULL, run, rotator);
    rotator->has_thread = result == 0;
    return result;
}

struct rotator_counts rotator_stop(struct rotator *rotator)
{
    if (rotator->has_thread) {
        atomic_store_explicit(&rotator->is_stopping, true, memory_order_relaxed);
        ASSERT(pthread_join(rotator->thread, NULL) == 0);
        rotator->has_thread = false;
    }
    rotator->counts.replaced = rotator_replaced_count(rotator);
    return rotator->counts;
}

uint64_t rotator_replaced_count(const struct rotator *rotator)
{
    return atomic_load_explicit(&rotator->replaced, memory_order_relaxed);
}

void rotator_destroy(struct rotator *rotator)
{
    if (rotator == NULL) {
        return;
    }
    (void)rotator_stop(rotator); /* what it did was asked for before, or is of no interest */
    (void)close(rotator->directory_fd);
    alloc_free(rotator->files);
    alloc_unmap(rotator->buffer, ROTATOR_FILE_BYTES_MAX);
    alloc_free(rotator);
}
