// SPDX-License-Identifier: Apache-2.0
/* The heap profile's share of the hooks, switched on and off by the profiler thread; see install.h. */
#ifndef OTP_HOOKS_HEAP_H
#define OTP_HOOKS_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* From now on allocations are chosen, `interval_bytes` apart in the mean. After otp_hooks_install(). */
void otp_heap_enable(uint64_t interval_bytes);

/*
 * No allocation is chosen any more. Waits until the deadline (CLOCK_MONOTONIC) for hooks that are at work. True: none
 * is left, what they have recorded can be drained, and nothing comes after it.
 */
bool otp_heap_disable(uint64_t deadline_ns);

/* Any thread. */
bool otp_heap_is_on(void);

/* The mean distance of samples. The setter works from any thread; it lasts until the next otp_heap_enable(). */
void otp_heap_set_interval(uint64_t interval_bytes);
uint64_t otp_heap_interval(void);

#endif
