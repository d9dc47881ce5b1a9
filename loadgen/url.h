/*
 * http URLs as a load generator needs them: where to connect, what to put into Host, which path to
 * ask for. Pure.
 */
#pragma once

#include <stdint.h>

#include "server/base/span.h"

/* Spans point into the URL's text. */
struct url {
    struct span host;      /* name or address, without the brackets of IPv6 */
    struct span authority; /* host as in the URL, with its port: what goes into Host */
    uint16_t port;         /* 80 if none is given */
    struct span path;      /* with its query, without a fragment; empty or beginning with '/' */
};

/**
 * Takes a URL apart. "http://" may be left out.
 *
 * returns   NULL, or what is wrong with it, with the remedy
 */
[[gnu::warn_unused_result]] const char *url_parse(const char *text, struct url *ret_url);

/** The last segment of a path, without its query. */
struct span url_last_segment(struct span path);

/* What a byte of a path may take when it is sent: "%41". */
#define URL_ENCODED_BYTES_MAX 3

/**
 * Writes a path as it may be sent: bytes that may not stand in a request line, and '#', are
 * percent-encoded; '%' and '?' stay, so that a list may hold encoded paths and queries.
 *
 * out       room for URL_ENCODED_BYTES_MAX * path.bytes
 * returns   bytes written
 */
size_t url_encode_path(struct span path, char *out);
