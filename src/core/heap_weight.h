// SPDX-License-Identifier: Apache-2.0
/* How many allocations a chosen one stands for: the inverse of the probability with which it was chosen. */
#ifndef OTP_CORE_HEAP_WEIGHT_H
#define OTP_CORE_HEAP_WEIGHT_H

#include <math.h>
#include <stdint.h>

/* `size` bytes were asked for, not 0; samples are `interval` bytes apart. */
static inline double otp_heap_probability(uint64_t size, uint64_t interval) {
    return -expm1(-(double)size / (double)interval);
}

static inline double otp_heap_weight(uint64_t size, uint64_t interval) {
    return 1 / otp_heap_probability(size, interval);
}

#endif
