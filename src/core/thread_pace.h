// SPDX-License-Identifier: Apache-2.0
/*
 * When the next tick of wall time is due: at the rate that is wanted, but never in step with anything, and seldom
 * enough that ticks take no more than their share of a core. Plain arithmetic.
 */
#ifndef OTP_CORE_THREAD_PACE_H
#define OTP_CORE_THREAD_PACE_H

#include <stdint.h>

struct otp_thread_pace {
    uint64_t wanted_ns; /* between two ticks, on average */
    uint32_t permille;  /* of a core; 0: as much as it takes */
    uint64_t cost_ns;   /* CPU time of a tick, smoothed */
    uint64_t debt_ns;   /* spent beyond the share so far */
    uint64_t last_ns;   /* when the last tick was paced */
    uint64_t next_ns;   /* when the next one is due */
    uint64_t random;
};

void otp_thread_pace_init(struct otp_thread_pace *pace, uint64_t wanted_ns, uint32_t permille, uint64_t seed);

/* Ticks begin: the first is due at once. */
void otp_thread_pace_start(struct otp_thread_pace *pace, uint64_t now_ns);

/* A tick that began at `now_ns` has cost `cost_ns` of CPU time: sets next_ns. */
void otp_thread_pace_ticked(struct otp_thread_pace *pace, uint64_t now_ns, uint64_t cost_ns);

/* The mean distance of ticks, as things are. */
uint64_t otp_thread_pace_interval(const struct otp_thread_pace *pace);

#endif
