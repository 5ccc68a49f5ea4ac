// SPDX-License-Identifier: Apache-2.0
/* Numbers to spread things in time by: quick, and good for nothing that must not be guessed. */
#ifndef OTP_BASE_RANDOM_H
#define OTP_BASE_RANDOM_H

#include <stdint.h>

#define OTP_RANDOM_RANGE 2147483648u /* numbers are below */

/* The next number; `state` is the caller's, and starts anywhere. */
static inline uint64_t otp_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

#endif
