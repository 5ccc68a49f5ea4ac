// SPDX-License-Identifier: Apache-2.0
/*
 * The stack and the span of the calling thread, taken by the thread itself inside a hook: the step and the tables that
 * the kernel's programs use, plain loads bounded by stack_ranges.h, no system call.
 */
#ifndef OTP_HOOKS_HOOK_CAPTURE_H
#define OTP_HOOKS_HOOK_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "hooks/hook_ring.h"
#include "record.h"

/* Functions in this section are hooks: their frames at the top of a stack are left out. */
#define OTP_HOOK_FUNCTION __attribute__((section("otp_hook_text")))

/*
 * A record of the calling thread, in a buffer of the ring: frames and context, the rest zero but for version, type,
 * stop, counts and directory. `caller` is an address in the function that called the hook: the only frame where there
 * are no tables. NULL: no buffer is free. The caller fills in the rest, and calls otp_hook_ring_put() with
 * otp_hook_record_size(). Between otp_hook_enter() and otp_hook_leave().
 */
struct otp_record *otp_hook_capture(enum otp_record_type type, uint64_t caller);

/*
 * A record in which another thread's release stands: one frame, and its context of `context_size` bytes. Otherwise as
 * above.
 */
struct otp_record *otp_hook_leaf_record(enum otp_record_type type, uint64_t caller, const void *context,
                                        size_t context_size);

size_t otp_hook_record_size(const struct otp_record *record);

#endif
