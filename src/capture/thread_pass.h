// SPDX-License-Identifier: Apache-2.0
/* Runs a pass over the threads of the process. */
#ifndef OTP_CAPTURE_THREAD_PASS_H
#define OTP_CAPTURE_THREAD_PASS_H

#include <stddef.h>
#include <stdint.h>

#include "capture/descriptor.h"
#include "capture/thread_split.h"

/* What is kept from one pass to the next. Zero at first. */
struct otp_thread_pass {
    uint8_t *buffer;
};

/* 0, or a negative enum otelprof_error with a sentence; what came until then has been handed over. */
int otp_thread_pass_run(struct otp_thread_pass *pass, const struct otp_descriptor *link, otp_thread_pass_fn receiver,
                        void *user);

void otp_thread_pass_free(struct otp_thread_pass *pass);

#endif
