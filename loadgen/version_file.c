#include "loadgen/version_file.h"

#include <endian.h>
#include <xxhash.h>

#include "server/base/check.h"

#define WORD_BYTES   8
#define BLOCK_WORDS  8
#define MAGIC_BYTES  8
#define HASHED_BYTES (VERSION_HEADER_BYTES - WORD_BYTES)

static const uint8_t magic[MAGIC_BYTES] = {'T', 'T', 'V', 'E', 'R', 'S', '0', '1'};

static_assert(VERSION_HEADER_BYTES % WORD_BYTES == 0, "the stream begins at a word");
static_assert(VERSION_EVIDENCE_BYTES >= MAGIC_BYTES, "a header in mid body must be recognised");

uint64_t version_path_id(struct span name)
{
    return XXH3_64bits(name.ptr, name.bytes);
}

static void store_word(uint8_t *out, uint64_t word)
{
    word = htole64(word);
    memcpy(out, &word, sizeof(word));
}

static uint64_t load_word(const uint8_t *in)
{
    uint64_t word;
    memcpy(&word, in, sizeof(word));
    return le64toh(word);
}

void version_header_encode(const struct version_label *label,
                           uint8_t ret_header[static VERSION_HEADER_BYTES])
{
    memset(ret_header, 0, VERSION_HEADER_BYTES);
    memcpy(ret_header, magic, MAGIC_BYTES);
    store_word(ret_header + 8, label->seed);
    store_word(ret_header + 16, label->number);
    store_word(ret_header + 24, label->total_bytes);
    store_word(ret_header + 32, label->path_id);
    store_word(ret_header + HASHED_BYTES, XXH3_64bits(ret_header, HASHED_BYTES));
}

bool version_header_decode(const uint8_t header[static VERSION_HEADER_BYTES],
                           struct version_label *ret_label)
{
    if (memcmp(header, magic, MAGIC_BYTES) != 0 ||
        load_word(header + HASHED_BYTES) != XXH3_64bits(header, HASHED_BYTES) ||
        load_word(header + 24) < VERSION_HEADER_BYTES) {
        return false;
    }
    *ret_label = (struct version_label){
        .seed = load_word(header + 8),
        .number = load_word(header + 16),
        .total_bytes = load_word(header + 24),
        .path_id = load_word(header + 32),
    };
    return true;
}

/* ------------------------------------------------------------------------------------ stream */

static const uint64_t weyl = UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio, odd */

/* splitmix64's finaliser: close inputs give keys that are far apart. */
static uint64_t mix_thoroughly(uint64_t word)
{
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return word ^ (word >> 31);
}

uint64_t version_stream_key(uint64_t seed, uint64_t path_id, uint64_t number)
{
    return mix_thoroughly(mix_thoroughly(mix_thoroughly(seed + weyl) ^ path_id) + number * weyl);
}

