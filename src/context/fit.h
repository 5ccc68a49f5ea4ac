// SPDX-License-Identifier: Apache-2.0
/* Text of the host made to fit: valid UTF-8, at most so many bytes, no character cut in two. Private to this room. */
#ifndef OTP_CONTEXT_FIT_H
#define OTP_CONTEXT_FIT_H

#include <stdbool.h>
#include <stddef.h>

#define OTP_FIT_MAX 200 /* largest limit */

/* Writes at most `limit` bytes and no terminator. Returns how many; `cut` tells whether the text was longer. */
size_t otp_fit(char *to, size_t limit, const char *from, size_t length, bool *cut);

#endif
