#include "server/control/admin.h"

#include <errno.h>
#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"
#include "server/base/fault.h"
#include "server/control/admin_socket.h"

#define LARGE_BODY_BYTES (8 * 1024 * 1024)

#define REQUEST(method, target) method " " target " HTTP/1.1\r\nHost: x\r\n\r\n"

/* An admin listener on an address that only this process knows, and clients of it. */
struct rig {
    struct ev_loop *loop;
    int listen_fd;
    struct sockaddr_un address;
    socklen_t address_bytes;
    struct admin *admin;
    char received[65536];
    size_t received_bytes;
};

static uint32_t render_text(void *context, FILE *out)
{
    assert_non_null(context);
    (void)fputs("hello\n", out);
    return 200;
}

static uint32_t render_busy(void *context, FILE *out)
{
    (void)context;
    (void)fputs("busy\n", out);
    return 503;
}

static uint32_t render_large(void *context, FILE *out)
{
    (void)context;
    for (uint32_t i = 0; i < LARGE_BODY_BYTES / 16; i++) {
        (void)fputs("0123456789abcde\n", out);
    }
    return 200;
}

static const struct admin_page test_pages[] = {
    {"/", "text/plain", render_text},
    {"/busy", "text/plain", render_busy},
    {"/large", "text/plain", render_large},
};

static struct rig *rig_make(uint64_t deadline_ms)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->loop = ev_loop_new(EVFLAG_AUTO);
    assert_non_null(rig->loop);
    rig->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(rig->listen_fd >= 0);
    /* Bound to the family alone, it gets an abstract name of its own (unix(7), autobind). */
    rig->address.sun_family = AF_UNIX;
    assert_int_equal(bind(rig->listen_fd, (struct sockaddr *)&rig->address, sizeof(sa_family_t)),
                     0);
    rig->address_bytes = sizeof(rig->address);
    assert_int_equal(
        getsockname(rig->listen_fd, (struct sockaddr *)&rig->address, &rig->address_bytes), 0);
    assert_int_equal(listen(rig->listen_fd, 64), 0);
    struct admin_config config = {
        .loop = rig->loop,
        .listen_fd = rig->listen_fd,
        .pages = test_pages,
        .page_count = ARRAY_COUNT(test_pages),
        .context = rig,
        .clock = clock_system(),
        .deadline_ms = deadline_ms,
    };
    assert_int_equal(admin_create(&config, &rig->admin), 0);
    return rig;
}

static int rig_create(void **state)
{
    *state = rig_make(ADMIN_DEADLINE_MS);
    return 0;
}

static int rig_create_hasty(void **state)
{
    *state = rig_make(1);
    return 0;
}

static int rig_destroy(void **state)
{
    struct rig *rig = *state;
    admin_destroy(rig->admin);
    (void)close(rig->listen_fd);
    ev_loop_destroy(rig->loop);
    free(rig);
    return 0;
}

static int rig_connect(struct rig *rig)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&rig->address, rig->address_bytes), 0);
    return fd;
}

/* Lets the listener do all that it can do without waiting. */
static void rig_turn(struct rig *rig)
{
    for (int i = 0; i < 4; i++) {
        (void)ev_run(rig->loop, EVRUN_NOWAIT);
    }
}

static void client_send(int fd, const char *bytes, size_t count)
{
    assert_int_equal(send(fd, bytes, count, MSG_NOSIGNAL), count);
}

/* Reads to the end of the stream, and closes. */
static const char *client_finish(struct rig *rig, int fd)
{
    rig->received_bytes = 0;
    for (int idle = 0; idle < 100; idle++) {
        rig_turn(rig);
        ssize_t got = recv(fd, rig->received + rig->received_bytes,
                           sizeof(rig->received) - 1 - rig->received_bytes, 0);
        if (got == 0) {
            (void)close(fd);
            rig_turn(rig);
            rig->received[rig->received_bytes] = '\0';
            return rig->received;
        }
        if (got > 0) {
            rig->received_bytes += (size_t)got;
            idle = 0;
        } else {
            assert_int_equal(errno, EAGAIN);
        }
    }
    fail_msg("the connection was not closed");
    return NULL;
}

