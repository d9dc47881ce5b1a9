/*
 * How this kernel lets go of registered files, found out by behaviour: version numbers lie where
 * distributions backport.
 */
#pragma once

/*
 * LIFETIME_PER_SLOT   what was replaced is released once its own last user ends (Linux 6.13 on)
 * LIFETIME_IN_ORDER   one long request on any registered file holds back all that is replaced
 *                     after it started (Linux 5.10 to 6.12)
 */
enum lifetime {
    LIFETIME_PER_SLOT,
    LIFETIME_IN_ORDER,
};

/** "per-slot" or "in-order", as /status shows it. */
const char *lifetime_name(enum lifetime lifetime);

/**
 * Leaves a poll on one slot in flight, clears another slot, and sees whether the kernel says that
 * the second one's file was released. About a millisecond where it does not, else microseconds.
 *
 * returns   0, or -errno of what it needs: a ring, two slots with tags, two eventfds
 */
[[gnu::warn_unused_result]] int lifetime_probe(enum lifetime *ret_lifetime);
