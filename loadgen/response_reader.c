#include "loadgen/response_reader.h"

#include <strings.h>

#include "server/base/check.h"

static_assert(RESPONSE_VALIDATOR_MAX <= UINT8_MAX, "its length is kept in a byte");

static const char *const violation_texts[] = {
#define RESPONSE_VIOLATION(id, text) [RESPONSE_VIOLATION_##id] = text,
#include "loadgen/response_violation.def"
#undef RESPONSE_VIOLATION
};

const char *response_violation_text(enum response_violation violation)
{
    ASSERT((size_t)violation < ARRAY_COUNT(violation_texts));
    return violation_texts[violation];
}

void response_reader_init(struct response_reader *reader, char line[static RESPONSE_LINE_MAX])
{
    reader->state = RESPONSE_STATE_STATUS_LINE;
    reader->violation = RESPONSE_VIOLATION_NONE;
    reader->line = line;
    reader->line_bytes = 0;
    reader->head_bytes = 0;
    reader->interim_count = 0;
}

static enum response_event violate(struct response_reader *reader,
                                   enum response_violation violation)
{
    reader->state = RESPONSE_STATE_VIOLATED;
    reader->violation = violation;
    return RESPONSE_VIOLATED;
}

/* What is no answer at all shows in its first bytes, and is not waited out to the end of a line. */
static bool starts_like_status_line(const struct response_reader *reader, struct span in)
{
    static const char prefix[] = "HTTP/1.";
    size_t have = reader->line_bytes;
    for (size_t i = 0; have + i < sizeof(prefix) - 1 && i < in.bytes; i++) {
        if (in.ptr[i] == '\n') {
            return true; /* too short a line: told as what else is wrong with it */
        }
        if (in.ptr[i] != (uint8_t)prefix[have + i]) {
            return false;
        }
    }
    return true;
}

/* What has been read of a line: nothing to tell yet, the line, or how it is wrong. */
enum line_result {
    LINE_PARTIAL,
    LINE_TAKEN,
    LINE_VIOLATED,
};

static enum line_result refuse_line(struct response_reader *reader,
                                    enum response_violation violation)
{
    (void)violate(reader, violation); /* the caller knows from the result */
    return LINE_VIOLATED;
}

/* Adds a piece to the line that is being collected. */
static enum line_result hold_piece(struct response_reader *reader, struct span piece)
{
    if (piece.bytes == 0) {
        return LINE_PARTIAL;
    }
    if (reader->line_bytes + piece.bytes > RESPONSE_LINE_MAX) {
        return refuse_line(reader, RESPONSE_VIOLATION_LINE_TOO_LONG);
    }
    memcpy(reader->line + reader->line_bytes, piece.ptr, piece.bytes);
    reader->line_bytes += (uint32_t)piece.bytes;
    return LINE_PARTIAL;
}

/* `line` is without its line feed, `ret_line` also without its carriage return. */
static enum line_result
finish_line(struct response_reader *reader, struct span line, struct span *ret_line)
{
    if (line.bytes == 0 || line.ptr[line.bytes - 1] != '\r') {
        return refuse_line(reader, RESPONSE_VIOLATION_BARE_LINE_FEED);
    }
    reader->line_bytes = 0;
    reader->head_bytes += (uint32_t)line.bytes + 1;
    if (reader->head_bytes > RESPONSE_HEAD_MAX) {
        return refuse_line(reader, RESPONSE_VIOLATION_HEAD_TOO_LONG);
    }
    *ret_line = span_of(line.ptr, line.bytes - 1);
    return LINE_TAKEN;
}

