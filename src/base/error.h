// SPDX-License-Identifier: Apache-2.0
/* The sentence behind otelprof_last_error(): one a thread, and the numbers of the public header. */
#ifndef OTP_BASE_ERROR_H
#define OTP_BASE_ERROR_H

#include <otelprof/otelprof.h>

/* Keeps a sentence for the calling thread, and returns `error`, so that callers can say `return otp_error(...)`. */
int otp_error(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As otp_error(), and adds ": TEXT (errno N)" for the number given. Keeps errno as it was. */
int otp_error_errno(int error, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As otp_error() for a sentence that is a constant: keeps the pointer only, for calls that services make often. */
int otp_error_constant(int error, const char *constant);

/* The calling thread's sentence; "" if there is none. */
const char *otp_error_text(void);

#endif
