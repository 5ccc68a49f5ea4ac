// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps the list of mappings that hold stacks (hooks/stack_ranges.h) fresh while hooks record something: at once for a
 * stack that is in none of them, and once a window; but a process with many mappings is not read all the time. On the
 * profiler thread.
 */
#ifndef OTP_CORE_STACK_WATCH_H
#define OTP_CORE_STACK_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct otp_stack_watch {
    uint64_t not_before; /* CLOCK_MONOTONIC: when mappings may be listed again */
    unsigned users;
};

/* For one more, or one less, of those that need it. */
void otp_stack_watch_begin(struct otp_stack_watch *watch);
void otp_stack_watch_end(struct otp_stack_watch *watch);

/* Often: looks if a hook wants it, or if `window` says that a window ends; not where nobody needs it. */
void otp_stack_watch_look(struct otp_stack_watch *watch, bool window);

#endif
