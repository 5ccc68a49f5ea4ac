// SPDX-License-Identifier: Apache-2.0
/*
 * Waits and the releases that ended them, which are recorded by two threads and come in either order. A release may
 * have ended several waits (of readers); most come without any, because another thread got the lock. What finds no
 * partner in a while is given up. On the profiler thread.
 */
#ifndef OTP_CORE_LOCK_PAIRS_H
#define OTP_CORE_LOCK_PAIRS_H

#include <stddef.h>
#include <stdint.h>

struct otp_lock_pairs;

/* What a wait says of the one who ended it. */
struct otp_lock_credit {
    uint64_t release;   /* number */
    double contentions; /* estimates */
    double delay_ns;
};

/* NULL when out of memory. */
struct otp_lock_pairs *otp_lock_pairs_new(void);

/* Takes NULL. */
void otp_lock_pairs_free(struct otp_lock_pairs *pairs);

/* Gets the record of a release, whole, and a wait that it ended. */
typedef void (*otp_lock_pair_fn)(void *user, const void *record, size_t size, const struct otp_lock_credit *credit);

void otp_lock_pairs_wait(struct otp_lock_pairs *pairs, const struct otp_lock_credit *credit, uint64_t now_ns,
                         otp_lock_pair_fn paired, void *user);
void otp_lock_pairs_release(struct otp_lock_pairs *pairs, uint64_t release, const void *record, size_t size,
                            uint64_t now_ns, otp_lock_pair_fn paired, void *user);

/* Gives up what came before then. Returns how many waits were. */
uint64_t otp_lock_pairs_give_up(struct otp_lock_pairs *pairs, uint64_t before_ns);

/* Waits given up so far because there was no room. */
uint64_t otp_lock_pairs_crowded_out(const struct otp_lock_pairs *pairs);

#endif
