// SPDX-License-Identifier: Apache-2.0
/* Runs a pass over the threads of the process, and takes what it gives apart. */
#ifndef OTP_CAPTURE_THREAD_PASS_H
#define OTP_CAPTURE_THREAD_PASS_H

#include <stddef.h>
#include <stdint.h>

#include "capture/descriptor.h"
#include "thread_state.h"

/* What is kept from one pass to the next. Zero at first. */
struct otp_thread_pass {
    uint8_t *buffer;
};

typedef void (*otp_thread_pass_fn)(void *user, const struct otp_thread_state *state, const void *record, size_t size);

/* 0, or a negative enum otelprof_error with a sentence; what came until then has been handed over. */
int otp_thread_pass_run(struct otp_thread_pass *pass, const struct otp_descriptor *link, otp_thread_pass_fn receiver,
                        void *user);

/*
 * Takes `size` bytes apart: threads, one after the other. Returns how many bytes were those of whole threads: the rest
 * is the beginning of the next one. SIZE_MAX: these are not what a pass gives.
 */
size_t otp_thread_pass_split(const uint8_t *bytes, size_t size, otp_thread_pass_fn receiver, void *user);

void otp_thread_pass_free(struct otp_thread_pass *pass);

#endif
