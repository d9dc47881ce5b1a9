#include "server/engine/uring/obstacle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *setup_summary(int error)
{
    switch (error) {
    case EPERM:
    case EACCES:
        return "io_uring is forbidden here, by kernel.io_uring_disabled or by a seccomp profile "
               "(Docker and containerd forbid it by default): allow io_uring_setup, "
               "io_uring_enter and io_uring_register";
    case ENOSYS:
        return "this kernel has no io_uring, or a seccomp profile hides it: use Linux 6.1 or later "
               "with CONFIG_IO_URING, and a profile that allows io_uring_setup, io_uring_enter "
               "and io_uring_register";
    case EINVAL:
        return "this kernel's io_uring is too old: use Linux 6.1 or later";
    case ENOMEM:
        return "no memory for an io_uring: raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=), or the "
               "memory limit of the container or service";
    case EMFILE:
    case ENFILE:
        return "too many open files to create an io_uring: raise RLIMIT_NOFILE (systemd: "
               "LimitNOFILE=) or fs.file-max";
    default:
        return "io_uring_setup failed for an unusual reason: see the kernel's log";
    }
}

static const char *files_summary(int error)
{
    switch (error) {
    case EMFILE:
        return "the table has more slots than this process may open files: raise the hard "
               "RLIMIT_NOFILE (systemd: LimitNOFILE=), or ask for fewer slots";
    case ENOMEM:
        return "no memory for the table of registered files: ask for fewer slots, or raise the "
               "memory limit of the container or service";
    default:
        return "the table of registered files was refused: use Linux 6.1 or later";
    }
}

const char *obstacle_summary(enum obstacle_step step, int error)
{
    switch (step) {
    case OBSTACLE_SETUP:
        return setup_summary(error);
    case OBSTACLE_OPCODES:
        return "this kernel's io_uring lacks operations that the server needs: use Linux 6.1 or "
               "later";
    case OBSTACLE_FILES:
        return files_summary(error);
    case OBSTACLE_TAGS:
        return "this kernel does not tell when a registered file is released (resource tags): "
               "use Linux 6.1 or later";
    case OBSTACLE_BUFFERS:
        return error == ENOMEM
                   ? "no memory for the receive buffers: ask for fewer or smaller ones, or raise "
                     "the memory limit of the container or service"
                   : "the ring of receive buffers was refused: use Linux 6.1 or later";
    case OBSTACLE_MEMORY:
        return "no memory for the engine: raise the memory limit of the container or service";
    case OBSTACLE_CONFIG:
        return "the engine was asked for numbers out of its range (server/engine/engine.h)";
    }
    return "io_uring cannot be used here";
}

/* EPERM has three usual causes, and each another remedy. */
static void describe_forbidden(const struct obstacle *obstacle, char *ret_text)
{
    if (obstacle->io_uring_disabled == 2) {
        (void)snprintf(ret_text, OBSTACLE_TEXT_MAX,
                       "io_uring is switched off on this machine (kernel.io_uring_disabled=2): "
                       "allow it with 'sysctl -w kernel.io_uring_disabled=0'");
        return;
    }
    if (obstacle->io_uring_disabled == 1) {
        (void)snprintf(ret_text, OBSTACLE_TEXT_MAX,
                       "io_uring is for a group and for CAP_SYS_ADMIN only on this machine "
                       "(kernel.io_uring_disabled=1): put the server's group into "
                       "kernel.io_uring_group, or run 'sysctl -w kernel.io_uring_disabled=0'");
        return;
    }
    if (obstacle->is_seccomp_filtered) {
        (void)snprintf(ret_text, OBSTACLE_TEXT_MAX,
                       "a seccomp filter forbids io_uring (the default profiles of Docker and "
                       "containerd do): run the container with a profile that allows "
                       "io_uring_setup, io_uring_enter and io_uring_register, or with "
                       "'--security-opt seccomp=unconfined'; systemd: SystemCallFilter=@aio");
        return;
    }
    (void)snprintf(ret_text, OBSTACLE_TEXT_MAX,
                   "io_uring is forbidden to this process, and neither kernel.io_uring_disabled "
                   "nor a seccomp filter says so: look for a denial of SELinux or AppArmor in the "
                   "kernel's log");
}

static void describe_absent(const struct obstacle *obstacle, char *ret_text)
{
    if (obstacle->is_seccomp_filtered) {
        (void)snprintf(ret_text, OBSTACLE_TEXT_MAX,
                       "io_uring is hidden by a seccomp filter, or Linux %s was built without it: "
                       "run the container with a profile that allows io_uring_setup, "
                       "io_uring_enter and io_uring_register, or with "
                       "'--security-opt seccomp=unconfined'",
                       obstacle->kernel_release);
        return;
    }
    (void)snprintf(ret_text, OBSTACLE_TEXT_MAX,
                   "this kernel (Linux %s) has no io_uring: use Linux 6.1 or later, built with "
                   "CONFIG_IO_URING",
                   obstacle->kernel_release);
}

void obstacle_describe(const struct obstacle *obstacle, char ret_text[static OBSTACLE_TEXT_MAX])
{
    const bool is_setup = obstacle->step == OBSTACLE_SETUP;
    if (is_setup && (obstacle->error == EPERM || obstacle->error == EACCES)) {
        describe_forbidden(obstacle, ret_text);
        return;
    }
    if (is_setup && obstacle->error == ENOSYS) {
        describe_absent(obstacle, ret_text);
        return;
    }
    if (obstacle->step == OBSTACLE_OPCODES) {
        (void)snprintf(ret_text, OBSTACLE_TEXT_MAX,
                       "the io_uring of Linux %s lacks %s: use Linux 6.1 or later",
                       obstacle->kernel_release, obstacle->missing);
        return;
    }
    (void)snprintf(ret_text, OBSTACLE_TEXT_MAX, "%s (Linux %s, %s)",
                   obstacle_summary(obstacle->step, obstacle->error), obstacle->kernel_release,
                   strerrordesc_np(obstacle->error));
}
