// SPDX-License-Identifier: Apache-2.0
/* Text for people: durations, times, and foreign strings made safe for a terminal. */
#ifndef OTP_TOOL_TEXT_H
#define OTP_TOOL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define TEXT_SIZE 48

/* "12.345 s", "1.23 ms": nanoseconds with a unit that fits. Returns `out`. */
const char *text_duration(char out[TEXT_SIZE], uint64_t ns);

/* "12.3 MiB", "512 B". Returns `out`. */
const char *text_bytes(char out[TEXT_SIZE], uint64_t bytes);

/* "12.3 %" of `whole`; "-" if that is 0. Returns `out`. */
const char *text_share(char out[TEXT_SIZE], uint64_t part, uint64_t whole);

/* "2026-11-23 09:26:11" in UTC, with `digits` (0 to 9) of the second's fraction. Returns `out`. */
const char *text_time(char out[TEXT_SIZE], uint64_t unix_ns, int digits);

/* `size` bytes (at most 16) in hex. Returns `out`. */
const char *text_hex(char out[TEXT_SIZE], const uint8_t *bytes, size_t size);

/*
 * Writes UTF-8 text to stdout in a column of `width` characters: cut with ".." if longer, padded with blanks if
 * shorter. Control characters and those that change the direction of writing become '?'.
 */
void text_column(const char *text, size_t width);

/* As text_column(), without padding; width 0: as long as it is. */
void text_cut(const char *text, size_t width);

/* How many characters text_cut() writes with width 0. */
size_t text_width(const char *text);

/* Writes a JSON string, with its quotes, to stdout. */
void text_json(const char *text);

#endif
