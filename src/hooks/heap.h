// SPDX-License-Identifier: Apache-2.0
/*
 * The heap profile's share of the hooks, switched on and off. Whose thread: otp_heap_install() and otp_heap_remove()
 * take the loader's lock, and are for threads of the host; the others never do, and are for the profiler thread, but
 * for what says otherwise.
 */
#ifndef OTP_HOOKS_HEAP_H
#define OTP_HOOKS_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hooks/hook_ring.h"
#include "hooks/patch.h"

/*
 * Makes what hooks need, with room for `live_max` live blocks, and has the words of all objects lead to them; they stay
 * idle until otp_heap_enable(). 0, OTELPROF_E_MEMORY, OTELPROF_E_KERNEL, with a sentence. Any
 * thread of the host.
 */
int otp_heap_install(uint32_t live_max);

/* Puts the words back. */
void otp_heap_remove(void);

/* From now on allocations are chosen, `interval_bytes` apart in the mean. After otp_heap_install(). */
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

/* In a forked child. Async-signal-safe. */
void otp_heap_forked_child(void);

#endif
