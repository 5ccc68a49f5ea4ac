// SPDX-License-Identifier: Apache-2.0
/* Text from elsewhere (thread names, attribute values, symbols) made fit for protobuf strings. */
#ifndef OTP_BASE_UTF8_H
#define OTP_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that otp_utf8_clean() may need for `size` bytes of input: each bad byte becomes U+FFFD, three bytes. */
#define OTP_UTF8_ROOM(size) ((size)*3 + 1)

/* True if the bytes are well-formed UTF-8 (Unicode table 3-7: no surrogates, no overlong forms) without zero bytes. */
bool otp_utf8_valid(const void *bytes, size_t size);

/*
 * Copies `size` bytes of `from` to `to`, with U+FFFD for every byte that belongs to no character and for zero bytes.
 * Stops before a character that would not fit into `room` bytes with the terminator; `room` is at least 1. Returns the
 * length written.
 */
size_t otp_utf8_clean(char *to, size_t room, const void *from, size_t size);

#endif
