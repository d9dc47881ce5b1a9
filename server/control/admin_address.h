/*
 * Where the admin listener is: how it is written on the command line, and where it is when nobody
 * says. The server and turntablectl share this, so that they meet without being told.
 *
 * Pure but for admin_places_system(), which reads the environment. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/address.h"
#include "config/sentence.h"

#define ADMIN_SOCKET_NAME "admin.sock"

/* Addresses that admin_default_addresses() gives, at most. */
#define ADMIN_DEFAULT_MAX 4

struct admin_address {
    bool is_none; /* "none": no admin listener; `address` says nothing */
    struct address address;
};

/* What the default depends on. */
struct admin_places {
    const char *runtime_directory; /* $RUNTIME_DIRECTORY, of systemd; may list several; or NULL */
    const char *xdg_runtime_dir;   /* $XDG_RUNTIME_DIR, of the session; or NULL */
    uid_t uid;
};

/**
 * Reads an address (address_parse()), or `none`.
 *
 * ret_error   set on failure: what was found, what is wrong with it and what is allowed
 * returns     0 or -EINVAL
 */
[[gnu::warn_unused_result]] int admin_address_parse(const char *text,
                                                    struct admin_address *ret_address,
                                                    struct sentence *ret_error);

/** The environment of this process; strings are borrowed from it. */
struct admin_places admin_places_system(void);

/**
 * The sockets to use when nobody names one, best first: $RUNTIME_DIRECTORY,
 * $XDG_RUNTIME_DIR/turntable, /run/turntable (root only), /tmp/turntable-UID.
 *
 * returns   how many were written, 1..ADMIN_DEFAULT_MAX; unix sockets, all of them
 */
uint32_t admin_default_addresses(const struct admin_places *places,
                                 struct address ret_addresses[static ADMIN_DEFAULT_MAX]);
