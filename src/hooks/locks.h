// SPDX-License-Identifier: Apache-2.0
/* The lock profile's share of the hooks, switched on and off by the profiler thread; see install.h. */
#ifndef OTP_HOOKS_LOCKS_H
#define OTP_HOOKS_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "hooks/lock_wait.h"

/* From now on waits are chosen, `interval_ns` of waiting apart in the mean. After otp_hooks_install(). */
void otp_locks_enable(uint64_t interval_ns);

/*
 * No wait is chosen any more. Waits until the deadline (CLOCK_MONOTONIC) for hooks that are making a record. True: none
 * is left, what they have recorded can be drained, and nothing comes after it.
 */
bool otp_locks_disable(uint64_t deadline_ns);

/* Any thread. */
bool otp_locks_are_on(void);

/* The mean distance of samples in time waited, for locks and for work. Any thread. */
void otp_locks_set_interval(enum otp_wait_class class, uint64_t interval_ns);
uint64_t otp_locks_interval(enum otp_wait_class class);

/* Of releases that chosen threads wait for one in 2^power is recorded with its stack; at most OTP_THINNING_MAX. */
void otp_locks_set_thinning(uint32_t power);
uint32_t otp_locks_thinning(void);

#endif
