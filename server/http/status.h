/*
 * The statuses this server answers with and what they are called (status.def).
 *
 * Owns nothing; pure; any thread. Knows nothing of requests and files.
 */
#pragma once

#include <stdint.h>

/**
 * The reason phrase of a status line.
 *
 * status    a code of status.def; another one is a bug of the caller and stops the process
 * returns   a static string, "Not Found"
 */
const char *http_status_reason(uint32_t status);

/** One plain sentence for the reader of an error page; same contract as http_status_reason(). */
const char *http_status_sentence(uint32_t status);
