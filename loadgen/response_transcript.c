#include "loadgen/response_transcript.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/base/check.h"

static const char *const violation_names[] = {
#define RESPONSE_VIOLATION(id, text) [RESPONSE_VIOLATION_##id] = #id,
#include "loadgen/response_violation.def"
#undef RESPONSE_VIOLATION
};

void response_transcript_reset(struct response_transcript *transcript)
{
    response_reader_init(&transcript->reader, transcript->line);
    transcript->is_in_body = false;
    transcript->is_violated = false;
    transcript->bytes = 0;
    transcript->text[0] = '\0';
}

static void append_bytes(struct response_transcript *transcript, struct span bytes)
{
    ASSERT(transcript->bytes + bytes.bytes < sizeof(transcript->text));
    memcpy(transcript->text + transcript->bytes, bytes.ptr, bytes.bytes);
    transcript->bytes += bytes.bytes;
    transcript->text[transcript->bytes] = '\0';
}

[[gnu::format(printf, 2, 3)]] static void
append(struct response_transcript *transcript, const char *format, ...)
{
    if (transcript->is_in_body) {
        append_bytes(transcript, SPAN("\n"));
        transcript->is_in_body = false;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ASSERT(bytes >= 0);
    ASSERT((size_t)bytes < sizeof(text));
    append_bytes(transcript, span_of(text, (size_t)bytes));
}

static void append_head(struct response_transcript *transcript)
{
    const struct response_head *head = &transcript->reader.head;
    append(transcript, "head %u %s", head->status, head->is_keep_alive ? "keep" : "close");
    if (head->has_content_bytes) {
        append(transcript, " length=%llu", (unsigned long long)head->content_bytes);
    }
    if (head->is_chunked) {
        append(transcript, " chunked");
    }
    if (head->etag_bytes > 0) {
        append(transcript, " etag=%.*s", head->etag_bytes, head->etag);
    }
    if (head->modified_bytes > 0) {
        append(transcript, " modified=%.*s", head->modified_bytes, head->modified);
    }
    append(transcript, "\n");
}

static void append_body(struct response_transcript *transcript, struct span body)
{
    ASSERT(body.bytes > 0);
    if (!transcript->is_in_body) {
        append(transcript, "body ");
        transcript->is_in_body = true;
    }
    append_bytes(transcript, body);
}

static void
on_event(struct response_transcript *transcript, enum response_event event, struct span body)
{
    switch (event) {
    case RESPONSE_NEED_INPUT:
        return;
    case RESPONSE_HEAD:
        append_head(transcript);
        return;
    case RESPONSE_BODY:
        append_body(transcript, body);
        return;
    case RESPONSE_END:
        append(transcript, "end\n");
        return;
    case RESPONSE_VIOLATED:
        append(transcript, "violated %s\n", violation_names[transcript->reader.violation]);
        transcript->is_violated = true;
        return;
    }
}

void response_transcript_feed(struct response_transcript *transcript, struct span piece)
{
    uint8_t *copy = malloc(piece.bytes + (piece.bytes == 0));
    ASSERT(copy != NULL);
    memcpy(copy, piece.ptr, piece.bytes);
    struct span in = span_of(copy, piece.bytes);
    enum response_event event = RESPONSE_HEAD;
    while (!transcript->is_violated && event != RESPONSE_NEED_INPUT) {
        struct span body = {0};
        event = response_reader_next(&transcript->reader, &in, &body);
        on_event(transcript, event, body);
    }
    ASSERT(transcript->is_violated || in.bytes == 0);
    free(copy);
}

void response_transcript_close(struct response_transcript *transcript)
{
    if (transcript->is_violated) {
        return;
    }
    if (response_reader_is_idle(&transcript->reader)) {
        append(transcript, "idle\n");
        return;
    }
    on_event(transcript, response_reader_end_of_stream(&transcript->reader), (struct span){0});
}

void response_transcript_run(struct response_transcript *transcript,
                             struct span input,
                             size_t piece_bytes)
{
    response_transcript_reset(transcript);
    while (input.bytes > 0) {
        size_t bytes = piece_bytes == 0 || piece_bytes > input.bytes ? input.bytes : piece_bytes;
        response_transcript_feed(transcript, span_of(input.ptr, bytes));
        input = span_skip(input, bytes);
    }
    response_transcript_close(transcript);
}
