// SPDX-License-Identifier: Apache-2.0
/* Walks by the program otp_walk, which a thread of the host runs on itself: a system call, bpf(2), in the host's name.
 */
#ifndef OTP_CAPTURE_HOOK_WALKER_H
#define OTP_CAPTURE_HOOK_WALKER_H

#include <stddef.h>

#include "unwind/walk.h"

/* `walks` is the map otp_walks in our memory, `stride` apart from place to place. */
struct otp_walker otp_hook_walker(int program_fd, const void *walks, size_t stride);

#endif
