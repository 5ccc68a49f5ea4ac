// SPDX-License-Identifier: Apache-2.0
/* Takes what a pass over the threads gives apart. */
#ifndef OTP_CAPTURE_THREAD_SPLIT_H
#define OTP_CAPTURE_THREAD_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "thread_state.h"

typedef void (*otp_thread_pass_fn)(void *user, const struct otp_thread_state *state, const void *record, size_t size);

/*
 * Takes `size` bytes apart: threads, one after the other. Returns how many bytes were those of whole threads: the rest
 * is the beginning of the next one. SIZE_MAX: these are not what a pass gives.
 */
size_t otp_thread_pass_split(const uint8_t *bytes, size_t size, otp_thread_pass_fn receiver, void *user);

#endif
