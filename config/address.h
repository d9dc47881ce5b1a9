/*
 * Addresses to listen on, as people write them:
 *
 *     127.0.0.1:8080     one IPv4 address
 *     [::1]:8443         one IPv6 address; [::] is every IPv6 address and no IPv4 one
 *     *:80 or :80        every address: [::] that takes IPv4 as well, and where the machine has no
 *                        IPv6, 0.0.0.0
 *     localhost:80       127.0.0.1
 *     unix:PATH          a socket in the file system
 *
 * Names are not looked up: an answer from DNS has no place in where a server listens.
 *
 * Pure: no state, no I/O; any thread. It opens nothing.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "config/sentence.h"
#include "server/base/span.h"

enum address_family {
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_UNIX,
};

struct address {
    enum address_family family;
    bool is_dual_stack;   /* ADDRESS_IPV6 only: IPV6_V6ONLY off; see address_ipv4_fallback() */
    socklen_t name_bytes; /* of the member of `name` that the family says */
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
        struct sockaddr_un local;
    } name; /* ready for bind(2) */
};

struct address_text {
    char text[sizeof("unix:") + sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/**
 * Parses an address.
 *
 * ret_error   what was found, what is wrong with it and what is allowed
 * returns     0 or -EINVAL
 * O(bytes), allocates nothing, any thread.
 */
[[gnu::warn_unused_result]] int
address_parse(struct span text, struct address *ret_address, struct sentence *ret_error);

/** Writes the address as address_parse() takes it. */
struct address_text address_format(const struct address *address);

/** The port in host order; 0 for unix sockets. */
uint16_t address_port(const struct address *address);

/** For a port that the kernel chose. No effect on unix sockets. */
void address_set_port(struct address *address, uint16_t port);

/** What a dual-stack address becomes where there is no IPv6: 0.0.0.0 with the same port. */
struct address address_ipv4_fallback(const struct address *dual_stack);

/** Whether binding both would fail: the same, or one is every address of the other's kind. */
bool address_overlaps(const struct address *a, const struct address *b);
