#include "loadgen/response_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "loadgen/response_transcript.h"
#include "server/base/check.h"

struct answer_case {
    const char *name;
    const char *input;
    const char *want;
};

static const struct answer_case cases[] = {
    {"content length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
     "head 200 keep length=5\nbody hello\nend\nidle\n"},
    {"all the fields that are asked for, in any case, with any white space",
     "HTTP/1.1 200 OK\r\nServer: x\r\nETAG:\"a-1\"\r\nlast-modified: \t"
     "Mon, 01 Jan 2024 00:00:00 GMT  \r\ncONTENT-lENGTH:3\r\nConnection: Keep-Alive\r\n\r\nabc",
     "head 200 keep length=3 etag=\"a-1\" modified=Mon, 01 Jan 2024 00:00:00 GMT\nbody abc\n"
     "end\nidle\n"},
    {"two answers in one piece",
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: \"x\"\r\n\r\nhi"
     "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n!",
     "head 200 keep length=2 etag=\"x\"\nbody hi\nend\nhead 404 keep length=1\nbody "
     "!\nend\nidle\n"},
    {"empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "head 200 keep length=0\nend\nidle\n"},
    {"empty reason", "HTTP/1.1 204 \r\n\r\n", "head 204 keep\nend\nidle\n"},
    {"304 has no body whatever its length",
     "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
     "head 304 keep length=9\nend\nidle\n"},
    {"connection close", "HTTP/1.1 200 OK\r\nConnection: foo , CLOSE\r\nContent-Length: 1\r\n\r\nx",
     "head 200 close length=1\nbody x\nend\nidle\n"},
    {"1.0 closes unless it says otherwise", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
     "head 200 close length=1\nbody x\nend\nidle\n"},
    {"1.0 with keep-alive",
     "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
     "head 200 keep length=1\nbody x\nend\nidle\n"},
    {"body that the close ends", "HTTP/1.1 200 OK\r\n\r\nall of it",
     "head 200 close\nbody all of it\nend\n"},
    {"chunks with extension and trailer",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
     "5\r\nhello\r\n00A ;x=\"y\"\r\n, chunked!\r\n0\r\nX-Sum: 1\r\n\r\n",
     "head 200 keep chunked\nbody hello, chunked!\nend\nidle\n"},
    {"interim answers are passed over",
     "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "head 200 keep length=0\nend\nidle\n"},
    {"tab and bytes above 127 in a value",
     "HTTP/1.1 200 OK\r\nX: a\tb\xc3\xa9 and more than eight bytes\r\nContent-Length: 0\r\n\r\n",
     "head 200 keep length=0\nend\nidle\n"},

    {"nothing at all", "", "idle\n"},
    {"garbage", "SSH-2.0-OpenSSH_9.2\r\n", "violated STATUS_LINE\n"},
    {"garbage without a line's end", "\x15\x03\x03", "violated STATUS_LINE\n"},
    {"HTTP/2", "HTTP/2 200\r\n\r\n", "violated STATUS_LINE\n"},
    {"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", "violated STATUS_LINE\n"},
    {"status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "violated STATUS_LINE\n"},
    {"status of four digits", "HTTP/1.1 2000 K\r\n\r\n", "violated STATUS_LINE\n"},
    {"status 600", "HTTP/1.1 600 OK\r\n\r\n", "violated STATUS_LINE\n"},
    {"no space after the status", "HTTP/1.1 200\r\n\r\n", "violated STATUS_LINE\n"},
    {"control byte in the reason", "HTTP/1.1 200 O\001K\r\n\r\n", "violated STATUS_LINE\n"},
    {"short status line", "HTT\r\n", "violated STATUS_LINE\n"},
    {"bare line feed", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "violated BARE_LINE_FEED\n"},
    {"bare line feed at once", "\n", "violated BARE_LINE_FEED\n"},
    {"field without colon", "HTTP/1.1 200 OK\r\nServer\r\n\r\n", "violated FIELD\n"},
    {"field without name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "violated FIELD\n"},
    {"space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", "violated FIELD\n"},
    {"carriage return in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "violated FIELD\n"},
    {"control byte in a long value", "HTTP/1.1 200 OK\r\nX: 0123456789abcdef\x7f and more\r\n\r\n",
     "violated FIELD\n"},
    {"folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "violated FOLDED_FIELD\n"},
    {"signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", "violated CONTENT_LENGTH\n"},
    {"empty length", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", "violated CONTENT_LENGTH\n"},
    {"length of 2^64", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
     "violated CONTENT_LENGTH\n"},
    {"repeated length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
     "violated CONTENT_LENGTH\n"},
    {"two lengths in one field", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
     "violated CONTENT_LENGTH\n"},
    {"gzip as transfer encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "violated TRANSFER_ENCODING\n"},
    {"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "violated TRANSFER_ENCODING\n"},
    {"chunked and a length",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
     "violated TWO_LENGTHS\n"},
    {"chunk size that is no number", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
     "head 200 keep chunked\nviolated CHUNK\n"},
    {"chunk size of more than 64 bits",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
     "head 200 keep chunked\nviolated CHUNK\n"},
    {"chunk longer than its size",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
     "head 200 keep chunked\nbody ab\nviolated CHUNK\n"},
    {"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "violated INTERIM\n"},
    {"cut in the status line", "HTTP/1.1 20", "violated CUT_SHORT\n"},
    {"cut in the head", "HTTP/1.1 200 OK\r\nContent", "violated CUT_SHORT\n"},
    {"cut after an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", "violated CUT_SHORT\n"},
    {"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
     "head 200 keep length=5\nbody hel\nviolated CUT_SHORT\n"},
    {"cut in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
     "head 200 keep chunked\nbody hello\nviolated CUT_SHORT\n"},
    {"bytes after the end", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi there",
     "head 200 keep length=2\nbody hi\nend\nviolated STATUS_LINE\n"},
};

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct response_transcript));
    return *state == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void assert_transcript(const struct response_transcript *transcript,
                              const struct answer_case *answer,
                              const char *how,
                              size_t place)
{
    if (strcmp(transcript->text, answer->want) != 0) {
        fail_msg("'%s' fed %s %zu:\n%swanted:\n%s", answer->name, how, place, transcript->text,
                 answer->want);
    }
}

static void reader_tells_the_same_however_input_is_split(void **state)
{
    struct response_transcript *transcript = *state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span input = span_of_string(cases[i].input);
        for (size_t piece_bytes = 0; piece_bytes < 9; piece_bytes++) {
            response_transcript_run(transcript, input, piece_bytes);
            assert_transcript(transcript, &cases[i], "in pieces of", piece_bytes);
        }
        for (size_t place = 1; place < input.bytes; place++) {
            response_transcript_reset(transcript);
            response_transcript_feed(transcript, span_of(input.ptr, place));
            response_transcript_feed(transcript, span_skip(input, place));
            response_transcript_close(transcript);
            assert_transcript(transcript, &cases[i], "split at", place);
        }
    }
}

/* An answer whose head has so many lines of so many bytes, then an empty body. */
static size_t make_long_head(char *out, size_t out_bytes, size_t line_count, size_t line_bytes)
{
    size_t bytes = (size_t)snprintf(out, out_bytes, "HTTP/1.1 200 OK\r\n");
    for (size_t i = 0; i < line_count; i++) {
        bytes += (size_t)snprintf(out + bytes, out_bytes - bytes, "X: %0*d\r\n",
                                  (int)(line_bytes - 5), 0);
    }
    bytes += (size_t)snprintf(out + bytes, out_bytes - bytes, "Content-Length: 0\r\n\r\n");
    assert_true(bytes < out_bytes);
    return bytes;
}

static void reader_limits_lines_and_heads(void **state)
{
    struct response_transcript *transcript = *state;
    static const struct {
        size_t line_count;
        size_t line_bytes; /* with CR LF */
        const char *want;
    } heads[] = {
        {1, RESPONSE_LINE_MAX + 1, "head 200 keep length=0\nend\nidle\n"},
        {1, RESPONSE_LINE_MAX + 2, "violated LINE_TOO_LONG\n"},
        {15, 4096, "head 200 keep length=0\nend\nidle\n"},
        {16, 4096, "violated HEAD_TOO_LONG\n"},
    };
    size_t size = 128 * 1024;
    char *input = malloc(size);
    assert_non_null(input);
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        size_t bytes = make_long_head(input, size, heads[i].line_count, heads[i].line_bytes);
        for (size_t piece_bytes = 0; piece_bytes < 3; piece_bytes++) {
            response_transcript_run(transcript, span_of(input, bytes), piece_bytes);
            assert_string_equal(transcript->text, heads[i].want);
        }
    }
    free(input);
}

static void reader_refuses_endless_interim_answers(void **state)
{
    struct response_transcript *transcript = *state;
    response_transcript_reset(transcript);
    for (size_t i = 0; i < RESPONSE_INTERIM_MAX; i++) {
        response_transcript_feed(transcript, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    assert_string_equal(transcript->text, "");
    response_transcript_feed(transcript, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
    assert_string_equal(transcript->text, "violated INTERIM\n");
}

static void reader_refuses_long_validator(void **state)
{
    struct response_transcript *transcript = *state;
    char input[512];
    (void)snprintf(input, sizeof(input), "HTTP/1.1 200 OK\r\nETag: %0128d\r\n", 0);
    response_transcript_run(transcript, span_of_string(input), 0);
    assert_string_equal(transcript->text, "violated CUT_SHORT\n");
    (void)snprintf(input, sizeof(input), "HTTP/1.1 200 OK\r\nETag: %0129d\r\n", 0);
    response_transcript_run(transcript, span_of_string(input), 0);
    assert_string_equal(transcript->text, "violated VALIDATOR\n");
}

static void reader_skips_what_was_thrown_away(void **state)
{
    struct response_transcript *transcript = *state;
    struct response_reader *reader = &transcript->reader;
    response_transcript_reset(transcript);
    assert_int_equal(response_reader_skippable_bytes(reader), 0);
    response_transcript_feed(transcript, SPAN("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"));
    assert_true(response_reader_is_in_body(reader));
    assert_int_equal(response_reader_skippable_bytes(reader), 8);
    response_reader_skip(reader, 5);
    response_transcript_feed(transcript, SPAN("h"));
    assert_int_equal(response_reader_skippable_bytes(reader), 2);
    response_reader_skip(reader, 2);
    response_transcript_feed(transcript, SPAN(""));
    assert_string_equal(transcript->text, "head 200 keep length=10\nbody abh\nend\n");
    assert_true(response_reader_is_idle(reader));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reader_tells_the_same_however_input_is_split, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(reader_limits_lines_and_heads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reader_refuses_endless_interim_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reader_refuses_long_validator, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reader_skips_what_was_thrown_away, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("load_response_reader", tests, NULL, NULL);
}
