/*
 * Sizes and times as people read them.
 *
 * Pure; any thread.
 */
#pragma once

#include <stdint.h>

/* Room for every text of this header, NUL included. */
#define UNITS_TEXT_BYTES 32

/** "512 B", "1.5 KiB", "12.3 GiB". */
void units_format_bytes(uint64_t bytes, char out[static UNITS_TEXT_BYTES]);

/** "42 s", "3 min 12 s", "5 h 2 min", "12 d 3 h". */
void units_format_seconds(uint64_t seconds, char out[static UNITS_TEXT_BYTES]);

/** "850 us", "1.5 ms", "2.0 s". */
void units_format_microseconds(uint64_t microseconds, char out[static UNITS_TEXT_BYTES]);
