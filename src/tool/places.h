// SPDX-License-Identifier: Apache-2.0
/* Where in a program a sample was: by function and line, or else by module and offset. */
#ifndef OTP_TOOL_PLACES_H
#define OTP_TOOL_PLACES_H

#include <stdbool.h>
#include <stddef.h>

struct otp_otlp_reader;

#define PLACE_BYTES 512 /* room for a function or a place */

/* The text of an attribute of a sample, "" if it has none; a number does not count. */
const char *place_attribute(const struct otp_otlp_reader *reader, size_t profile, size_t sample, const char *key);

/* The number that is an attribute of a sample; -1 if it has none. */
long long place_number(const struct otp_otlp_reader *reader, size_t profile, size_t sample, const char *key);

/* The innermost function that is no wrapper of C++'s library, and its line or its module. */
void place_innermost(const struct otp_otlp_reader *reader, size_t profile, size_t sample, char function[PLACE_BYTES],
                     char place[PLACE_BYTES]);

/* The innermost function that is neither that, nor the kernel's, nor the C library's: the program's own. */
void place_own(const struct otp_otlp_reader *reader, size_t profile, size_t sample, char function[PLACE_BYTES],
               char place[PLACE_BYTES]);

/* Any frame of a stack; of functions that are inlined there, the outermost. False: there is none of that number. */
bool place_of_frame(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t number,
                    char function[PLACE_BYTES], char place[PLACE_BYTES]);

#endif
