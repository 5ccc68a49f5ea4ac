// SPDX-License-Identifier: Apache-2.0
/* `otelprof top --leaks`: what of live memory has grown between two windows. */
#ifndef OTP_TOOL_LEAKS_H
#define OTP_TOOL_LEAKS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Compares the last windows in two files (or directories), by stack and attributes, and prints the growth, most of it
 * first: at most `rows` of them as text of `width` characters a line, or all as JSON. An exit code of the program.
 */
int leaks_report(const char *old_path, const char *new_path, size_t rows, size_t width, bool json);

#endif
