/* A callback that calls back into the table is stopped, whatever it calls. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/table/slot_table.h"

struct reentry {
    struct slot_table *table;
    int call;
};

#define REENTRY_CALLS 8

/* What a callback must not do. */
static void reenter(void *context, struct version *version)
{
    struct reentry *reentry = context;
    const struct slot_update clear = {.slot_index = 1, .fd = -1};
    struct slot_update update;
    switch (reentry->call) {
    case 0:
        version = slot_table_publish(reentry->table, version) == SLOT_NONE ? version : NULL;
        break;
    case 1:
        (void)slot_table_retire(reentry->table, version->key);
        break;
    case 2:
        slot_table_retire_all(reentry->table);
        break;
    case 3:
        slot_table_acquire(reentry->table, 1);
        break;
    case 4:
        slot_table_release(reentry->table, 1);
        break;
    case 5:
        (void)slot_table_take_updates(reentry->table, &update, 1);
        break;
    case 6:
        slot_table_on_updated(reentry->table, &clear, true);
        break;
    default:
        slot_table_on_tag(reentry->table, 1, 1);
        break;
    }
}

/* Slot 0 is released, and its callback makes the call. */
static void release_with_call(int call)
{
    struct reentry reentry = {.call = call};
    const struct slot_table_config config = {
        .slot_count = 8, .is_registered = true, .context = &reentry, .on_released = reenter};
    struct version memory = {.key = SPAN("memory"), .fd = -1};
    if (slot_table_create(&config, &reentry.table) == 0 &&
        slot_table_publish(reentry.table, &memory) == 0) {
        (void)slot_table_retire(reentry.table, memory.key);
    }
    slot_table_destroy(reentry.table);
}

/* What a child process that does so says before it ends. */
static void message_of_call(int call, char *ret_message, size_t message_max)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(pipe_fds[1], STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        release_with_call(call);
        _exit(0);
    }
    (void)close(pipe_fds[1]);
    ssize_t bytes = read(pipe_fds[0], ret_message, message_max - 1); /* one short write */
    ret_message[bytes > 0 ? bytes : 0] = '\0';
    (void)close(pipe_fds[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void callback_that_reenters_is_a_bug(void **state)
{
    (void)state;
    for (int call = 0; call < REENTRY_CALLS; call++) {
        char message[256];
        message_of_call(call, message, sizeof(message));
        print_message("call %d: %s", call, message);
        assert_non_null(strstr(message, "is_calling"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callback_that_reenters_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