/* Takes a line off the front of `in`; nothing is copied when the line is whole in there. */
static enum line_result
take_line(struct response_reader *reader, struct span *in, struct span *ret_line)
{
    const uint8_t *feed = in->bytes == 0 ? NULL : memchr(in->ptr, '\n', in->bytes);
    if (feed == NULL) {
        struct span piece = *in;
        *in = span_skip(*in, in->bytes);
        return hold_piece(reader, piece);
    }
    struct span line = span_of(in->ptr, (size_t)(feed - in->ptr));
    *in = span_skip(*in, line.bytes + 1);
    if (reader->line_bytes == 0 && line.bytes <= RESPONSE_LINE_MAX) {
        return finish_line(reader, line, ret_line);
    }
    if (hold_piece(reader, line) == LINE_VIOLATED) {
        return LINE_VIOLATED;
    }
    return finish_line(reader, span_of(reader->line, reader->line_bytes), ret_line);
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Texts may hold anything but control bytes; a tab is white space. RFC 9110 5.5, RFC 9112 4 */
static bool is_value_clean(struct span value)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones * 0x80;
    size_t i = 0;
    for (; value.bytes - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, value.ptr + i, sizeof(word));
        uint64_t with_del = word ^ (ones * 0x7f);
        uint64_t suspects = ((word - ones * 0x20) & ~word) | ((with_del - ones) & ~with_del);
        if ((suspects & tops) != 0) {
            break; /* a control byte, perhaps a tab: look closely */
        }
    }
    for (; i < value.bytes; i++) {
        if ((value.ptr[i] < 0x20 && value.ptr[i] != '\t') || value.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* RFC 9112 4: status-line = HTTP-version SP status-code SP [ reason-phrase ] */
static enum response_event on_status_line(struct response_reader *reader, struct span line)
{
    static const size_t shortest_bytes = sizeof("HTTP/1.1 200 ") - 1;
    const uint8_t *text = line.ptr;
    if (line.bytes < shortest_bytes || (text[7] != '0' && text[7] != '1') || text[8] != ' ' ||
        text[9] < '1' || text[9] > '5' || !is_digit(text[10]) || !is_digit(text[11]) ||
        text[12] != ' ' || !is_value_clean(span_skip(line, shortest_bytes))) {
        return violate(reader, RESPONSE_VIOLATION_STATUS_LINE);
    }
    reader->minor_version = text[7] - '0';
    reader->has_close = false;
    reader->has_keep_alive = false;
    struct response_head *head = &reader->head;
    head->status = (uint16_t)((text[9] - '0') * 100 + (text[10] - '0') * 10 + (text[11] - '0'));
    head->is_chunked = false;
    head->has_content_bytes = false;
    head->content_bytes = 0;
    head->etag_bytes = 0;
    head->modified_bytes = 0;
    reader->state = RESPONSE_STATE_FIELDS;
    return RESPONSE_NEED_INPUT;
}

/* RFC 9110 5.6.2 */
static bool is_token_byte(uint8_t byte)
{
    static const bool is_token[256] = {
        ['!'] = true,         ['#'] = true,         ['$'] = true, ['%'] = true, ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true, ['-'] = true, ['.'] = true,
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['^'] = true, ['_'] = true, ['`'] = true,
        ['a' ... 'z'] = true, ['|'] = true,         ['~'] = true,
    };
    return is_token[byte];
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct span trim(struct span text)
{
    while (text.bytes > 0 && is_blank(text.ptr[0])) {
        text = span_skip(text, 1);
    }
    while (text.bytes > 0 && is_blank(text.ptr[text.bytes - 1])) {
        text.bytes--;
    }
    return text;
}

static bool is_word(struct span text, struct span word)
{
    return text.bytes == word.bytes &&
           strncasecmp((const char *)text.ptr, (const char *)word.ptr, word.bytes) == 0;
}

static enum response_violation on_content_length(struct response_reader *reader, struct span value)
{
    struct response_head *head = &reader->head;
    if (value.bytes == 0 || head->has_content_bytes) {
        return RESPONSE_VIOLATION_CONTENT_LENGTH;
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < value.bytes; i++) {
        if (!is_digit(value.ptr[i]) || __builtin_mul_overflow(bytes, 10, &bytes) ||
            __builtin_add_overflow(bytes, (uint64_t)(value.ptr[i] - '0'), &bytes)) {
            return RESPONSE_VIOLATION_CONTENT_LENGTH;
        }
    }
    head->has_content_bytes = true;
    head->content_bytes = bytes;
    return RESPONSE_VIOLATION_NONE;
}

static enum response_violation on_transfer_encoding(struct response_reader *reader,
                                                    struct span value)
{
    if (reader->head.is_chunked || reader->minor_version == 0 || !is_word(value, SPAN("chunked"))) {
        return RESPONSE_VIOLATION_TRANSFER_ENCODING;
    }
    reader->head.is_chunked = true;
    return RESPONSE_VIOLATION_NONE;
}

static enum response_violation on_connection(struct response_reader *reader, struct span value)
{
    while (value.bytes > 0) {
        const uint8_t *comma = memchr(value.ptr, ',', value.bytes);
        size_t option_bytes = comma == NULL ? value.bytes : (size_t)(comma - value.ptr);
        struct span option = trim(span_of(value.ptr, option_bytes));
        reader->has_close |= is_word(option, SPAN("close"));
        reader->has_keep_alive |= is_word(option, SPAN("keep-alive"));
        value = span_skip(value, option_bytes + (comma != NULL));
    }
    return RESPONSE_VIOLATION_NONE;
}

/* Keeps an ETag or a date; of a repeated one, the last. */
static enum response_violation
keep_validator(struct span value, char text[static RESPONSE_VALIDATOR_MAX], uint8_t *ret_bytes)
{
    if (value.bytes > RESPONSE_VALIDATOR_MAX) {
        return RESPONSE_VIOLATION_VALIDATOR;
    }
    if (value.bytes > 0) {
        memcpy(text, value.ptr, value.bytes);
    }
    *ret_bytes = (uint8_t)value.bytes;
    return RESPONSE_VIOLATION_NONE;
}

/* The lengths are told apart first: most fields are none of ours. */
static enum response_violation
on_named_field(struct response_reader *reader, struct span name, struct span value)
{
    struct response_head *head = &reader->head;
    if (is_word(name, SPAN("ETag"))) {
        return keep_validator(value, head->etag, &head->etag_bytes);
    }
    if (is_word(name, SPAN("Connection"))) {
        return on_connection(reader, value);
    }
    if (is_word(name, SPAN("Last-Modified"))) {
        return keep_validator(value, head->modified, &head->modified_bytes);
    }
    if (is_word(name, SPAN("Content-Length"))) {
        return on_content_length(reader, value);
    }
    if (is_word(name, SPAN("Transfer-Encoding"))) {
        return on_transfer_encoding(reader, value);
    }
    return RESPONSE_VIOLATION_NONE;
}

/* RFC 9112 5: field-line = field-name ":" OWS field-value OWS */
static enum response_event on_field(struct response_reader *reader, struct span line)
{
    if (is_blank(line.ptr[0])) {
        return violate(reader, RESPONSE_VIOLATION_FOLDED_FIELD);
    }
    size_t name_bytes = 0;
    while (name_bytes < line.bytes && is_token_byte(line.ptr[name_bytes])) {
        name_bytes++;
    }
    if (name_bytes == 0 || name_bytes == line.bytes || line.ptr[name_bytes] != ':') {
        return violate(reader, RESPONSE_VIOLATION_FIELD);
    }
    struct span value = trim(span_skip(line, name_bytes + 1));
    if (!is_value_clean(value)) {
        return violate(reader, RESPONSE_VIOLATION_FIELD);
    }
    if (reader->state == RESPONSE_STATE_TRAILER) {
        return RESPONSE_NEED_INPUT; /* a trailer must not change how the answer was framed */
    }
    enum response_violation violation =
        on_named_field(reader, span_of(line.ptr, name_bytes), value);
    if (violation != RESPONSE_VIOLATION_NONE) {
        return violate(reader, violation);
    }
    return RESPONSE_NEED_INPUT;
}

/* RFC 9110 15.2: any number of them may come before the answer; 101 only if it was asked for. */
static enum response_event on_interim(struct response_reader *reader)
{
    if (reader->head.status == 101 || reader->interim_count == RESPONSE_INTERIM_MAX) {
        return violate(reader, RESPONSE_VIOLATION_INTERIM);
    }
    reader->interim_count++;
    reader->state = RESPONSE_STATE_STATUS_LINE;
    return RESPONSE_NEED_INPUT;
}

/* RFC 9112 6.3: which of the framings this answer has. */
static enum response_state body_state(const struct response_head *head)
{
    if (head->status == 204 || head->status == 304) {
        return RESPONSE_STATE_COMPLETE;
    }
    if (head->is_chunked) {
        return RESPONSE_STATE_CHUNK_SIZE;
    }
    if (!head->has_content_bytes) {
        return RESPONSE_STATE_UNTIL_CLOSE;
    }
    return head->content_bytes == 0 ? RESPONSE_STATE_COMPLETE : RESPONSE_STATE_CONTENT;
}

static enum response_event on_head_end(struct response_reader *reader)
{
    struct response_head *head = &reader->head;
    if (head->status < 200) {
        return on_interim(reader);
    }
    if (head->is_chunked && head->has_content_bytes) {
        return violate(reader, RESPONSE_VIOLATION_TWO_LENGTHS);
    }
    reader->state = body_state(head);
    reader->body_left = head->content_bytes;
    reader->head_bytes = 0;
    bool may_stay = reader->minor_version > 0 || reader->has_keep_alive;
    head->is_keep_alive =
        may_stay && !reader->has_close && reader->state != RESPONSE_STATE_UNTIL_CLOSE;
    return RESPONSE_HEAD;
}

static unsigned hex_digit(uint8_t byte)
{
    if (is_digit(byte)) {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10U : 16U;
}

/* RFC 9112 7.1: chunk-size [ chunk-ext ]; extensions are passed over. */
static enum response_event on_chunk_size(struct response_reader *reader, struct span line)
{
    uint64_t bytes = 0;
    size_t i = 0;
    for (; i < line.bytes && hex_digit(line.ptr[i]) < 16; i++) {
        if (bytes >> 60 != 0) {
            return violate(reader, RESPONSE_VIOLATION_CHUNK);
        }
        bytes = bytes << 4 | hex_digit(line.ptr[i]);
    }
    struct span extension = trim(span_skip(line, i));
    bool is_extended = extension.bytes > 0 && extension.ptr[0] == ';';
    if (i == 0 || (i < line.bytes && !is_extended) || !is_value_clean(extension)) {
        return violate(reader, RESPONSE_VIOLATION_CHUNK);
    }
    reader->head_bytes = 0;
    reader->body_left = bytes;
    reader->state = bytes == 0 ? RESPONSE_STATE_TRAILER : RESPONSE_STATE_CHUNK;
    return RESPONSE_NEED_INPUT;
}

static enum response_event on_chunk_end(struct response_reader *reader, struct span line)
{
    if (line.bytes != 0) {
        return violate(reader, RESPONSE_VIOLATION_CHUNK);
    }
    reader->state = RESPONSE_STATE_CHUNK_SIZE;
    return RESPONSE_NEED_INPUT;
}

/* NEED_INPUT from here and from what it calls means: nothing to tell, go on. */
static enum response_event on_line(struct response_reader *reader, struct span line)
{
    switch (reader->state) {
    case RESPONSE_STATE_STATUS_LINE:
        return on_status_line(reader, line);
    case RESPONSE_STATE_FIELDS:
        return line.bytes == 0 ? on_head_end(reader) : on_field(reader, line);
    case RESPONSE_STATE_CHUNK_SIZE:
        return on_chunk_size(reader, line);
    case RESPONSE_STATE_CHUNK_END:
        return on_chunk_end(reader, line);
    case RESPONSE_STATE_TRAILER:
        if (line.bytes == 0) {
            reader->state = RESPONSE_STATE_COMPLETE;
            return RESPONSE_NEED_INPUT;
        }
        return on_field(reader, line);
    case RESPONSE_STATE_CONTENT:
    case RESPONSE_STATE_UNTIL_CLOSE:
    case RESPONSE_STATE_CHUNK:
    case RESPONSE_STATE_COMPLETE:
    case RESPONSE_STATE_VIOLATED:
        break;
    }
    ASSERT(false); /* the other states do not read lines */
    return RESPONSE_VIOLATED;
}

/* The body's next piece, up to the end of the content or of the chunk. */
static enum response_event
take_body(struct response_reader *reader, struct span *in, struct span *ret_body)
{
    size_t bytes = in->bytes;
    if (reader->state != RESPONSE_STATE_UNTIL_CLOSE) {
        bytes = bytes < reader->body_left ? bytes : (size_t)reader->body_left;
        reader->body_left -= bytes;
        if (reader->body_left == 0) {
            bool is_chunk = reader->state == RESPONSE_STATE_CHUNK;
            reader->state = is_chunk ? RESPONSE_STATE_CHUNK_END : RESPONSE_STATE_COMPLETE;
        }
    }
    *ret_body = span_of(in->ptr, bytes);
    *in = span_skip(*in, bytes);
    return RESPONSE_BODY;
}

static enum response_event complete(struct response_reader *reader)
{
    reader->state = RESPONSE_STATE_STATUS_LINE;
    reader->head_bytes = 0;
    reader->interim_count = 0;
    return RESPONSE_END;
}

static enum response_event read_lines(struct response_reader *reader, struct span *in)
{
    if (reader->state == RESPONSE_STATE_STATUS_LINE && !starts_like_status_line(reader, *in)) {
        return violate(reader, RESPONSE_VIOLATION_STATUS_LINE);
    }
    struct span line = {0};
    switch (take_line(reader, in, &line)) {
    case LINE_PARTIAL:
        return RESPONSE_NEED_INPUT;
    case LINE_TAKEN:
        return on_line(reader, line);
    case LINE_VIOLATED:
        break;
    }
    return RESPONSE_VIOLATED;
}

enum response_event
response_reader_next(struct response_reader *reader, struct span *in, struct span *ret_body)
{
    enum response_event event = RESPONSE_NEED_INPUT;
    while (event == RESPONSE_NEED_INPUT) {
        if (reader->state == RESPONSE_STATE_COMPLETE) {
            return complete(reader);
        }
        if (in->bytes == 0) {
            return RESPONSE_NEED_INPUT;
        }
        switch (reader->state) {
        case RESPONSE_STATE_STATUS_LINE:
        case RESPONSE_STATE_FIELDS:
        case RESPONSE_STATE_CHUNK_SIZE:
        case RESPONSE_STATE_CHUNK_END:
        case RESPONSE_STATE_TRAILER:
            event = read_lines(reader, in);
            break;
        case RESPONSE_STATE_CONTENT:
        case RESPONSE_STATE_UNTIL_CLOSE:
        case RESPONSE_STATE_CHUNK:
            return take_body(reader, in, ret_body);
        case RESPONSE_STATE_COMPLETE:
        case RESPONSE_STATE_VIOLATED:
            ASSERT(false); /* violated: the connection is of no further use */
        }
    }
    return event;
}

enum response_event response_reader_end_of_stream(struct response_reader *reader)
{
    ASSERT(reader->state != RESPONSE_STATE_VIOLATED);
    if (reader->state == RESPONSE_STATE_UNTIL_CLOSE || reader->state == RESPONSE_STATE_COMPLETE) {
        return complete(reader);
    }
    return violate(reader, RESPONSE_VIOLATION_CUT_SHORT);
}

bool response_reader_is_idle(const struct response_reader *reader)
{
    return reader->state == RESPONSE_STATE_STATUS_LINE && reader->line_bytes == 0 &&
           reader->interim_count == 0;
}

bool response_reader_is_in_body(const struct response_reader *reader)
{
    return reader->state != RESPONSE_STATE_STATUS_LINE && reader->state != RESPONSE_STATE_FIELDS &&
           reader->state != RESPONSE_STATE_VIOLATED;
}

uint64_t response_reader_skippable_bytes(const struct response_reader *reader)
{
    return reader->state == RESPONSE_STATE_CONTENT ? reader->body_left : 0;
}

void response_reader_skip(struct response_reader *reader, uint64_t bytes)
{
    ASSERT(reader->state == RESPONSE_STATE_CONTENT);
    ASSERT(bytes <= reader->body_left);
    reader->body_left -= bytes;
    if (reader->body_left == 0) {
        reader->state = RESPONSE_STATE_COMPLETE;
    }
}
