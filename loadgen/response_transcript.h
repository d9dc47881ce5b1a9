/*
 * For tests: what a response reader tells about an input, as one text, so that two ways of feeding
 * the same bytes can be compared. Bodies are joined, since only their pieces depend on the feeding.
 *
 *     head 200 keep length=5 etag="x" modified=...
 *     body hello
 *     end
 *     violated CUT_SHORT
 */
#pragma once

#include "loadgen/response_reader.h"

#define RESPONSE_TRANSCRIPT_MAX (256 * 1024)

struct response_transcript {
    struct response_reader reader;
    char line[RESPONSE_LINE_MAX];
    bool is_in_body;
    bool is_violated;
    size_t bytes; /* of `text`, without its NUL */
    char text[RESPONSE_TRANSCRIPT_MAX];
};

void response_transcript_reset(struct response_transcript *transcript);

/** Feeds a copy of `piece` that ends at the end of its allocation: sanitizers see an overread. */
void response_transcript_feed(struct response_transcript *transcript, struct span piece);

/** The peer closes. */
void response_transcript_close(struct response_transcript *transcript);

/** All of `input` in pieces of `piece_bytes` (0: one piece), then the close. */
void response_transcript_run(struct response_transcript *transcript,
                             struct span input,
                             size_t piece_bytes);
