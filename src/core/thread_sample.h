// SPDX-License-Identifier: Apache-2.0
/* The attributes that say what a thread was doing when it was looked at. On the profiler thread. */
#ifndef OTP_CORE_THREAD_SAMPLE_H
#define OTP_CORE_THREAD_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/futex_lock.h"
#include "core/lock_identity.h"
#include "profile/window.h"
#include "thread_state.h"

struct otp_intake;

#define OTP_THREAD_EXTRAS (OTP_LOCK_EXTRAS + 6)

/* The attributes, and what they point to: it stays where it was made. */
struct otp_thread_sample {
    struct otp_extra extras[OTP_THREAD_EXTRAS];
    uint8_t count;
    char syscall[24];
    struct otp_lock_identity lock;
};

/* Begins with the state (enum otp_thread_run) and the system call (-1: none). */
void otp_thread_sample_make(struct otp_thread_sample *sample, unsigned run, int syscall);

void otp_thread_sample_add_number(struct otp_thread_sample *sample, const char *key, int64_t number);

/* Adds the lock that it waits for; `address`: and where that is. */
void otp_thread_sample_add_lock(struct otp_thread_sample *sample, struct otp_intake *intake,
                                const struct otp_futex_lock *lock, bool address);

/* Adds a sample with these attributes to the window. Returns its group, or OTP_NO_GROUP. */
uint32_t otp_thread_sample_put(const struct otp_thread_sample *sample, struct otp_window *window,
                               const struct otp_sample *base, enum otp_profile_kind type, double value);

#endif
