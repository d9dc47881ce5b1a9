/*
 * One line of text for a person: what was found, what is allowed, what to do. Of fixed size, so
 * that saying what went wrong cannot itself go wrong; text from outside may be put into it without
 * care, because control bytes never get in.
 *
 * Plain data on the caller's stack. Any thread.
 */
#pragma once

#include <stdint.h>

#include "server/base/span.h"

/* Room for a path of usual length, what was found in it, and a list of what is allowed. */
#define SENTENCE_MAX 1024

/* The bytes of foreign text that are shown; more says nothing more. */
#define SENTENCE_QUOTE_MAX 80

/* A sentence of zeros is the empty one. */
struct sentence {
    char text[SENTENCE_MAX]; /* NUL-terminated; no control bytes; ends in "..." when it was cut */
};

/** Replaces the text. Control bytes become '?'. */
[[gnu::format(printf, 2, 3)]] void sentence_set(struct sentence *sentence, const char *format, ...);

/** Appends to the text. */
[[gnu::format(printf, 2, 3)]] void sentence_add(struct sentence *sentence, const char *format, ...);

/** Appends foreign text in single quotes, cut to SENTENCE_QUOTE_MAX bytes. */
void sentence_add_quoted(struct sentence *sentence, struct span text);

/** Appends "one, two or three". */
void sentence_add_words(struct sentence *sentence, const char *const *words, uint32_t word_count);
