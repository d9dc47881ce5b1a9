#include "server/net/listener.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct address parsed(const char *text)
{
    struct address address;
    struct sentence error;
    assert_int_equal(address_parse(span_of_string(text), &address, &error), 0);
    return address;
}

static bool can_connect(const struct address *address)
{
    int fd = socket(address->name.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool is_connected = connect(fd, &address->name.any, address->name_bytes) == 0;
    assert_int_equal(close(fd), 0);
    return is_connected;
}

static void open_takes_a_free_port_and_says_which(void **state)
{
    (void)state;
    struct address address = parsed("127.0.0.1:0");
    struct listener listener;
    assert_int_equal(listener_open(&address, &listener), 0);
    assert_true(ntohs(listener.address.name.ipv4.sin_port) > 0);
    assert_true(can_connect(&listener.address));
    listener_close(&listener);
    assert_int_equal(listener.fd, -1);
}

static void open_refuses_a_port_in_use(void **state)
{
    (void)state;
    struct address address = parsed("127.0.0.1:0");
    struct listener first;
    struct listener second;
    assert_int_equal(listener_open(&address, &first), 0);
    assert_int_equal(listener_open(&first.address, &second), -EADDRINUSE);
    assert_non_null(strstr(listener_advice(-EADDRINUSE), "port 0"));
    listener_close(&first);
}

static void open_replaces_only_a_stale_unix_socket(void **state)
{
    (void)state;
    char directory[] = "/tmp/turntable-listener-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char text[128];
    (void)snprintf(text, sizeof(text), "unix:%s/socket", directory);
    struct address address = parsed(text);
    struct listener first;
    struct listener second;
    assert_int_equal(listener_open(&address, &first), 0);
    assert_int_equal(listener_open(&address, &second), -EADDRINUSE);

    assert_int_equal(close(first.fd), 0); /* as if its server had died: the file stays */
    assert_int_equal(listener_open(&address, &second), 0);
    assert_true(can_connect(&second.address));
    listener_close(&second);
    assert_int_equal(access(text + strlen("unix:"), F_OK), -1);
    assert_int_equal(rmdir(directory), 0);
}

static void open_of_every_address_takes_ipv4(void **state)
{
    (void)state;
    struct address address = parsed("*:0");
    struct listener listener;
    assert_int_equal(listener_open(&address, &listener), 0);
    struct address loopback = parsed("127.0.0.1:1");
    loopback.name.ipv4.sin_port = listener.address.family == ADDRESS_IPV6
                                      ? listener.address.name.ipv6.sin6_port
                                      : listener.address.name.ipv4.sin_port;
    assert_true(can_connect(&loopback));
    listener_close(&listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_takes_a_free_port_and_says_which),
        cmocka_unit_test(open_refuses_a_port_in_use),
        cmocka_unit_test(open_replaces_only_a_stale_unix_socket),
        cmocka_unit_test(open_of_every_address_takes_ipv4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
