/*
 * What the admin listener answers: finds the page, writes head and body into one piece of memory.
 *
 * Control thread; does no I/O. Pages come with struct admin_config.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/admin.h"
#include "server/http/request.h"

struct admin_answer {
    char *text; /* malloc'ed, the caller's to free(); NULL: no memory */
    size_t bytes;
};

/** Answers a request: a page, 404 or 405. */
[[gnu::warn_unused_result]] struct admin_answer
admin_answer_request(const struct admin_config *config, const struct http_request *request);

/**
 * Answers with an error and one line of text.
 *
 * status    of server/http/status.def
 * is_head   the body is left out
 */
[[gnu::warn_unused_result]] struct admin_answer
admin_answer_error(const struct admin_config *config, uint32_t status, bool is_head);
