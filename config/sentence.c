#include "config/sentence.h"

#include <stdarg.h>
#include <stdio.h>

static void replace_control_bytes(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7f) {
            *text = '?';
        }
    }
}

/* Appends at `used`; what does not fit is cut, visibly. */
static void append(struct sentence *sentence, size_t used, const char *format, va_list args)
{
    static const char ellipsis[] = "...";
    size_t room = sizeof(sentence->text) - used;
    int bytes = vsnprintf(sentence->text + used, room, format, args);
    if (bytes < 0) {
        sentence->text[used] = '\0'; /* the C library could not format it: leave the rest whole */
        return;
    }
    if ((size_t)bytes >= room) {
        memcpy(sentence->text + sizeof(sentence->text) - sizeof(ellipsis), ellipsis,
               sizeof(ellipsis));
    }
    replace_control_bytes(sentence->text + used);
}

void sentence_set(struct sentence *sentence, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    append(sentence, 0, format, args);
    va_end(args);
}

void sentence_add(struct sentence *sentence, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    append(sentence, strlen(sentence->text), format, args);
    va_end(args);
}

/* Never cuts within a UTF-8 character: a half one spoils the terminal's line. */
static size_t shown_bytes(struct span text)
{
    if (text.bytes <= SENTENCE_QUOTE_MAX) {
        return text.bytes;
    }
    size_t bytes = SENTENCE_QUOTE_MAX;
    while (bytes > 0 && (text.ptr[bytes] & 0xc0) == 0x80) {
        bytes--;
    }
    return bytes;
}

void sentence_add_quoted(struct sentence *sentence, struct span text)
{
    char shown[SENTENCE_QUOTE_MAX + 1];
    size_t bytes = shown_bytes(text);
    for (size_t i = 0; i < bytes; i++) {
        shown[i] = text.ptr[i] == '\0' ? '?' : (char)text.ptr[i];
    }
    shown[bytes] = '\0';
    sentence_add(sentence, "'%s%s'", shown, bytes < text.bytes ? "..." : "");
}

void sentence_add_words(struct sentence *sentence, const char *const *words, uint32_t word_count)
{
    for (uint32_t i = 0; i < word_count; i++) {
        const char *joint = ", ";
        if (i == 0) {
            joint = "";
        } else if (i + 1 == word_count) {
            joint = " or ";
        }
        sentence_add(sentence, "%s%s", joint, words[i]);
    }
}
