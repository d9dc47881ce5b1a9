#include "server/engine/uring/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/engine/uring/receive_buffers.h"
#include "server/engine/uring/ring.h"

#define ENTRY_COUNT 8
#define SLOT_COUNT  2

#define MISSING_MAX 128

/* As many as the kernel will list at a time. */
#define OPCODES_MAX 256

/* What probing found in its way: the step, and the names of missing operations. */
struct finding {
    enum obstacle_step step;
    char missing[MISSING_MAX];
};

static const struct needed_op {
    uint8_t opcode;
    const char *name;
} needed_ops[] = {
    {IORING_OP_ACCEPT, "ACCEPT"},   {IORING_OP_RECV, "RECV"},
    {IORING_OP_SEND, "SEND"},       {IORING_OP_SENDMSG, "SENDMSG"},
    {IORING_OP_READ, "READ"},       {IORING_OP_POLL_ADD, "POLL_ADD"},
    {IORING_OP_TIMEOUT, "TIMEOUT"}, {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
    {IORING_OP_CLOSE, "CLOSE"},
};

static void append(char text[static MISSING_MAX], const char *name)
{
    const size_t used = strlen(text);
    (void)snprintf(text + used, MISSING_MAX - used, "%s%s", used == 0 ? "" : ", ", name);
}

/* Errors that say nothing of what was asked for: a filter, or a limit of this process. */
static bool is_about_the_process(int result)
{
    return result == -EPERM || result == -EACCES || result == -EMFILE || result == -ENFILE ||
           result == -ENOMEM;
}

static int check_opcodes(struct ring *ring, struct finding *finding)
{
    union {
        struct io_uring_probe probe;
        uint8_t
            room[sizeof(struct io_uring_probe) + OPCODES_MAX * sizeof(struct io_uring_probe_op)];
    } answer = {.room = {0}};
    const int fault = FAULT("uring_opcodes");
    const int result =
        fault != 0 ? -fault : io_uring_register_probe(&ring->io, &answer.probe, OPCODES_MAX);
    finding->step = is_about_the_process(result) ? OBSTACLE_SETUP : OBSTACLE_OPCODES;
    if (result < 0) {
        append(finding->missing, "the list of its operations");
        return result;
    }
    for (size_t i = 0; i < ARRAY_COUNT(needed_ops); i++) {
        if (io_uring_opcode_supported(&answer.probe, needed_ops[i].opcode) == 0) {
            append(finding->missing, needed_ops[i].name);
        }
    }
    return finding->missing[0] == '\0' ? 0 : -ENOSYS;
}

static int check_ring(struct ring *ring, struct finding *finding)
{
    int result = check_opcodes(ring, finding);
    if (result < 0) {
        return result;
    }
    finding->step = OBSTACLE_TAGS;
    if ((ring->io.features & IORING_FEAT_RSRC_TAGS) == 0) {
        return -ENOSYS;
    }
    finding->step = OBSTACLE_FILES;
    result = ring_register_files(ring, SLOT_COUNT);
    if (result < 0) {
        return result;
    }
    finding->step = OBSTACLE_BUFFERS;
    struct receive_buffers buffers;
    result = receive_buffers_init(&buffers, ring, RECEIVE_BUFFERS_MIN, RECEIVE_BUFFERS_BYTES_MIN);
    if (result < 0) {
        return result;
    }
    receive_buffers_deinit(&buffers, ring);
    return 0;
}

static int try_all(struct uring_probe_result *ret_result, struct finding *finding)
{
    struct ring ring;
    finding->step = OBSTACLE_SETUP;
    int result = ring_init(&ring, ENTRY_COUNT, 2 * ENTRY_COUNT);
    if (result < 0) {
        return result;
    }
    result = check_ring(&ring, finding);
    const struct uring_probe_result found = {
        .has_index_array = (ring.io.flags & IORING_SETUP_NO_SQARRAY) == 0,
        .is_wait_as_iowait = (ring.io.features & IORING_FEAT_NO_IOWAIT) == 0,
    };
    ring_deinit(&ring);
    if (result < 0) {
        return result;
    }
    enum lifetime lifetime;
    result = lifetime_probe(&lifetime);
    if (result < 0) {
        finding->step = is_about_the_process(result) ? OBSTACLE_SETUP : OBSTACLE_TAGS;
        return result;
    }
    *ret_result = found;
    ret_result->lifetime = lifetime;
    return 0;
}

/* The first number after `key` in a file of /proc, or `fallback`. */
static int read_number(const char *path, const char *key, int fallback)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return fallback;
    }
    int number = fallback;
    char line[256];
    while (fgets(line, sizeof(line), file) != NULL) {
        const size_t key_bytes = strlen(key);
        if (strncmp(line, key, key_bytes) == 0) {
            number = (int)strtol(line + key_bytes, NULL, 10);
            break;
        }
    }
    (void)fclose(file); /* was only read */
    return number;
}

#define SECCOMP_MODE_OF_A_FILTER 2

int uring_probe(struct uring_probe_result *ret_result, char ret_what[static OBSTACLE_TEXT_MAX])
{
    struct finding finding = {.step = OBSTACLE_SETUP};
    const int result = try_all(ret_result, &finding);
    if (result == 0) {
        return 0;
    }
    struct utsname name;
    const bool is_named = uname(&name) == 0;
    const struct obstacle obstacle = {
        .step = finding.step,
        .error = -result,
        .io_uring_disabled =
            read_number("/proc/sys/kernel/io_uring_disabled", "", OBSTACLE_SYSCTL_UNKNOWN),
        .is_seccomp_filtered =
            read_number("/proc/self/status", "Seccomp:", 0) == SECCOMP_MODE_OF_A_FILTER,
        .kernel_release = is_named ? name.release : "?",
        .missing = finding.missing,
    };
    obstacle_describe(&obstacle, ret_what);
    return result;
}
