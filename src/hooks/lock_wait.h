// SPDX-License-Identifier: Apache-2.0
/*
 * One wait for a lock, and one release of it, as the hooks tell of them. Which waits are samples: a Poisson process
 * over the time that a thread waits, as heap_sampler.h has it over bytes.
 *
 * What counts as waited in that decision is the time from the wait's beginning until the release that ended it, and
 * OTP_WAKING_NS for the rest, because that is known to both sides: so the holder knows at its release whether the
 * waiter will be a sample, and both sides make a record or none. Where no release was seen it is the whole wait.
 *
 * Nothing here touches the lock itself: once it is released it may be gone.
 */
#ifndef OTP_HOOKS_LOCK_WAIT_H
#define OTP_HOOKS_LOCK_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "hooks/hook_capture.h"
#include "hooks/lock_board.h"
#include "record.h"

#define OTP_WAKING_NS 10000u
#define OTP_THINNING_MAX 16
#define OTP_RELEASE_GAP_NS 5000u /* releases of one lock that come closer are thinned */

/* Waiting for work does not crowd out waiting for locks: each has its own interval. */
enum otp_wait_class { OTP_WAIT_LOCK, OTP_WAIT_WORK, OTP_WAIT_CLASSES };

enum otp_wait_end {
    OTP_WAIT_GOT, /* what was waited for is there */
    OTP_WAIT_TIMED_OUT,
    OTP_WAIT_INTERRUPTED, /* by a signal's handler */
    OTP_WAIT_ERROR,       /* there was no wait */
};

struct otp_lock_wait {
    uint64_t lock;
    uint64_t start_ns;
    uint64_t left, interval; /* the sampler's, at the beginning */
    uint32_t place;          /* on the board */
    uint32_t owner;          /* thread id; 0: not known */
    enum otp_lock_kind kind;
    bool posted;
};

struct otp_lock_release {
    uint64_t lock;
    struct otp_release_notice notice;
    enum otp_lock_kind kind;
    bool wanted; /* a waiter is chosen, and this release is to be recorded */
};

/* False: nobody wants to know, and otp_lock_wait_end() must not follow. */
OTP_HOOK_FUNCTION bool otp_lock_wait_begin(struct otp_lock_wait *wait, enum otp_lock_kind kind,
                                           const volatile void *lock, uint32_t owner);

/* Lets those who have the lock see it: before the real function is called, for what has a holder. */
OTP_HOOK_FUNCTION void otp_lock_wait_post(struct otp_lock_wait *wait);

OTP_HOOK_FUNCTION void otp_lock_wait_end(const struct otp_lock_wait *wait, enum otp_wait_end end, uint64_t caller);

/* Before the lock is released, and after it. `kind` is how it was held. */
OTP_HOOK_FUNCTION bool otp_lock_release_begin(struct otp_lock_release *release, enum otp_lock_kind kind,
                                              const volatile void *lock, uint64_t caller);
OTP_HOOK_FUNCTION void otp_lock_release_end(const struct otp_lock_release *release, bool released, uint64_t caller);

#endif
