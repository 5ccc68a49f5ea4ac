// SPDX-License-Identifier: Apache-2.0
/* Makes names and paths out of bytes that nobody vouches for. Pure. */
#ifndef OTP_SYMBOLS_CLEAN_NAME_H
#define OTP_SYMBOLS_CLEAN_NAME_H

#include <stddef.h>

/*
 * Copies `from` to `to`, at most `size` - 1 bytes and a terminator: valid UTF-8 only, cut between characters, U+FFFD
 * for each byte that is none, '?' for control characters. Returns the length.
 */
size_t otp_clean_name(const char *from, char *to, size_t size);

/*
 * Joins a compilation directory (NULL: none) and the path of a source file, and takes out "." and "NAME/..": one file
 * shall have one name, whichever unit includes it. Absolute paths, and those that start with the directory already,
 * stay where they are. Writes at most `size` bytes.
 */
void otp_join_path(const char *directory, const char *file, char *to, size_t size);

/* Cuts the version off a symbol's name: "memcpy@@GLIBC_2.14" becomes "memcpy". Returns the name. */
char *otp_strip_version(char *name);

#endif
