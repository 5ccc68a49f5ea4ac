// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that runs out: after failing_calls_after(n), the next n allocations of the library's own code succeed and all
 * later ones fail. For tests that fail each allocation in turn. Empty without
 * OTP_SYS_SWAPPABLE.
 */
#ifndef OTP_TESTS_FAILING_CALLS_H
#define OTP_TESTS_FAILING_CALLS_H

#include <stdbool.h>
#include <stdlib.h>

#include "base/sys.h"

#ifdef OTP_SYS_SWAPPABLE
static int failing_calls_left;

static inline bool failing_calls_allow(void) { return failing_calls_left-- > 0; }
static inline void *failing_malloc(size_t size) { return failing_calls_allow() ? malloc(size) : NULL; }
static inline void *failing_calloc(size_t count, size_t size) {
    return failing_calls_allow() ? calloc(count, size) : NULL;
}
static inline void *failing_realloc(void *block, size_t size) {
    return failing_calls_allow() ? realloc(block, size) : NULL;
}

static inline void failing_calls_after(int calls) {
    failing_calls_left = calls;
    otp_sys.malloc = failing_malloc;
    otp_sys.calloc = failing_calloc;
    otp_sys.realloc = failing_realloc;
}

/* Puts every call back, also those that the test replaced itself. True if none had failed by now. */
static inline bool failing_calls_end(void) {
    otp_sys = otp_sys_real;
    return failing_calls_left >= 0;
}

#endif
#endif