/* One multiplication a word: enough that no block, shift or neighbour can pass for another. */
static inline uint64_t stream_word(uint64_t counter)
{
    counter = (counter ^ (counter >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return htole64(counter ^ (counter >> 29));
}

static uint64_t counter_at(uint64_t key, uint64_t offset)
{
    return key + offset / WORD_BYTES * weyl;
}

void version_stream_fill(uint64_t key, uint64_t offset, uint8_t *out, size_t bytes)
{
    uint64_t counter = counter_at(key, offset);
    size_t begin = (size_t)(offset % WORD_BYTES);
    while (bytes > 0) {
        uint64_t word = stream_word(counter);
        size_t piece = WORD_BYTES - begin < bytes ? WORD_BYTES - begin : bytes;
        memcpy(out, (const uint8_t *)&word + begin, piece);
        out += piece;
        bytes -= piece;
        begin = 0;
        counter += weyl;
    }
}

/* Compares up to the end of one word; returns how many bytes are right. */
static size_t match_in_word(uint64_t counter, size_t begin, struct span bytes, size_t *ret_tried)
{
    uint64_t word = stream_word(counter);
    const uint8_t *want = (const uint8_t *)&word + begin;
    size_t count = WORD_BYTES - begin < bytes.bytes ? WORD_BYTES - begin : bytes.bytes;
    size_t right = 0;
    while (right < count && bytes.ptr[right] == want[right]) {
        right++;
    }
    *ret_tried = count;
    return right;
}

/* How many whole blocks of words are right; the difference is looked at once a block. */
static size_t match_blocks(uint64_t counter, struct span bytes)
{
    const size_t block_bytes = BLOCK_WORDS * WORD_BYTES;
    size_t done = 0;
    while (bytes.bytes - done >= block_bytes) {
        uint64_t difference = 0;
        for (size_t i = 0; i < BLOCK_WORDS; i++) {
            uint64_t word;
            memcpy(&word, bytes.ptr + done + i * WORD_BYTES, sizeof(word));
            difference |= word ^ stream_word(counter + i * weyl);
        }
        if (difference != 0) {
            break;
        }
        done += block_bytes;
        counter += BLOCK_WORDS * weyl;
    }
    return done;
}

size_t version_stream_match(uint64_t key, uint64_t offset, struct span bytes)
{
    size_t done = 0;
    while (done < bytes.bytes) {
        uint64_t at = offset + done;
        struct span rest = span_skip(bytes, done);
        if (at % WORD_BYTES == 0) {
            size_t blocks_bytes = match_blocks(counter_at(key, at), rest);
            if (blocks_bytes > 0) {
                done += blocks_bytes;
                continue;
            }
        }
        size_t tried;
        size_t right = match_in_word(counter_at(key, at), (size_t)(at % WORD_BYTES), rest, &tried);
        done += right;
        if (right < tried) {
            break;
        }
    }
    return done;
}

/* ------------------------------------------------------------------------------------- check */

void version_check_init(struct version_check *check)
{
    check->state = VERSION_CHECK_HEADER;
    check->has_label = false;
    check->bytes = 0;
    check->odd_offset = 0;
    check->evidence_bytes = 0;
}

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* The header is here whole: it decides how the rest is checked. */
static void on_header(struct version_check *check)
{
    if (version_header_decode(check->header, &check->label)) {
        check->has_label = true;
        check->key =
            version_stream_key(check->label.seed, check->label.path_id, check->label.number);
        check->state = VERSION_CHECK_STREAM;
        return;
    }
    bool has_magic = memcmp(check->header, magic, MAGIC_BYTES) == 0;
    check->state = has_magic ? VERSION_CHECK_DAMAGED : VERSION_CHECK_FOREIGN;
}

static size_t feed_header(struct version_check *check, struct span bytes)
{
    size_t piece = smaller(VERSION_HEADER_BYTES - check->bytes, bytes.bytes);
    memcpy(check->header + check->bytes, bytes.ptr, piece);
    if (check->bytes + piece == VERSION_HEADER_BYTES) {
        on_header(check);
    }
    return piece;
}

static size_t feed_stream(struct version_check *check, struct span bytes)
{
    uint64_t left = check->label.total_bytes - check->bytes;
    if (left == 0) {
        check->state = VERSION_CHECK_EXCESS;
        check->odd_offset = check->bytes;
        return 0;
    }
    struct span piece = span_of(bytes.ptr, smaller(left, bytes.bytes));
    size_t right = version_stream_match(check->key, check->bytes, piece);
    if (right < piece.bytes) {
        check->state = VERSION_CHECK_DAMAGED;
        check->odd_offset = check->bytes + right;
    }
    return right;
}

static size_t feed_evidence(struct version_check *check, struct span bytes)
{
    size_t piece = smaller((uint64_t)(VERSION_EVIDENCE_BYTES - check->evidence_bytes), bytes.bytes);
    memcpy(check->evidence + check->evidence_bytes, bytes.ptr, piece);
    check->evidence_bytes += (uint8_t)piece;
    return bytes.bytes;
}

void version_check_feed(struct version_check *check, struct span bytes)
{
    while (bytes.bytes > 0) {
        size_t taken = 0;
        switch (check->state) {
        case VERSION_CHECK_HEADER:
            taken = feed_header(check, bytes);
            break;
        case VERSION_CHECK_STREAM:
            taken = feed_stream(check, bytes);
            break;
        case VERSION_CHECK_EXCESS:
        case VERSION_CHECK_DAMAGED:
            taken = feed_evidence(check, bytes);
            break;
        case VERSION_CHECK_FOREIGN:
            taken = bytes.bytes;
            break;
        }
        check->bytes += taken;
        bytes = span_skip(bytes, taken);
    }
}

/* The body ended in the header's place: a piece of a header, or of something else. */
static enum version_finding finish_header(const struct version_check *check)
{
    size_t known_bytes = smaller(check->bytes, MAGIC_BYTES);
    bool is_header = check->bytes > 0 && memcmp(check->header, magic, known_bytes) == 0;
    return is_header ? VERSION_SHORT : VERSION_FOREIGN;
}

enum version_finding version_check_finish(const struct version_check *check)
{
    switch (check->state) {
    case VERSION_CHECK_HEADER:
        return finish_header(check);
    case VERSION_CHECK_STREAM:
        return check->bytes < check->label.total_bytes ? VERSION_SHORT : VERSION_INTACT;
    case VERSION_CHECK_EXCESS:
        return VERSION_LONG;
    case VERSION_CHECK_DAMAGED:
        return VERSION_DAMAGED;
    case VERSION_CHECK_FOREIGN:
        break;
    }
    return VERSION_FOREIGN;
}

bool version_check_is_torn(const struct version_check *check,
                           uint64_t first_number,
                           uint64_t last_number)
{
    if (!check->has_label || check->evidence_bytes < VERSION_EVIDENCE_MIN) {
        return false;
    }
    struct span evidence = span_of(check->evidence, check->evidence_bytes);
    if (evidence.bytes >= MAGIC_BYTES && memcmp(evidence.ptr, magic, MAGIC_BYTES) == 0) {
        return true;
    }
    for (uint64_t number = first_number; number <= last_number; number++) {
        uint64_t key = version_stream_key(check->label.seed, check->label.path_id, number);
        if (number != check->label.number &&
            version_stream_match(key, check->odd_offset, evidence) == evidence.bytes) {
            return true;
        }
    }
    return false;
}
