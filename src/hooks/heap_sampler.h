// SPDX-License-Identifier: Apache-2.0
/*
 * Which allocations are samples: a Poisson process over the bytes that a thread asks for. Distances between samples are
 * exponential with mean `interval`, so a request of S bytes is chosen with probability 1 - exp(-S / interval), whatever
 * came before.
 *
 * The common case is the caller's: as long as a request is not larger than `budget`, it takes it off. Otherwise it
 * calls otp_sampler_look(). A long distance is cut into budgets of OTP_SAMPLER_BUDGET_MAX, so that a new interval is
 * taken up soon; each request is decided by one interval, the one whose distance was drawn before it.
 */
#ifndef OTP_HOOKS_HEAP_SAMPLER_H
#define OTP_HOOKS_HEAP_SAMPLER_H

#include <stdint.h>

#include "hooks/draw.h"

#define OTP_SAMPLER_BUDGET_MAX ((uint64_t)256 << 10)
#define OTP_SAMPLER_BUDGET_OFF ((uint64_t)16 << 10) /* between looks while sampling is off */

/* All zero: a thread that has not looked yet. */
struct otp_sampler {
    uint64_t budget;   /* bytes until the next look */
    uint64_t rest;     /* of the distance, beyond the budget */
    uint64_t interval; /* by which the distance was drawn; 0: none was */
    uint64_t random;   /* state of the generator */
};

/*
 * A request larger than the budget. Returns the interval by which it is chosen, or 0. `interval` is the one in force;
 * 0: off.
 */
uint64_t otp_sampler_look(struct otp_sampler *sampler, uint64_t size, uint64_t interval);

#endif
