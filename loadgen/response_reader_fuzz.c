/*
 * Property: what a response reader tells does not depend on how its input is split. Each input is
 * fed whole, byte by byte, and in two pieces: cut at every place, or, of a long one, at a place
 * that the input itself chooses.
 */
#include "loadgen/response_reader.h"

#include <string.h>

#include "loadgen/response_transcript.h"
#include "server/base/check.h"

#define EVERY_PLACE_MAX 256 /* inputs up to here are cut at every place: the work is quadratic */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct response_transcript whole; /* tidy: too big for the stack, this program's alone */
static struct response_transcript split; /* tidy: too big for the stack, this program's alone */

static void assert_same_transcripts(void)
{
    ASSERT(whole.bytes == split.bytes);
    ASSERT(memcmp(whole.text, split.text, whole.bytes) == 0);
}

static void check_cut(struct span input, size_t place)
{
    response_transcript_reset(&split);
    response_transcript_feed(&split, span_of(input.ptr, place));
    response_transcript_feed(&split, span_skip(input, place));
    response_transcript_close(&split);
    assert_same_transcripts();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Each event may take a line of text: inputs that could overflow it are of no interest. */
    if (size == 0 || size > 16 * 1024) {
        return 0;
    }
    struct span input = span_of(data, size);
    response_transcript_run(&whole, input, 0);
    response_transcript_run(&split, input, 1);
    assert_same_transcripts();

    if (size > EVERY_PLACE_MAX) {
        check_cut(input, (data[size - 1] + (size_t)data[size / 2] * 256) % size);
        return 0;
    }
    for (size_t place = 1; place < size; place++) {
        check_cut(input, place);
    }
    return 0;
}
