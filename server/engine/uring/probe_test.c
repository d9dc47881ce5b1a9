/*
 * The sentences for the operator, and probing a machine that says no.
 */
#include "server/engine/uring/probe.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/fault.h"

static const struct described {
    const char *name;
    struct obstacle obstacle;
    const char *want; /* the cause and the remedy: every part between | must occur */
} described[] = {
    {"switched off",
     {.step = OBSTACLE_SETUP, .error = EPERM, .io_uring_disabled = 2},
     "kernel.io_uring_disabled=2|sysctl -w kernel.io_uring_disabled=0"},
    {"switched off, and a filter too",
     {.step = OBSTACLE_SETUP, .error = EPERM, .io_uring_disabled = 2, .is_seccomp_filtered = true},
     "kernel.io_uring_disabled=2"},
    {"for a group only",
     {.step = OBSTACLE_SETUP, .error = EPERM, .io_uring_disabled = 1},
     "kernel.io_uring_disabled=1|kernel.io_uring_group"},
    {"in a container",
     {.step = OBSTACLE_SETUP, .error = EPERM, .is_seccomp_filtered = true},
     "seccomp|Docker|io_uring_setup, io_uring_enter and io_uring_register"},
    {"in a container, before 6.6",
     {.step = OBSTACLE_SETUP,
      .error = EPERM,
      .io_uring_disabled = OBSTACLE_SYSCTL_UNKNOWN,
      .is_seccomp_filtered = true},
     "seccomp|Docker"},
    {"by something else", {.step = OBSTACLE_SETUP, .error = EACCES}, "SELinux or AppArmor"},
    {"no io_uring", {.step = OBSTACLE_SETUP, .error = ENOSYS}, "Linux 6.x-test|CONFIG_IO_URING"},
    {"no io_uring, or a filter",
     {.step = OBSTACLE_SETUP, .error = ENOSYS, .is_seccomp_filtered = true},
     "seccomp|Linux 6.x-test was built without it|profile"},
    {"too old", {.step = OBSTACLE_SETUP, .error = EINVAL}, "too old|6.1 or later|6.x-test"},
    {"no memory", {.step = OBSTACLE_SETUP, .error = ENOMEM}, "RLIMIT_MEMLOCK|LimitMEMLOCK="},
    {"too many files", {.step = OBSTACLE_SETUP, .error = EMFILE}, "RLIMIT_NOFILE|LimitNOFILE="},
    {"too many files, all", {.step = OBSTACLE_SETUP, .error = ENFILE}, "fs.file-max"},
    {"unusual", {.step = OBSTACLE_SETUP, .error = EIO}, "kernel's log|Input/output error"},
    {"operations",
     {.step = OBSTACLE_OPCODES, .error = ENOSYS, .missing = "SENDMSG, CLOSE"},
     "SENDMSG, CLOSE|6.x-test|6.1 or later"},
    {"slots over the limit", {.step = OBSTACLE_FILES, .error = EMFILE}, "LimitNOFILE=|fewer slots"},
    {"slots without memory", {.step = OBSTACLE_FILES, .error = ENOMEM}, "fewer slots"},
    {"slots refused", {.step = OBSTACLE_FILES, .error = EINVAL}, "6.1 or later"},
    {"tags", {.step = OBSTACLE_TAGS, .error = ENOSYS}, "released|6.1 or later"},
    {"buffers without memory", {.step = OBSTACLE_BUFFERS, .error = ENOMEM}, "fewer or smaller"},
    {"buffers refused", {.step = OBSTACLE_BUFFERS, .error = EINVAL}, "6.1 or later"},
    {"memory", {.step = OBSTACLE_MEMORY, .error = ENOMEM}, "memory limit"},
    {"config", {.step = OBSTACLE_CONFIG, .error = EINVAL}, "out of its range"},
};

static void assert_has_all(const char *text, const char *parts)
{
    char copy[OBSTACLE_TEXT_MAX];
    (void)snprintf(copy, sizeof(copy), "%s", parts);
    char *rest = copy;
    for (char *part = strtok_r(copy, "|", &rest); part != NULL; part = strtok_r(NULL, "|", &rest)) {
        if (strstr(text, part) == NULL) {
            print_error("'%s' lacks '%s'\n", text, part);
            fail();
        }
    }
}

static void describe_names_cause_and_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(described); i++) {
        print_message("%s\n", described[i].name);
        struct obstacle obstacle = described[i].obstacle;
        obstacle.kernel_release = "6.x-test";
        char text[OBSTACLE_TEXT_MAX];
        obstacle_describe(&obstacle, text);
        assert_has_all(text, described[i].want);
        assert_true(strlen(text) < OBSTACLE_TEXT_MAX - 1); /* not cut */
        assert_null(strchr(text, '\n'));
    }
}

