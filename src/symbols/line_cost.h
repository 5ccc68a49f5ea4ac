// SPDX-License-Identifier: Apache-2.0
/*
 * What a line table will cost in memory once libdw has decoded it, found by walking over it without keeping anything:
 * a few bytes of a hostile table can stand for gigabytes. Pure.
 */
#ifndef OTP_SYMBOLS_LINE_COST_H
#define OTP_SYMBOLS_LINE_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest string in a string section (.debug_line_str). */
size_t otp_longest_string(const void *section, size_t size);

/*
 * The cost in bytes of the line table at `offset` of .debug_line. `longest` is the longest string that it may refer to
 * in .debug_line_str or, for the compilation directory, elsewhere. False: damaged, or of a kind that we do not read.
 */
bool otp_line_cost(const void *section, size_t size, uint64_t offset, size_t longest, uint64_t *cost);

#endif
