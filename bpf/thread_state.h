// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a pass over the threads of the process tells of a thread: this, and behind it a record of type
 * OTP_RECORD_THREAD (record.h), whose weight is the time that the thread was blocked since it was told last.
 */
#ifndef OTP_BPF_THREAD_STATE_H
#define OTP_BPF_THREAD_STATE_H

#include "shared_types.h"

#define OTP_PLACES 16384 /* threads that are known to stand still without a record each time */
#define OTP_LOCK_WORDS 6 /* from a futex on: reaches the owner in glibc's mutex and read/write lock */

enum otp_thread_run {
    OTP_THREAD_RUNNING = 1,
    OTP_THREAD_RUNNABLE,        /* waits for a CPU */
    OTP_THREAD_SLEEPING,        /* blocked, signals end it */
    OTP_THREAD_UNINTERRUPTIBLE, /* blocked */
    OTP_THREAD_STOPPED,         /* by a signal or a debugger */
    OTP_THREAD_RUNS,
};

struct otp_thread_state {
    uint64_t cpu_ns;      /* CPU time of the thread so far */
    uint64_t switches;    /* how often it was switched out so far */
    uint64_t runnable_ns; /* time that it waited for a CPU since that was told last; 0: little */
    uint64_t ran_ns;      /* time that it ran since that was told last, if no clock event has met it in long; or 0 */
    uint64_t stood_ns;    /* until when it is known to have stood where it was told before; kernel's monotonic clock */
    uint64_t argument[3]; /* of the system call: the first, the second, and the fourth */
    uint32_t lock_words[OTP_LOCK_WORDS]; /* in futex(2): what lies there */
    uint32_t place;                      /* where the pass will note how long it stands still, from 1; 0: nowhere */
    int32_t syscall;                     /* number; -1: in none */
    uint8_t run;                         /* enum otp_thread_run */
    uint8_t lock_words_valid;
    uint8_t reserved[6];
};
_Static_assert(sizeof(struct otp_thread_state) == 104, "a whole number of words");

/*
 * Index in otp_still_ns of a place: until when (kernel's monotonic clock) the thread is known to stand where the record
 * with this place told it. Places are given anew in each epoch; those of the epoch before stay readable.
 */
#define OTP_PLACE_INDEX(epoch, place) (((epoch)&1) * OTP_PLACES + (place)-1)

#endif