static void summary_is_one_sentence_for_every_error(void **state)
{
    (void)state;
    for (int step = OBSTACLE_SETUP; step <= OBSTACLE_CONFIG; step++) {
        for (int error = 1; error < 134; error++) {
            const char *text = obstacle_summary((enum obstacle_step)step, error);
            assert_non_null(text);
            assert_null(strchr(text, '\n'));
            assert_true(strlen(text) > 20);
        }
    }
}

static uint32_t open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    uint32_t count = 0;
    while (readdir(directory) != NULL) {
        count++;
    }
    (void)closedir(directory);
    return count;
}

static void probe_leaves_no_descriptor(void **state)
{
    (void)state;
    const uint32_t before = open_files();
    for (int i = 0; i < 20; i++) { /* more often than a thread may register rings */
        struct uring_probe_result result;
        char what[OBSTACLE_TEXT_MAX] = "";
        const int error = uring_probe(&result, what);
        if (error != 0) {
            assert_true(strlen(what) > 20);
        }
    }
    assert_int_equal(open_files(), before);
}

static void lifetime_has_names(void **state)
{
    (void)state;
    assert_string_equal(lifetime_name(LIFETIME_PER_SLOT), "per-slot");
    assert_string_equal(lifetime_name(LIFETIME_IN_ORDER), "in-order");
}

/* What a container runtime does: io_uring_setup(2) fails with `error`, in this process for good. */
static void forbid_io_uring(uint32_t error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = ARRAY_COUNT(filter), .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        _exit(99);
    }
}

/* Probes in a child under such a filter; returns what it said. */
static void probe_under_filter(uint32_t error, char ret_what[static OBSTACLE_TEXT_MAX])
{
    int ends[2];
    assert_return_code(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        forbid_io_uring(error);
        struct uring_probe_result result;
        char what[OBSTACLE_TEXT_MAX] = "";
        const int probed = uring_probe(&result, what);
        const ssize_t written = write(ends[1], what, sizeof(what));
        _exit(probed == -(int)error && written == sizeof(what) ? 0 : 98);
    }
    close(ends[1]);
    const ssize_t count = read(ends[0], ret_what, OBSTACLE_TEXT_MAX);
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 99) {
        skip(); /* this kernel has no seccomp filters */
    }
    assert_int_equal(status, 0);
    assert_int_equal(count, OBSTACLE_TEXT_MAX);
}

static void probe_explains_a_seccomp_filter(void **state)
{
    (void)state;
    char what[OBSTACLE_TEXT_MAX];
    probe_under_filter(EPERM, what);
    print_message("%s\n", what);
    assert_has_all(what, "seccomp|Docker|io_uring_setup, io_uring_enter and io_uring_register");
    probe_under_filter(ENOSYS, what);
    print_message("%s\n", what);
    assert_has_all(what, "seccomp|built without it|--security-opt seccomp=unconfined");
}

#ifdef TURNTABLE_FAULT_POINTS

static void probe_explains_what_is_refused(void **state)
{
    (void)state;
    struct uring_probe_result result;
    char what[OBSTACLE_TEXT_MAX] = "";
    if (uring_probe(&result, what) != 0) {
        skip();
    }
    static const struct {
        const char *point;
        uint64_t count;
        int error;
        const char *want;
    } cases[] = {
        {"uring_setup", 2, EINVAL, "too old"},
        {"uring_setup", 1, ENOMEM, "LimitMEMLOCK"},
        {"uring_opcodes", 1, EINVAL, "lacks the list of its operations"},
        {"uring_opcodes", 1, EPERM, "forbid"},
        {"uring_files", 1, ENOMEM, "fewer slots"},
        {"uring_buffers", 1, EINVAL, "receive buffers"},
    };
    const uint32_t before = open_files();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s %s\n", cases[i].point, strerrorname_np(cases[i].error));
        fault_arm(cases[i].point, 0, cases[i].count, cases[i].error);
        assert_int_equal(uring_probe(&result, what), -cases[i].error);
        assert_has_all(what, cases[i].want);
        fault_disarm_all();
    }
    assert_int_equal(open_files(), before);
    fault_arm("uring_setup", 0, 1, EINVAL); /* Linux 6.1 to 6.5 */
    assert_int_equal(uring_probe(&result, what), 0);
    assert_true(result.has_index_array);
    fault_disarm_all();
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describe_names_cause_and_remedy),
        cmocka_unit_test(summary_is_one_sentence_for_every_error),
        cmocka_unit_test(lifetime_has_names),
        cmocka_unit_test(probe_leaves_no_descriptor),
        cmocka_unit_test(probe_explains_a_seccomp_filter),
#ifdef TURNTABLE_FAULT_POINTS
        cmocka_unit_test(probe_explains_what_is_refused),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
