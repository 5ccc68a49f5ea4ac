// SPDX-License-Identifier: Apache-2.0
/* How many allocations, or waits, a chosen one stands for: the inverse of the probability with which it was chosen. */
#ifndef OTP_CORE_SAMPLE_WEIGHT_H
#define OTP_CORE_SAMPLE_WEIGHT_H

#include <math.h>
#include <stdint.h>

/* `size` bytes were asked for, not 0, and samples are `interval` bytes apart; or ns of waiting. */
static inline double otp_sample_probability(uint64_t size, uint64_t interval) {
    return -expm1(-(double)size / (double)interval);
}

static inline double otp_sample_weight(uint64_t size, uint64_t interval) {
    return 1 / otp_sample_probability(size, interval);
}

#endif
