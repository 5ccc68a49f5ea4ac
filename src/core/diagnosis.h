// SPDX-License-Identifier: Apache-2.0
/* Why we stand where we stand, in words: the one source of the start-up message, otelprof_diagnose() and doctor. */
#ifndef OTP_CORE_DIAGNOSIS_H
#define OTP_CORE_DIAGNOSIS_H

#include <stddef.h>

/*
 * Finds out why a start failed with `error` (enum otelprof_error) and the sentence `detail`, and writes reason and
 * remedy: which call, which errno, which capability or setting, how to grant it. At most `size` bytes.
 */
void otp_diagnosis_explain(int error, const char *detail, char *buffer, size_t size);

/* Says in the log that we do not profile, and why: what otp_diagnosis_explain() writes, on one line. */
void otp_diagnosis_log(int error, const char *detail);

#endif
