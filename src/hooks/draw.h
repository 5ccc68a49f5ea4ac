// SPDX-License-Identifier: Apache-2.0
/*
 * Draws of a Poisson process, over bytes or over time: how far it is to the next sample.
 *
 * Integers only: an allocation or a lock must not change the host's floating-point flags.
 */
#ifndef OTP_HOOKS_DRAW_H
#define OTP_HOOKS_DRAW_H

#include <stdint.h>

#define OTP_DRAW_INTERVAL_MAX ((uint64_t)1 << 40)

/* 64 random bits; `state` is the generator's. */
uint64_t otp_draw_bits(uint64_t *state);

/* An exponential distance with mean `interval`, rounded down, for a random number that is equally likely anywhere; 0
 * counts as 1. */
uint64_t otp_draw_distance(uint64_t random, uint64_t interval);

#endif
