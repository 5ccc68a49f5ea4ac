// SPDX-License-Identifier: Apache-2.0
/*
 * The environment as it was before `otelprof run`, so that programs which the target forks and executes are neither
 * preloaded nor configured by us; and ours again, for the program that this very process becomes by an exec.
 *
 * `otelprof run` names the variables that it set in OTELPROF_RUN_SET, separated by colons, and keeps the former value
 * of NAME, if there was one, as OTELPROF_RUN_OLD_NAME. In LD_PRELOAD our entry is found by the name of the object, so
 * that a preload made by hand is undone too. With OTELPROF_RUN_CHILDREN=1 everything stays, for all programs below.
 */
#ifndef OTP_PRELOAD_ENVIRONMENT_H
#define OTP_PRELOAD_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

#define OTP_RUN_SET "OTELPROF_RUN_SET"
#define OTP_RUN_OLD "OTELPROF_RUN_OLD_"
#define OTP_RUN_CHILDREN "OTELPROF_RUN_CHILDREN"
#define OTP_PRELOAD_NAME "libotelprof-preload.so"

/* Copies what is ours in `environment`, once a process: before otp_environment_restore(). Single-threaded. */
void otp_environment_keep(char *const *environment);

/*
 * Edits the array and the strings of `environment` in place, without allocating, and returns where it begins now. The
 * strings stay where programs that write their title over them (nginx, postgres, redis) look for them, and the end of
 * the array where it was: behind it programs that never ask the C library (Go without cgo) look for the auxiliary
 * vector. What was taken out is empty strings before the new beginning. Single-threaded.
 */
char **otp_environment_restore(char **environment);

/* What was kept says that it is for all programs below. */
bool otp_environment_for_children(void);

/* The path of the preload object, as it was kept; NULL: nothing was. Async-signal-safe. */
const char *otp_environment_object(void);

/*
 * A copy of `environment` with what was kept put back, in a mapping of its own. NULL: `environment` has it already,
 * nothing was kept, or there is no memory. Async-signal-safe.
 */
char **otp_environment_with(char *const *environment, size_t *mapped);

/* Gives such a copy back. */
void otp_environment_release(char **copy, size_t mapped);

#endif
