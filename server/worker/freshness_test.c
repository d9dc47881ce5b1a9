/*
 * Law L6: what was cached before a change is not served to a request that was sent after it. The
 * gate by itself, then what a worker does while it is open.
 */
#include "server/worker/freshness.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/worker/rig_fixture.h"
#include "server/worker/worker_state.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* ---- the gate ---- */

static void gate_without_a_watch_knows_rounds_only(void **state)
{
    (void)state;
    struct freshness_gate gate = {.watch_fd = -1};
    assert_false(freshness_is_suspect(&gate));
    freshness_begin(&gate);
    assert_true(freshness_is_suspect(&gate));
    freshness_begin(&gate); /* a round that waits is followed by another */
    assert_true(freshness_is_suspect(&gate));
    freshness_finish(&gate);
    assert_false(freshness_is_suspect(&gate));
}

static void gate_sees_what_is_queued_and_what_is_being_taken_in(void **state)
{
    (void)state;
    char folder[] = "/tmp/turntable-gate-XXXXXX";
    char old_path[64];
    char new_path[64];
    char events[4096];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(old_path, sizeof(old_path), "%s/old", folder);
    (void)snprintf(new_path, sizeof(new_path), "%s/new", folder);
    assert_int_equal(mkdir(old_path, 0700), 0);
    struct freshness_gate gate = {.watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    assert_true(gate.watch_fd >= 0);
    assert_true(inotify_add_watch(gate.watch_fd, folder, IN_MOVE) >= 0);
    assert_false(freshness_is_suspect(&gate));

    assert_int_equal(rename(old_path, new_path), 0);
    assert_true(freshness_is_suspect(&gate)); /* at once: the event was queued in the call */
    freshness_begin(&gate);
    assert_true(freshness_is_suspect(&gate));
    assert_true(read(gate.watch_fd, events, sizeof(events)) > 0);
    assert_true(freshness_is_suspect(&gate)); /* read, not handed out yet */
    freshness_finish(&gate);
    assert_false(freshness_is_suspect(&gate));

    assert_int_equal(rmdir(new_path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(close(gate.watch_fd), 0);
}

static void gate_whose_watch_cannot_be_asked_is_suspect(void **state)
{
    (void)state;
    const struct freshness_gate gate = {.watch_fd = 1 << 20}; /* no such descriptor */
    assert_true(freshness_is_suspect(&gate));
}

/* ---- requests for what is cached ---- */

static struct rig *start(void **state)
{
    struct rig *rig = *state;
    rig_start(rig);
    return rig;
}

static void assert_answers(struct rig *rig, struct engine_token conn, const char *expected)
{
    rig_finish(rig, conn);
    assert_string_equal(rig_answers(rig, conn), expected);
}

static void cached_file_is_not_looked_at_while_nothing_changes(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *a = version_file(rig, "a", 10);
    version_put(rig, a);
    assert_int_equal(unlink(a->path), 0); /* nobody was told */
    const struct engine_token conn = rig_open(rig);
    rig_request(rig, conn, GET("/a"));
    assert_answers(rig, conn, "200 0123456789, ");
    assert_int_equal(RIG_COUNTER(rig, confirms), 0);
}

static void cached_file_that_stayed_is_confirmed_and_served(void **state)
{
    struct rig *rig = start(state);
    version_put(rig, version_file(rig, "a", 10));
    const struct engine_token conn = rig_open(rig);
    freshness_begin(&rig->gate);
    rig_request(rig, conn, GET("/a") GET("/a"));
    assert_answers(rig, conn, "200 0123456789, 200 0123456789, ");
    assert_int_equal(RIG_COUNTER(rig, confirms), 2);
    assert_int_equal(RIG_COUNTER(rig, misses), 0);
    freshness_finish(&rig->gate);
    rig_request(rig, conn, GET("/a"));
    assert_answers(rig, conn, "200 0123456789, 200 0123456789, 200 0123456789, ");
    assert_int_equal(RIG_COUNTER(rig, confirms), 2);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void set_mtime(const char *path, const struct timespec *mtime)
{
    const struct timespec times[2] = {*mtime, *mtime};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Ways in which a file stops being the one that was cached. */
enum change_kind {
    REMOVED,
    REPLACED,
    REPLACED_ALIKE,
    APPENDED,
    TOUCHED,
    CHMODDED,
    CHANGE_KINDS
};

/* `alike` was made in advance, with the same contents and times. */
static void change_file(const char *path, const char *alike, enum change_kind kind)
{
    FILE *file;
    switch (kind) {
    case REMOVED:
        assert_int_equal(unlink(path), 0);
        return;
    case REPLACED:
        write_text(alike, "something else");
        assert_int_equal(rename(alike, path), 0);
        return;
    case REPLACED_ALIKE:
        assert_int_equal(rename(alike, path), 0);
        return;
    case APPENDED:
        file = fopen(path, "a");
        assert_non_null(file);
        assert_true(fputs("more", file) >= 0);
        assert_int_equal(fclose(file), 0);
        return;
    case TOUCHED:
        set_mtime(path, &(struct timespec){.tv_sec = 1234567890});
        return;
    case CHMODDED:
        assert_int_equal(chmod(path, 0400), 0);
        return;
    case CHANGE_KINDS:
        break;
    }
    fail();
}

static void cached_file_that_changed_is_asked_for(void **state)
{
    struct rig *rig = start(state);
    for (enum change_kind kind = REMOVED; kind < CHANGE_KINDS; kind++) {
        char key[16];
        char request[64];
        char alike[128];
        (void)snprintf(key, sizeof(key), "%d", (int)kind);
        (void)snprintf(request, sizeof(request), GET("/%d"), (int)kind);
        struct hand_version *version = version_file(rig, key, 10);
        struct stat status;
        assert_int_equal(stat(version->path, &status), 0);
        (void)snprintf(alike, sizeof(alike), "%s.alike", version->path);
        write_text(alike, "0123456789");
        set_mtime(alike, &status.st_mtim);
        version_put(rig, version);

        freshness_begin(&rig->gate);
        change_file(version->path, alike, kind);
        const struct engine_token conn = rig_open(rig);
        rig_request(rig, conn, request);
        assert_int_equal(rig_state(rig, conn), CONN_PARKED);
        control_load(rig, 404, NULL);
        rig_turn(rig);
        assert_answers(rig, conn, "404, ");
        freshness_finish(&rig->gate);
        rig_end(rig, conn, ENGINE_RECEIVE, 0);
        (void)unlink(alike); /* left by those who did not use it */
    }
}

/* The gate is asked after the requests were received, and the mailbox is taken in after that. */
static void change_that_arrives_with_the_request_is_taken_in_first(void **state)
{
    struct rig *rig = start(state);
    struct hand_version *old = version_memory(rig, "a", "old");
    version_put(rig, old);
    const struct engine_token conn = rig_open(rig);
    rig_receive(rig, conn, GET("/a"));
    control_change(rig, old, version_memory(rig, "a", "new"));
    rig_turn(rig);
    assert_answers(rig, conn, "200 new, ");
    assert_int_equal(RIG_COUNTER(rig, confirms), 0);
}

/* ---- questions that were put before the request came ---- */

/* Both ask for "a"; the second joins the question of the first. */
static void ask_both(struct rig *rig, struct engine_token ret_conns[static 2])
{
    for (int i = 0; i < 2; i++) {
        ret_conns[i] = rig_open(rig);
        rig_request(rig, ret_conns[i], GET("/a"));
        assert_int_equal(rig_state(rig, ret_conns[i]), CONN_PARKED);
    }
    assert_string_equal(control_said(rig), "miss a, ");
}

static void joined_answer_is_believed_when_nothing_is_signalled(void **state)
{
    struct rig *rig = start(state);
    struct engine_token conns[2];
    ask_both(rig, conns);
    control_load(rig, 200, version_file(rig, "a", 10));
    rig_turn(rig);
    assert_answers(rig, conns[0], "200 0123456789, ");
    assert_answers(rig, conns[1], "200 0123456789, ");
    assert_int_equal(RIG_COUNTER(rig, confirms), 0);
}

static void joined_answer_is_believed_when_it_can_be_confirmed(void **state)
{
    struct rig *rig = start(state);
    struct engine_token conns[2];
    ask_both(rig, conns);
    freshness_begin(&rig->gate);
    control_load(rig, 200, version_file(rig, "a", 10));
    rig_turn(rig);
    assert_answers(rig, conns[0], "200 0123456789, ");
    assert_answers(rig, conns[1], "200 0123456789, ");
    assert_int_equal(RIG_COUNTER(rig, confirms), 1); /* the first put the question himself */
    freshness_finish(&rig->gate);
}

static void joined_answer_that_cannot_be_confirmed_is_asked_for_again(void **state)
{
    struct rig *rig = start(state);
    struct engine_token conns[2];
    ask_both(rig, conns);
    struct hand_version *old = version_file(rig, "a", 10);
    struct hand_version *new = version_memory(rig, "a", "new");
    freshness_begin(&rig->gate);
    assert_int_equal(unlink(old->path), 0); /* after the loader looked, before the second asked */
    control_load(rig, 200, old);
    rig_turn(rig);
    assert_answers(rig, conns[0], "200 0123456789, ");
    assert_int_equal(rig_state(rig, conns[1]), CONN_PARKED);
    assert_string_equal(control_said(rig), "miss a, ");
    control_change(rig, old, new);
    control_load(rig, 200, NULL);
    rig_turn(rig); /* still suspect, but this question was put for the second itself */
    assert_answers(rig, conns[1], "200 new, ");
    freshness_finish(&rig->gate);
}

static void joined_verdict_without_a_file_is_always_asked_for_again(void **state)
{
    struct rig *rig = start(state);
    struct engine_token conns[2];
    ask_both(rig, conns);
    const struct engine_token third = rig_open(rig);
    control_load(rig, 404, NULL);
    rig_turn(rig);
    assert_answers(rig, conns[0], "404, ");
    assert_int_equal(rig_state(rig, conns[1]), CONN_PARKED);
    assert_string_equal(control_said(rig), "miss a, ");

    rig_request(rig, third, GET("/a")); /* joins the second's own question */
    control_load(rig, 404, NULL);
    rig_turn(rig);
    assert_answers(rig, conns[1], "404, ");
    assert_int_equal(rig_state(rig, third), CONN_PARKED);
    control_load(rig, 200, version_memory(rig, "a", "made meanwhile"));
    rig_turn(rig);
    assert_answers(rig, third, "200 made meanwhile, ");
}

/* Several who joined ask again together: that question is younger than all of their requests. */
static void those_who_ask_again_share_one_question_and_believe_it(void **state)
{
    struct rig *rig = start(state);
    struct engine_token conns[4];
    for (int i = 0; i < 4; i++) {
        conns[i] = rig_open(rig);
        rig_request(rig, conns[i], GET("/a"));
    }
    control_load(rig, 404, NULL);
    rig_turn(rig);
    assert_string_equal(control_said(rig), "miss a, miss a, ");
    control_load(rig, 404, NULL);
    rig_turn(rig);
    for (int i = 0; i < 4; i++) {
        assert_answers(rig, conns[i], "404, ");
    }
    assert_string_equal(control_said(rig), "");
}

static void next_request_of_who_joined_starts_afresh(void **state)
{
    struct rig *rig = start(state);
    struct engine_token conns[2];
    ask_both(rig, conns);
    control_load(rig, 200, version_memory(rig, "a", "alpha"));
    rig_turn(rig);
    rig_finish(rig, conns[1]);
    rig_request(rig, conns[1], GET("/b"));
    control_load(rig, 404, NULL); /* its own question */
    rig_turn(rig);
    assert_answers(rig, conns[1], "200 alpha, 404, ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gate_without_a_watch_knows_rounds_only),
        cmocka_unit_test(gate_sees_what_is_queued_and_what_is_being_taken_in),
        cmocka_unit_test(gate_whose_watch_cannot_be_asked_is_suspect),
        TEST(cached_file_is_not_looked_at_while_nothing_changes),
        TEST(cached_file_that_stayed_is_confirmed_and_served),
        TEST(cached_file_that_changed_is_asked_for),
        TEST(change_that_arrives_with_the_request_is_taken_in_first),
        TEST(joined_answer_is_believed_when_nothing_is_signalled),
        TEST(joined_answer_is_believed_when_it_can_be_confirmed),
        TEST(joined_answer_that_cannot_be_confirmed_is_asked_for_again),
        TEST(joined_verdict_without_a_file_is_always_asked_for_again),
        TEST(those_who_ask_again_share_one_question_and_believe_it),
        TEST(next_request_of_who_joined_starts_afresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
