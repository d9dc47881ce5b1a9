/*
 * What is settled when the server starts and only shown afterwards.
 *
 * Plain data, filled by main.
 */
#pragma once

#include <stdint.h>

/* Borrowed strings, never NULL, valid while the server runs. */
struct control_facts {
    const char *version;                 /* of turntable: "0.1.0" */
    const char *kernel;                  /* release: "6.18.44" */
    const char *engine;                  /* "uring" */
    const char *lifetime;                /* "per-slot", "in-order" or "none" */
    const char *freshness;               /* "watch" */
    const char *const *listen_addresses; /* as in the ready lines: "http://127.0.0.1:8080" */
    uint32_t listen_count;               /* of the addresses */
};
