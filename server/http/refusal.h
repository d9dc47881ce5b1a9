/*
 * Why a request head is refused, with the status to answer and a word for counters and the debug
 * log: one list (refusal.def). After a refusal the connection is answered and closed: where the
 * next request would begin is not known.
 *
 * Owns nothing; pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum http_refusal_reason {
    HTTP_REFUSAL_NONE,
#define HTTP_REFUSAL(name, status, word) HTTP_REFUSAL_##name,
#include "server/http/refusal.def"
#undef HTTP_REFUSAL
    HTTP_REFUSAL_COUNT
};

/* What to do with a head that is not taken: answer `status`, close. */
struct http_refusal {
    enum http_refusal_reason reason; /* index of a counter, 1..HTTP_REFUSAL_COUNT - 1 */
    uint32_t status;                 /* 400, 414, 417, 431, 501, 505 */
    const char *word;                /* static, for the debug log: "bare-lf" */
    bool is_head;                    /* the answer goes without its body (RFC 9110 9.3.2) */
};

/**
 * What to answer: 400, 414, 417, 431, 501 or 505.
 *
 * reason    not HTTP_REFUSAL_NONE
 */
uint32_t http_refusal_status(enum http_refusal_reason reason);

/** A short static word, "bare-lf"; "none" for HTTP_REFUSAL_NONE. */
const char *http_refusal_word(enum http_refusal_reason reason);
