// SPDX-License-Identifier: Apache-2.0
/*
 * Tells a forked child from its parent, even after _Fork() or a raw clone(), where no handler runs: a word in a page
 * that the kernel wipes in the child (MADV_WIPEONFORK, Linux 4.14). Every public call looks at it first.
 */
#ifndef OTP_BASE_FORK_GUARD_H
#define OTP_BASE_FORK_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

extern const volatile uint32_t *_Atomic otp_fork_word; /* NULL before the first otp_fork_guard_arm() */

/* Makes this process the owner. 0, or a negative enum otelprof_error. */
int otp_fork_guard_arm(void);

/* True in the process that armed the guard. Wait-free, async-signal-safe. */
static inline bool otp_fork_guard_mine(void) {
    const volatile uint32_t *word = atomic_load_explicit(&otp_fork_word, memory_order_acquire);
    return word && *word;
}

#endif