static const char *rig_ask(struct rig *rig, const char *request)
{
    int fd = rig_connect(rig);
    client_send(fd, request, strlen(request));
    return client_finish(rig, fd);
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void admin_answers_a_page(void **state)
{
    struct rig *rig = *state;
    const char *answer = rig_ask(rig, REQUEST("GET", "/"));
    assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(answer, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Length: 6\r\n"));
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(answer, "\r\nDate: "));
    assert_string_equal(body_of(answer), "hello\n");
    assert_int_equal(admin_connection_count(rig->admin), 0);
    assert_int_equal(admin_counters(rig->admin)->requests, 1);
}

static void admin_answers_by_method_and_path(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *request;
        const char *want_line;
        const char *want_body;
        const char *want_field;
    } cases[] = {
        {REQUEST("GET", "/?x=1"), "HTTP/1.1 200 OK\r\n", "hello\n", ""},
        {"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "hello\n", ""},
        {REQUEST("HEAD", "/"), "HTTP/1.1 200 OK\r\n", "", "Content-Length: 6\r\n"},
        {REQUEST("GET", "/busy"), "HTTP/1.1 503 Service Unavailable\r\n", "busy\n", ""},
        {REQUEST("GET", "/nothing"), "HTTP/1.1 404 Not Found\r\n", "404 Not Found\n", ""},
        {REQUEST("HEAD", "/nothing"), "HTTP/1.1 404 Not Found\r\n", "", ""},
        {REQUEST("GET", "/busy/"), "HTTP/1.1 404 Not Found\r\n", "404 Not Found\n", ""},
        {REQUEST("GET", "http://h"), "HTTP/1.1 404 Not Found\r\n", "404 Not Found\n", ""},
        {REQUEST("POST", "/"), "HTTP/1.1 405 Method Not Allowed\r\n", "405 Method Not Allowed\n",
         "Allow: GET, HEAD\r\n"},
        {REQUEST("DELETE", "/no"), "HTTP/1.1 405 Method Not Allowed\r\n",
         "405 Method Not Allowed\n", "Allow: GET, HEAD\r\n"},
        {REQUEST("BREW", "/"), "HTTP/1.1 501 Not Implemented\r\n", "501 Not Implemented\n", ""},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 Bad Request\n", ""},
        {"\x16\x03\x01\x02\x03", "HTTP/1.1 400 Bad Request\r\n", "400 Bad Request\n", ""},
        {"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n",
         "505 HTTP Version Not Supported\n", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s\n", cases[i].request);
        const char *answer = rig_ask(rig, cases[i].request);
        assert_memory_equal(answer, cases[i].want_line, strlen(cases[i].want_line));
        assert_string_equal(body_of(answer), cases[i].want_body);
        assert_non_null(strstr(answer, cases[i].want_field));
    }
    assert_int_equal(admin_connection_count(rig->admin), 0);
}

static void admin_takes_requests_in_pieces(void **state)
{
    struct rig *rig = *state;
    static const char request[] = REQUEST("GET", "/");
    const size_t bytes = sizeof(request) - 1;
    for (size_t cut = 1; cut < bytes; cut++) {
        int fd = rig_connect(rig);
        client_send(fd, request, cut);
        rig_turn(rig);
        client_send(fd, request + cut, bytes - cut);
        assert_string_equal(body_of(client_finish(rig, fd)), "hello\n");
    }
    int fd = rig_connect(rig);
    for (size_t i = 0; i < bytes; i++) {
        client_send(fd, request + i, 1);
        rig_turn(rig);
    }
    assert_string_equal(body_of(client_finish(rig, fd)), "hello\n");
}

/* A request whose head has exactly `bytes` bytes. */
static char *make_request(size_t bytes)
{
    static const char front[] = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
    static char request[ADMIN_HEAD_MAX + 2];
    assert_true(bytes < sizeof(request));
    memset(request, 'a', bytes);
    memcpy(request, front, sizeof(front) - 1);
    memcpy(request + bytes - 4, "\r\n\r\n", 5);
    return request;
}

static void admin_refuses_a_head_that_is_too_long(void **state)
{
    struct rig *rig = *state;
    assert_memory_equal(rig_ask(rig, make_request(ADMIN_HEAD_MAX)), "HTTP/1.1 200 OK\r\n", 17);
    assert_memory_equal(rig_ask(rig, make_request(ADMIN_HEAD_MAX + 1)), "HTTP/1.1 431 ", 13);
    assert_int_equal(admin_connection_count(rig->admin), 0);
}

static void admin_sends_a_large_answer_whole(void **state)
{
    struct rig *rig = *state;
    int fd = rig_connect(rig);
    client_send(fd, REQUEST("GET", "/large"), strlen(REQUEST("GET", "/large")));
    size_t total_bytes = 0;
    ssize_t got = -1;
    while (got != 0) {
        rig_turn(rig);
        got = recv(fd, rig->received, sizeof(rig->received), 0);
        assert_true(got >= 0 || errno == EAGAIN);
        total_bytes += got > 0 ? (size_t)got : 0;
    }
    assert_true(total_bytes > LARGE_BODY_BYTES);
    assert_true(total_bytes < LARGE_BODY_BYTES + 1024);
    (void)close(fd);
}

static void admin_turns_the_33rd_connection_away(void **state)
{
    struct rig *rig = *state;
    int fds[ADMIN_CONNECTIONS_MAX];
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        fds[i] = rig_connect(rig);
        rig_turn(rig);
    }
    assert_int_equal(admin_connection_count(rig->admin), ADMIN_CONNECTIONS_MAX);
    assert_memory_equal(rig_ask(rig, REQUEST("GET", "/")), "HTTP/1.1 503 ", 13);
    assert_int_equal(admin_counters(rig->admin)->connections_full, 1);

    (void)close(fds[7]); /* one leaves: there is room for one */
    rig_turn(rig);
    assert_memory_equal(rig_ask(rig, REQUEST("GET", "/")), "HTTP/1.1 200 ", 13);
    client_send(fds[0], REQUEST("GET", "/"), strlen(REQUEST("GET", "/")));
    assert_memory_equal(client_finish(rig, fds[0]), "HTTP/1.1 200 ", 13); /* the first lives */
    for (uint32_t i = 1; i < ADMIN_CONNECTIONS_MAX; i++) {
        if (i != 7) {
            (void)close(fds[i]);
        }
    }
    rig_turn(rig);
    assert_int_equal(admin_connection_count(rig->admin), 0);
}

static void admin_frees_a_connection_that_breaks(void **state)
{
    struct rig *rig = *state;
    int fd = rig_connect(rig);
    client_send(fd, "GET /", 5);
    rig_turn(rig);
    assert_int_equal(admin_connection_count(rig->admin), 1);
    (void)close(fd);
    rig_turn(rig);
    assert_int_equal(admin_connection_count(rig->admin), 0);
    assert_int_equal(admin_counters(rig->admin)->requests, 0);
}

/* Lets time pass until no connection is left: each turn waits for the next event. */
static void rig_wait_until_empty(struct rig *rig)
{
    while (admin_connection_count(rig->admin) > 0) {
        (void)ev_run(rig->loop, EVRUN_ONCE);
    }
}

static void admin_drops_a_slow_client_at_the_deadline(void **state)
{
    struct rig *rig = *state;
    int fd = rig_connect(rig);
    client_send(fd, "GET /", 5);
    (void)ev_run(rig->loop, EVRUN_NOWAIT);
    rig_wait_until_empty(rig);
    assert_int_equal(admin_counters(rig->admin)->timeouts, 1);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    (void)close(fd);
}

static void admin_drops_a_slow_reader_at_the_deadline(void **state)
{
    struct rig *rig = *state;
    int fd = rig_connect(rig);
    client_send(fd, REQUEST("GET", "/large"), strlen(REQUEST("GET", "/large")));
    while (admin_counters(rig->admin)->timeouts == 0) {
        (void)ev_run(rig->loop, EVRUN_ONCE);
    }
    assert_int_equal(admin_connection_count(rig->admin), 0);
    (void)close(fd);
}

static void admin_counts_no_timeout_once_the_answer_is_sent(void **state)
{
    struct rig *rig = *state;
    int fd = rig_connect(rig);
    client_send(fd, REQUEST("GET", "/"), strlen(REQUEST("GET", "/")));
    while (admin_counters(rig->admin)->requests == 0 && admin_counters(rig->admin)->timeouts == 0) {
        (void)ev_run(rig->loop, EVRUN_ONCE);
    }
    uint64_t timeouts = admin_counters(rig->admin)->timeouts; /* a machine that slow may have one */
    rig_wait_until_empty(rig);
    assert_int_equal(admin_counters(rig->admin)->timeouts, timeouts);
    (void)close(fd);
}

static void admin_destroy_drops_what_is_open(void **state)
{
    struct rig *rig = *state;
    int fds[3];
    for (uint32_t i = 0; i < 3; i++) {
        fds[i] = rig_connect(rig);
    }
    client_send(fds[1], "GET /", 5);
    client_send(fds[2], REQUEST("GET", "/large"), strlen(REQUEST("GET", "/large")));
    rig_turn(rig);
    assert_int_equal(admin_connection_count(rig->admin), 3);
    admin_destroy(rig->admin);
    rig->admin = NULL;
    for (uint32_t i = 0; i < 3; i++) {
        (void)close(fds[i]);
    }
}

/* Over TCP, closing with unread bytes would reset the connection and lose the answer. */
static void admin_lets_the_answer_arrive_before_it_closes(void **state)
{
    struct rig *rig = *state;
    static char request[100000] = REQUEST("GET", "/");
    struct address address;
    struct sentence error;
    struct admin_socket listener;
    const char *what;
    assert_int_equal(address_parse(SPAN("127.0.0.1:0"), &address, &error), 0);
    assert_int_equal(admin_socket_open(&address, &listener, &what), 0);
    struct admin_config config = {
        .loop = rig->loop,
        .listen_fd = listener.fd,
        .pages = test_pages,
        .page_count = ARRAY_COUNT(test_pages),
        .context = rig,
        .clock = clock_system(),
        .deadline_ms = ADMIN_DEADLINE_MS,
    };
    struct admin *admin;
    assert_int_equal(admin_create(&config, &admin), 0);

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &listener.address.name.any, listener.address.name_bytes), 0);
    client_send(fd, request, sizeof(request)); /* much more than one request */
    while (admin_counters(admin)->requests == 0) {
        (void)ev_run(rig->loop, EVRUN_ONCE);
    }
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    while (admin_connection_count(admin) > 0) {
        (void)ev_run(rig->loop, EVRUN_ONCE);
    }
    assert_true(recv(fd, rig->received, sizeof(rig->received), MSG_WAITALL) > 0);
    assert_memory_equal(rig->received, "HTTP/1.1 200 OK\r\n", 17);
    (void)close(fd);
    admin_destroy(admin);
    admin_socket_close(&listener);
}

