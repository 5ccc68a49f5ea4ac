// SPDX-License-Identifier: Apache-2.0
/* Clocks in nanoseconds. */
#ifndef OTP_BASE_CLOCK_H
#define OTP_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "base/sys.h"

static inline uint64_t otp_clock_ns(clockid_t clock) {
    struct timespec time = {0, 0};
    otp_sys.clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#endif
