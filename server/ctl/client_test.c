#include "server/ctl/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/ctl/fake_server.h"

#define LONG_NS (60 * NS_PER_SEC)

static uint64_t in_ns(uint64_t duration_ns)
{
    return clock_monotonic_ns(clock_system()) + duration_ns;
}

/* Asks a server that gives `text`. */
static int ask(const char *text, uint64_t duration_ns, struct client_answer *ret_answer)
{
    struct fake_server server;
    fake_server_start(&server, text);
    int fd = client_connect(&server.address, clock_system(), in_ns(LONG_NS));
    assert_true(fd >= 0);
    int error = client_get(fd, "/status", clock_system(), in_ns(duration_ns), ret_answer);
    (void)close(fd);
    fake_server_stop(&server);
    if (error == 0) {
        assert_memory_equal(server.request, "GET /status HTTP/1.1\r\nHost: ", 28);
    }
    return error;
}

static void client_get_reads_an_answer(void **state)
{
    (void)state;
    struct client_answer answer;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nX: y\r\n\r\nbody\n", LONG_NS, &answer), 0);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.reason, "OK");
    assert_string_equal(answer.body, "body\n");
    client_answer_deinit(&answer);
    client_answer_deinit(&answer); /* twice is fine */

    assert_int_equal(ask("HTTP/1.0 503 No\033[2J\r\n\r\n", LONG_NS, &answer), 0);
    assert_int_equal(answer.status, 503);
    assert_string_equal(answer.reason, "No?[2J");
    assert_string_equal(answer.body, "");
    client_answer_deinit(&answer);
}

static void client_get_refuses_what_is_not_http(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 000 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct client_answer answer;
        print_message("%s\n", texts[i]);
        assert_int_equal(ask(texts[i], LONG_NS, &answer), -EPROTO);
    }
}

static void client_get_gives_up_at_the_deadline(void **state)
{
    (void)state;
    struct client_answer answer;
    assert_int_equal(ask(NULL, NS_PER_MS, &answer), -ETIMEDOUT);
}

static void client_get_refuses_an_answer_without_end(void **state)
{
    (void)state;
    char *text = malloc(CLIENT_ANSWER_MAX + 1);
    assert_non_null(text);
    memset(text, 'x', CLIENT_ANSWER_MAX);
    text[CLIENT_ANSWER_MAX] = '\0';
    struct client_answer answer;
    assert_int_equal(ask(text, LONG_NS, &answer), -EMSGSIZE);
    free(text);
}

static void client_connect_says_that_nobody_is_there(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, "");
    fake_server_stop(&server);
    assert_int_equal(client_connect(&server.address, clock_system(), in_ns(LONG_NS)), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_get_reads_an_answer),
        cmocka_unit_test(client_get_refuses_what_is_not_http),
        cmocka_unit_test(client_get_gives_up_at_the_deadline),
        cmocka_unit_test(client_get_refuses_an_answer_without_end),
        cmocka_unit_test(client_connect_says_that_nobody_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
