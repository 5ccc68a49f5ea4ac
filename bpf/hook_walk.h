// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A thread that has the program otp_walk unwind its own stack (BPF_PROG_RUN): where it is, and what came of it. The
 * frames are in the map otp_walks, at the thread's place behind a struct otp_record that nobody fills.
 */
#ifndef OTP_BPF_HOOK_WALK_H
#define OTP_BPF_HOOK_WALK_H

#include "shared_types.h"

#define OTP_WALK_PLACES 64 /* threads that can be at it at once, each at a place of its own */

struct otp_hook_walk {
    uint64_t pc, sp, fp, lr; /* of the thread, at this moment */
    uint32_t place;
    uint32_t count;     /* out: of frames */
    uint32_t stop;      /* out: enum otp_stop */
    uint32_t directory; /* out: see otp_record */
};

#endif
