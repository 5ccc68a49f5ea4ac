// SPDX-License-Identifier: Apache-2.0
/* Messages to the host's logger. Silent until core sets one. */
#ifndef OTP_BASE_LOG_H
#define OTP_BASE_LOG_H

#include <otelprof/otelprof.h>

/* Sets the receiver; NULL silences. `level` is the most talkative level that passes. */
void otp_log_set(otelprof_log_fn receiver, void *user, enum otelprof_log_level level);

/* Formats and hands over one message, under a lock so that the receiver never runs twice at once. Keeps errno. */
void otp_log(enum otelprof_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The level in force. */
enum otelprof_log_level otp_log_level(void);

/* In a forked child: forgets the receiver without taking the lock, which another thread may have held. */
void otp_log_forget(void);

#endif
