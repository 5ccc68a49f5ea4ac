// SPDX-License-Identifier: Apache-2.0
/* What was asked for and is not possible: a sentence each, said once in the log and kept for otelprof_diagnose(). */
#ifndef OTP_CORE_NOTES_H
#define OTP_CORE_NOTES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct otp_notes {
    pthread_mutex_t lock; /* for the text */
    char text[512];       /* a line each */
    bool degraded;        /* there is one; the profiler thread's own */
};

void otp_notes_init(struct otp_notes *notes);
void otp_notes_destroy(struct otp_notes *notes);

/* Adds a sentence, unless it is there. On the profiler thread. */
void otp_notes_add(struct otp_notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies the text, cut to `size`. Any thread. */
void otp_notes_copy(struct otp_notes *notes, char *text, size_t size);

#endif
