// SPDX-License-Identifier: Apache-2.0
/*
 * Which memory may be read by plain loads: the writable mappings of the process, listed by the profiler thread now and
 * then. A hook that walks the stack it runs on reads from its stack pointer up to the end of the mapping, and no more.
 *
 * The list is as old as the last look. A stack that is in none of its ranges (a thread that has just begun, a
 * coroutine) is read to the end of the page, which is surely there, and the profiler is asked to look again. The main
 * thread's stack grows: the kernel leaves stack_guard_gap (1 MiB unless told otherwise at boot) free below it, so a
 * stack pointer less than that below the range is on that stack too.
 */
#ifndef OTP_HOOKS_STACK_RANGES_H
#define OTP_HOOKS_STACK_RANGES_H

#include <stdbool.h>
#include <stdint.h>

/* The end of what may be read from `sp` on. Between otp_hook_enter() and otp_hook_leave(). Any thread. */
uint64_t otp_stack_end(uint64_t sp);

/*
 * Lists the mappings anew, waiting until the deadline (CLOCK_MONOTONIC) for hooks that may be reading the list of the
 * time before last. False: not done, and the list in force stays. On the profiler thread.
 */
bool otp_stack_ranges_look(uint64_t deadline_ns);

/* True once after a hook met a stack in no range. */
bool otp_stack_ranges_wanted(void);

/* No list is in force from now on. */
void otp_stack_ranges_hide(void);

#endif
