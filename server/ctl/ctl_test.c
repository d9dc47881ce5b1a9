#include "server/ctl/ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config/product.h"
#include "server/base/check.h"
#include "server/ctl/fake_server.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

static const char status_answer[] = OK_HEAD
    "{\"version\": \"1.2.3\", \"kernel\": \"6.18\", \"engine\": \"uring\", \"files\": \"fixed\","
    " \"lifetime\": \"per-slot\", \"freshness\": \"watch\", \"state\": \"serving\","
    " \"uptime_seconds\": 11520, \"workers\": 2,"
    " \"listeners\": [\"http://127.0.0.1:8080\", \"unix:/run/\\u001b[2J\"],"
    " \"generation\": 42, \"generations_draining\": 1, \"versions_live\": 120,"
    " \"versions_retired\": 1000, \"versions_released\": 997, \"versions_evicted\": 3,"
    " \"slots\": {\"free\": 8069, \"live\": 120, \"retiring\": 3}, \"open_files\": 118,"
    " \"memory_bytes\": 1258291, \"watches\": 14, \"unwatched\": 0, \"watch_overflows\": 0,"
    " \"connections\": {\"active\": 12, \"idle\": 52}, \"requests\": 1234567,"
    " \"responses\": {\"2xx\": 1234500, \"3xx\": 60, \"4xx\": 7, \"5xx\": 0},"
    " \"bytes_sent\": 13207024435, \"aborted\": 4,"
    " \"limit_hits\": {\"table_slots\": 3, \"connections\": 0, \"watches\": 1}}";

static const char status_shown[] =
    "turntable    1.2.3, serving for 3 h 12 min, Linux 6.18\n"
    "engine       uring, files fixed, lifetime per-slot, freshness watch, 2 workers\n"
    "listens      http://127.0.0.1:8080\n"
    "             unix:/run/?[2J\n"
    "generation   42, 1 draining\n"
    "versions     120 live; 1000 retired, of these 3 not yet released; 3 evicted\n"
    "slots        8069 free, 120 live, 3 retiring\n"
    "files        118 open, 1.2 MiB in memory\n"
    "watches      14 directories, 0 paths unwatched, 0 overflows\n"
    "connections  12 active, 52 idle\n"
    "requests     1234567\n"
    "answers      2xx 1234500, 3xx 60, 4xx 7, 5xx 0; 4 aborted\n"
    "sent         12.3 GiB\n"
    "limits hit   table_slots 3\n"
    "             watches 1\n";

/* What a command line did. */
struct outcome {
    enum ctl_exit status;
    char *out;
    char *err;
};

static struct outcome run(const char *const *words)
{
    struct outcome outcome;
    int argc = 0;
    while (words[argc] != NULL) {
        argc++;
    }
    size_t out_bytes;
    size_t err_bytes;
    FILE *out = open_memstream(&outcome.out, &out_bytes);
    FILE *err = open_memstream(&outcome.err, &err_bytes);
    assert_true(out != NULL && err != NULL);
    outcome.status = ctl_run(argc, (char *const *)words, out, err);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(fclose(err), 0);
    return outcome;
}

static void outcome_deinit(struct outcome *outcome)
{
    free(outcome->out);
    free(outcome->err);
}

/* Runs a command against a server that gives `answer`. */
static struct outcome run_against(const char *answer, const char *verb, const char *option)
{
    struct fake_server server;
    fake_server_start(&server, answer);
    struct address_text admin = address_format(&server.address);
    const char *words[] = {"turntablectl", "--admin", admin.text, verb, option, NULL};
    struct outcome outcome = run(words);
    fake_server_stop(&server);
    return outcome;
}

static void ctl_shows_the_status(void **state)
{
    (void)state;
    struct outcome outcome = run_against(status_answer, "status", NULL);
    assert_int_equal(outcome.status, CTL_EXIT_OK);
    assert_string_equal(outcome.out, status_shown);
    assert_string_equal(outcome.err, "");
    outcome_deinit(&outcome);
}

static void ctl_survives_a_status_without_fields(void **state)
{
    (void)state;
    struct outcome outcome =
        run_against(OK_HEAD "{\"slots\": 7, \"requests\": -1, \"version\": []}", "status", NULL);
    assert_int_equal(outcome.status, CTL_EXIT_OK);
    assert_non_null(strstr(outcome.out, "turntable    ?, ? for 0 s, Linux ?\n"));
    assert_non_null(strstr(outcome.out, "requests     0\n"));
    assert_non_null(strstr(outcome.out, "limits hit   none\n"));
    outcome_deinit(&outcome);
}

static void ctl_passes_json_on(void **state)
{
    (void)state;
    struct outcome outcome = run_against(OK_HEAD "{\"b\":1,\"a\":\"\\u001b\"}", "status", "--json");
    assert_int_equal(outcome.status, CTL_EXIT_OK);
    assert_string_equal(outcome.out, "{\n  \"b\": 1,\n  \"a\": \"\\u001B\"\n}\n");
    outcome_deinit(&outcome);
}

static void ctl_shows_generations(void **state)
{
    (void)state;
    struct outcome outcome =
        run_against(OK_HEAD "{\"generation\": 9, \"generations_draining\": 2,"
                            " \"generations_drained\": 7, \"freshness_mean_us\": 850,"
                            " \"drain_mean_us\": 12345}",
                    "generations", NULL);
    assert_int_equal(outcome.status, CTL_EXIT_OK);
    assert_string_equal(outcome.out,
                        "generation   9\n"
                        "draining     2\n"
                        "drained      7, on average 12.3 ms after the change was noticed\n"
                        "freshness    every worker serves a change 850 us after it was noticed, "
                        "on average\n");
    outcome_deinit(&outcome);
}

