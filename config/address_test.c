#include "config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* 107 bytes: the longest path that leaves room for the NUL. */
#define TEN  "0123456789"
#define LONG "/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "123456"

static struct address parse(const char *text)
{
    struct address address;
    struct sentence sentence = {.text = ""};
    int rc = address_parse(span_of_string(text), &address, &sentence);
    if (rc < 0) {
        fail_msg("'%s': %s", text, sentence.text);
    }
    return address;
}

static void address_parses_each_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum address_family family;
        bool is_dual_stack;
        uint16_t port;
        const char *want; /* as it is formatted */
    } cases[] = {
        {"127.0.0.1:8080", ADDRESS_IPV4, false, 8080, "127.0.0.1:8080"},
        {"0.0.0.0:0", ADDRESS_IPV4, false, 0, "0.0.0.0:0"},
        {"localhost:80", ADDRESS_IPV4, false, 80, "127.0.0.1:80"},
        {"[::1]:8443", ADDRESS_IPV6, false, 8443, "[::1]:8443"},
        {"[::]:80", ADDRESS_IPV6, false, 80, "[::]:80"},
        {"[0:0:0:0:0:0:0:1]:65535", ADDRESS_IPV6, false, 65535, "[::1]:65535"},
        {"*:80", ADDRESS_IPV6, true, 80, "*:80"},
        {":80", ADDRESS_IPV6, true, 80, "*:80"},
        {":00080", ADDRESS_IPV6, true, 80, "*:80"},
        {"unix:/run/turntable.sock", ADDRESS_UNIX, false, 0, "unix:/run/turntable.sock"},
        {"unix:a,b", ADDRESS_UNIX, false, 0, "unix:a,b"},
        {"unix:" LONG, ADDRESS_UNIX, false, 0, "unix:" LONG},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("%s\n", cases[i].text);
        struct address address = parse(cases[i].text);
        assert_int_equal(address.family, cases[i].family);
        assert_int_equal(address.is_dual_stack, cases[i].is_dual_stack);
        assert_int_equal(address_port(&address), cases[i].port);
        assert_string_equal(address_format(&address).text, cases[i].want);
    }
}

static void address_is_ready_for_bind(void **state)
{
    (void)state;
    struct address ipv4 = parse("127.0.0.1:8080");
    assert_int_equal(ipv4.name.any.sa_family, AF_INET);
    assert_int_equal(ipv4.name_bytes, sizeof(struct sockaddr_in));
    assert_int_equal(ipv4.name.ipv4.sin_port, htons(8080));
    struct address ipv6 = parse("[::1]:8080");
    assert_int_equal(ipv6.name.any.sa_family, AF_INET6);
    assert_int_equal(ipv6.name_bytes, sizeof(struct sockaddr_in6));
    struct address local = parse("unix:x");
    assert_int_equal(local.name.any.sa_family, AF_UNIX);
    assert_int_equal(local.name_bytes, sizeof(struct sockaddr_un));
}

