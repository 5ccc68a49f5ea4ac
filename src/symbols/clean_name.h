// SPDX-License-Identifier: Apache-2.0
/* Makes a name out of bytes that nobody vouches for. Pure. */
#ifndef OTP_SYMBOLS_CLEAN_NAME_H
#define OTP_SYMBOLS_CLEAN_NAME_H

#include <stddef.h>

/*
 * Copies `from` to `to`, at most `size` - 1 bytes and a terminator: valid UTF-8 only, cut between characters, U+FFFD
 * for each byte that is none, '?' for control characters. Returns the length.
 */
size_t otp_clean_name(const char *from, char *to, size_t size);

/* Cuts the version off a symbol's name: "memcpy@@GLIBC_2.14" becomes "memcpy". Returns the name. */
char *otp_strip_version(char *name);

#endif