#ifdef TURNTABLE_FAULT_POINTS
static void admin_rests_while_there_is_no_descriptor(void **state)
{
    struct rig *rig = *state;
    fault_arm("admin_accept", 0, 1, EMFILE);
    int fd = rig_connect(rig);
    client_send(fd, REQUEST("GET", "/"), strlen(REQUEST("GET", "/")));
    rig_turn(rig);
    assert_int_equal(admin_counters(rig->admin)->accept_failures, 1);
    assert_int_equal(admin_connection_count(rig->admin), 0);
    while (admin_counters(rig->admin)->requests == 0) {
        (void)ev_run(rig->loop, EVRUN_ONCE); /* the rest ends, and it accepts */
    }
    assert_string_equal(body_of(client_finish(rig, fd)), "hello\n");
    assert_int_equal(admin_counters(rig->admin)->accept_failures, 1);
    fault_disarm_all();
}
#endif

#define RIG_TEST(test)   cmocka_unit_test_setup_teardown(test, rig_create, rig_destroy)
#define HASTY_TEST(test) cmocka_unit_test_setup_teardown(test, rig_create_hasty, rig_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(admin_answers_a_page),
        RIG_TEST(admin_answers_by_method_and_path),
        RIG_TEST(admin_takes_requests_in_pieces),
        RIG_TEST(admin_refuses_a_head_that_is_too_long),
        RIG_TEST(admin_sends_a_large_answer_whole),
        RIG_TEST(admin_turns_the_33rd_connection_away),
        RIG_TEST(admin_frees_a_connection_that_breaks),
        HASTY_TEST(admin_drops_a_slow_client_at_the_deadline),
        HASTY_TEST(admin_drops_a_slow_reader_at_the_deadline),
        HASTY_TEST(admin_counts_no_timeout_once_the_answer_is_sent),
        RIG_TEST(admin_destroy_drops_what_is_open),
        RIG_TEST(admin_lets_the_answer_arrive_before_it_closes),
#ifdef TURNTABLE_FAULT_POINTS
        RIG_TEST(admin_rests_while_there_is_no_descriptor),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
