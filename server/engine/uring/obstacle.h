/*
 * Why io_uring cannot be used here, as a sentence that names the remedy. Pure: a function of what
 * was found out, so that tests read every sentence without the machine that would say it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Room for any of the sentences, with its NUL. */
#define OBSTACLE_TEXT_MAX 512

/* What was tried when the way was found barred. */
enum obstacle_step {
    OBSTACLE_SETUP,   /* io_uring_setup(2) and mapping the ring */
    OBSTACLE_OPCODES, /* the operations that the engine starts */
    OBSTACLE_FILES,   /* the table of registered files */
    OBSTACLE_TAGS,    /* being told when a registered file was released */
    OBSTACLE_BUFFERS, /* the ring of receive buffers */
    OBSTACLE_MEMORY,  /* the engine's own memory */
    OBSTACLE_CONFIG,  /* numbers out of range */
};

/* kernel.io_uring_disabled where it cannot be read: before Linux 6.6, or /proc is hidden. */
#define OBSTACLE_SYSCTL_UNKNOWN (-1)

struct obstacle {
    enum obstacle_step step;
    int error;                  /* an errno, > 0 */
    int io_uring_disabled;      /* kernel.io_uring_disabled: 0..2, or OBSTACLE_SYSCTL_UNKNOWN */
    bool is_seccomp_filtered;   /* this process runs under a seccomp filter */
    const char *kernel_release; /* as uname -r prints it */
    const char *missing;        /* OBSTACLE_OPCODES: their names; else unused */
};

/**
 * One sentence from what failed alone.
 *
 * returns   lives for ever
 */
const char *obstacle_summary(enum obstacle_step step, int error);

/** The same with what is known about this machine: which of several causes it is. */
void obstacle_describe(const struct obstacle *obstacle, char ret_text[static OBSTACLE_TEXT_MAX]);
