// SPDX-License-Identifier: Apache-2.0
/*
 * The preload object: profiles a program that was not changed. Started by a constructor, stopped when the program
 * ends by return from main, exit() or quick_exit(). What a program loses that ends by _exit(), err() or a fatal signal
 * is the window that was open. A program that changes its user with capabilities of its own making is stopped being
 * profiled there, see interpose_ids.c. By an exec it becomes another program, which is profiled as well.
 */
#ifndef OTP_PRELOAD_PRELOAD_H
#define OTP_PRELOAD_PRELOAD_H

#include <stdbool.h>

/* How long the end of the program may wait for its last window. */
#define OTP_PRELOAD_STOP_MS 2000

/* How long daemon() or an exec may wait for the window of what it is about to end. */
#define OTP_PRELOAD_FLUSH_MS 1000

/* CPU time after which a window may hold a sample that no counter shows yet. */
#define OTP_PRELOAD_WORTH_NS 5000000u

/* How old a child without privileges must be before it is profiled: fork followed by exec costs nothing. */
#define OTP_PRELOAD_CHILD_DELAY_MS 200

/* Delivers the last window, once, in the process that was started. Keeps errno. Thread-safe. */
void otp_preload_stop(void);

/* Delivers the window that is open, for a process about to be replaced by its child. Keeps errno. */
void otp_preload_flush(void);

/* Whether the calling process was started and not stopped. Async-signal-safe. */
bool otp_preload_running(void);

/* Whether the caller is the process whose main we entered: no child. Async-signal-safe. */
bool otp_preload_entered(void);

/* As otp_preload_flush(), if something was sampled. */
void otp_preload_before_exec(void);

/* In a new child, on its only thread: starts profiling it if forks are followed. Keeps errno. */
void otp_preload_child(void);

#endif
