#include "config/spelling.h"

#include <stdbool.h>

#define SHORT_WORD_MAX 3

/* A row of the table of distances between every front of `a` and every front of `b`. */
struct row {
    uint32_t cells[SPELLING_WORD_MAX + 1];
};

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Options are ASCII; the C library's tolower() would ask the locale. */
static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte - 'A' + 'a') : byte;
}

static bool is_same(struct span a, size_t a_index, struct span b, size_t b_index)
{
    return lower(a.ptr[a_index]) == lower(b.ptr[b_index]);
}

/* One cell: a[0..i] against b[0..j], from the rows for i, i - 1 and i - 2. */
static uint32_t distance_at(struct span a,
                            struct span b,
                            size_t i,
                            size_t j,
                            const struct row *here,
                            const struct row *above,
                            const struct row *above_that)
{
    uint32_t wrong = above->cells[j - 1] + (is_same(a, i - 1, b, j - 1) ? 0 : 1);
    uint32_t missing = here->cells[j - 1] + 1;
    uint32_t extra = above->cells[j] + 1;
    uint32_t best = smaller(wrong, smaller(missing, extra));
    if (i > 1 && j > 1 && is_same(a, i - 1, b, j - 2) && is_same(a, i - 2, b, j - 1)) {
        best = smaller(best, above_that->cells[j - 2] + 1);
    }
    return best;
}

uint32_t spelling_distance(struct span a, struct span b)
{
    if (a.bytes > SPELLING_WORD_MAX || b.bytes > SPELLING_WORD_MAX) {
        return UINT32_MAX;
    }
    struct row rows[3] = {0};
    for (size_t j = 0; j <= b.bytes; j++) {
        rows[0].cells[j] = (uint32_t)j;
    }
    for (size_t i = 1; i <= a.bytes; i++) {
        struct row *here = &rows[i % 3];
        here->cells[0] = (uint32_t)i;
        for (size_t j = 1; j <= b.bytes; j++) {
            here->cells[j] = distance_at(a, b, i, j, here, &rows[(i + 2) % 3], &rows[(i + 1) % 3]);
        }
    }
    return rows[a.bytes % 3].cells[b.bytes];
}

const char *spelling_nearest(struct span word, const char *const *words, uint32_t word_count)
{
    const char *nearest = NULL;
    uint32_t limit = word.bytes <= SHORT_WORD_MAX ? 1 : SPELLING_DISTANCE_MAX;
    for (uint32_t i = 0; i < word_count; i++) {
        uint32_t distance = spelling_distance(word, span_of_string(words[i]));
        if (distance <= limit) {
            nearest = words[i];
            if (distance == 0) {
                break;
            }
            limit = distance - 1; /* only a nearer one replaces it */
        }
    }
    return nearest;
}
