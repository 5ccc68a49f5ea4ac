// SPDX-License-Identifier: Apache-2.0
/*
 * The environment as it was before `otelprof run`, so that programs which the target executes are neither preloaded
 * nor configured by us.
 *
 * `otelprof run` names the variables that it set in OTELPROF_RUN_SET, separated by colons, and keeps the former value
 * of NAME, if there was one, as OTELPROF_RUN_OLD_NAME. In LD_PRELOAD our entry is found by the name of the object, so
 * that a preload made by hand is undone too.
 */
#ifndef OTP_PRELOAD_ENVIRONMENT_H
#define OTP_PRELOAD_ENVIRONMENT_H

#define OTP_RUN_SET "OTELPROF_RUN_SET"
#define OTP_RUN_OLD "OTELPROF_RUN_OLD_"
#define OTP_PRELOAD_NAME "libotelprof-preload.so"

/*
 * Edits the array and the strings of `environment` in place, without allocating: the strings stay where programs that
 * write their title over them (nginx, postgres, redis) look for them. Single-threaded.
 */
void otp_environment_restore(char **environment);

#endif