static void address_refuses_the_rest(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        const char *sentence;
    } cases[] = {
        {SPAN(""), "found nothing; allowed: 127.0.0.1:8080"},
        {SPAN("8080"), "a port alone; ':PORT' is every address"},
        {SPAN("127.0.0.1"), "no port"},
        {SPAN("127.0.0.1:"), "the port is not a number from 0 to 65535"},
        {SPAN("127.0.0.1:65536"), "the port is not a number"},
        {SPAN("127.0.0.1:99999999999999999999"), "the port is not a number"},
        {SPAN("127.0.0.1:-1"), "the port is not a number"},
        {SPAN("127.0.0.1:80x"), "the port is not a number"},
        {SPAN("127.0.0.256:80"), "not a numeric address"},
        {SPAN("127.1:80"), "not a numeric address"},
        {SPAN("127.0.0.1\0:80"), "not a numeric address"},
        {SPAN("example.org:80"), "names are not looked up"},
        {SPAN("::1:80"), "an IPv6 address stands in brackets"},
        {SPAN("[::1]"), "no port follows the bracket"},
        {SPAN("[::1]80"), "no port follows the bracket"},
        {SPAN("[::1]:x"), "the port is not a number"},
        {SPAN("[::1:80"), "the bracket is not closed"},
        {SPAN("[]:80"), "what stands in the brackets is not an IPv6 address"},
        {SPAN("[::g]:80"), "not an IPv6 address"},
        {SPAN("[127.0.0.1]:80"), "not an IPv6 address"},
        {SPAN("http://127.0.0.1:80"), "a URL"},
        {SPAN("/run/x.sock"), "a path needs 'unix:' before it"},
        {SPAN("unix:"), "no path"},
        {SPAN("unix:" LONG "7"), "the path has 108 bytes, the system takes up to 107"},
        {SPAN("unix:a\0b"), "the path holds a NUL"},
        {SPAN("[::1]:8443,tls"), "this build does not offer TLS listeners"},
        {SPAN("127.0.0.1:80,proxy"), "this build does not offer the PROXY protocol"},
        {SPAN("unix:/x,tls"), "this build does not offer TLS listeners"},
        {SPAN("127.0.0.1:80,tsl"), "but ',tls' is"},
        {SPAN("127.0.0.1:80,127.0.0.1:81"), "one address at a time"},
        {SPAN("127.0.0.1:80,"), "nothing after a comma"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address;
        struct sentence sentence = {.text = ""};
        int rc = address_parse(cases[i].text, &address, &sentence);
        print_message("%s\n", sentence.text);
        assert_int_equal(rc, -EINVAL);
        assert_non_null(strstr(sentence.text, cases[i].sentence));
    }
}

static void address_takes_another_port(void **state)
{
    (void)state;
    static const char *const texts[] = {"127.0.0.1:0", "[::1]:0", "*:0"};
    static const char *const want[] = {"127.0.0.1:99", "[::1]:99", "*:99"};
    for (size_t i = 0; i < 3; i++) {
        struct address address = parse(texts[i]);
        address_set_port(&address, 99);
        assert_string_equal(address_format(&address).text, want[i]);
    }
    struct address local = parse("unix:x");
    address_set_port(&local, 99);
    assert_string_equal(address_format(&local).text, "unix:x");
}

static void address_falls_back_to_ipv4(void **state)
{
    (void)state;
    struct address every = parse("*:80");
    struct address fallback = address_ipv4_fallback(&every);
    assert_string_equal(address_format(&fallback).text, "0.0.0.0:80");
}

static void address_knows_what_overlaps(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool want;
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80", true},
        {"127.0.0.1:80", "localhost:80", true},
        {"127.0.0.1:80", "127.0.0.1:81", false},
        {"127.0.0.1:80", "127.0.0.2:80", false},
        {"127.0.0.1:80", "0.0.0.0:80", true},
        {"127.0.0.1:0", "127.0.0.1:0", false},
        {"[::1]:80", "[::1]:80", true},
        {"[::1]:80", "[::2]:80", false},
        {"[::1]:80", "[::]:80", true},
        {"[::]:80", "0.0.0.0:80", false},
        {"[::]:80", "127.0.0.1:80", false},
        {"*:80", "127.0.0.1:80", true},
        {"*:80", "[::1]:80", true},
        {"*:80", ":80", true},
        {"*:80", "*:81", false},
        {"unix:a", "unix:a", true},
        {"unix:a", "unix:b", false},
        {"unix:a", "*:80", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("%s %s\n", cases[i].a, cases[i].b);
        struct address a = parse(cases[i].a);
        struct address b = parse(cases[i].b);
        assert_int_equal(address_overlaps(&a, &b), cases[i].want);
        assert_int_equal(address_overlaps(&b, &a), cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_parses_each_form),   cmocka_unit_test(address_is_ready_for_bind),
        cmocka_unit_test(address_refuses_the_rest),   cmocka_unit_test(address_takes_another_port),
        cmocka_unit_test(address_falls_back_to_ipv4), cmocka_unit_test(address_knows_what_overlaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