static void ctl_fails_when_the_server_says_no(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        const char *want;
    } cases[] = {
        {"HTTP/1.1 503 Service Unavailable\r\n\r\n", "the server says 503 Service Unavailable"},
        {OK_HEAD "[1]", "not what turntable says: no JSON object"},
        {OK_HEAD "\033[2J", "not what turntable says: "},
        {OK_HEAD, "not what turntable says: "},
        {"SSH-2.0-OpenSSH\r\n", "gives no answer: Protocol error"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct outcome outcome = run_against(cases[i].answer, "status", NULL);
        print_message("%s", outcome.err);
        assert_int_equal(outcome.status, CTL_EXIT_REFUSED);
        assert_non_null(strstr(outcome.err, cases[i].want));
        assert_null(strchr(outcome.err, '\033'));
        assert_string_equal(outcome.out, "");
        outcome_deinit(&outcome);
    }
}

static void ctl_says_where_it_looked_for_a_server(void **state)
{
    (void)state;
    static const char *const words[] = {"turntablectl", "status", "--admin=unix:/nowhere/x", NULL};
    struct outcome outcome = run(words);
    assert_int_equal(outcome.status, CTL_EXIT_NO_SERVER);
    assert_non_null(strstr(outcome.err, "tried 'unix:/nowhere/x' (No such file or directory)"));
    assert_non_null(strstr(outcome.err, "turntablectl --admin unix:PATH"));
    outcome_deinit(&outcome);
}

/* Whoever starts the server and whoever asks may have different environments. */
static void ctl_tries_every_default_place(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, status_answer);
    assert_int_equal(setenv("RUNTIME_DIRECTORY", "/nowhere", 1), 0);
    static const char *const words[] = {"turntablectl", "status", NULL};
    assert_int_equal(setenv("XDG_RUNTIME_DIR", "/nowhere/either", 1), 0);
    struct outcome outcome = run(words);
    if (outcome.status == CTL_EXIT_NO_SERVER) { /* else one of this machine's answered */
        assert_non_null(strstr(outcome.err, "'unix:/nowhere/admin.sock'"));
        assert_non_null(strstr(outcome.err, "'unix:/nowhere/either/turntable/admin.sock'"));
    }
    outcome_deinit(&outcome);

    assert_int_equal(setenv("RUNTIME_DIRECTORY", server.folder, 1), 0);
    outcome = run(words);
    assert_int_equal(outcome.status, CTL_EXIT_OK);
    assert_string_equal(outcome.out, status_shown);
    outcome_deinit(&outcome);
    fake_server_stop(&server);
    assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
}

static void ctl_refuses_wrong_usage(void **state)
{
    (void)state;
    static const char *const command[] = {"turntablectl", "staus", NULL};
    struct outcome outcome = run(command);
    assert_int_equal(outcome.status, CTL_EXIT_USAGE);
    assert_non_null(strstr(outcome.err, "did you mean 'status'?"));
    outcome_deinit(&outcome);
    static const char *const address[] = {"turntablectl", "--admin", "/run/x", "status", NULL};
    outcome = run(address);
    assert_int_equal(outcome.status, CTL_EXIT_USAGE);
    assert_non_null(strstr(outcome.err, "a path needs 'unix:' before it"));
    outcome_deinit(&outcome);
}

static void ctl_tells_of_itself(void **state)
{
    (void)state;
    static const char *const help[] = {"turntablectl", "--help", NULL};
    struct outcome outcome = run(help);
    assert_int_equal(outcome.status, CTL_EXIT_OK);
    assert_memory_equal(outcome.out, "Usage: turntablectl ", 20);
    outcome_deinit(&outcome);
    static const char *const version[] = {"turntablectl", "--version", NULL};
    outcome = run(version);
    assert_string_equal(outcome.out, "turntablectl " PRODUCT_VERSION "\n");
    outcome_deinit(&outcome);
}

static void ctl_fails_when_it_cannot_write(void **state)
{
    (void)state;
    static const char *const words[] = {"turntablectl", "--help", NULL};
    char *text = NULL;
    size_t bytes = 0;
    FILE *full = fopen("/dev/full", "we");
    FILE *err = open_memstream(&text, &bytes);
    assert_true(full != NULL && err != NULL);
    assert_int_equal(ctl_run(2, (char *const *)words, full, err), CTL_EXIT_REFUSED);
    (void)fclose(full); /* it failed already */
    assert_int_equal(fclose(err), 0);
    assert_non_null(strstr(text, "cannot write the answer: No space left on device"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ctl_shows_the_status),
        cmocka_unit_test(ctl_survives_a_status_without_fields),
        cmocka_unit_test(ctl_passes_json_on),
        cmocka_unit_test(ctl_shows_generations),
        cmocka_unit_test(ctl_fails_when_the_server_says_no),
        cmocka_unit_test(ctl_says_where_it_looked_for_a_server),
        cmocka_unit_test(ctl_tries_every_default_place),
        cmocka_unit_test(ctl_refuses_wrong_usage),
        cmocka_unit_test(ctl_tells_of_itself),
        cmocka_unit_test(ctl_fails_when_it_cannot_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
