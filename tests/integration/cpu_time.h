// SPDX-License-Identifier: Apache-2.0
/* For programs whose truth is CPU time: clocks in ns. */
#ifndef OTP_TESTS_CPU_TIME_H
#define OTP_TESTS_CPU_TIME_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* CPU time of the calling thread. */
static inline uint64_t thread_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

#endif
