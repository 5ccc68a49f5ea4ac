// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Fixed-width types for headers that kernel and user side both compile. */
#ifndef OTP_BPF_SHARED_TYPES_H
#define OTP_BPF_SHARED_TYPES_H

#ifdef __bpf__
#include "kernel_types.h"
#else
#include <stddef.h>
#include <stdint.h>
#endif

/*
 * Puts a mask where the compiler cannot remove it. clang proves bounds that the verifier of Linux 6.1 forgets when it
 * spills a value; without this the object loads on 6.18 and not on 6.1.
 */
#ifdef __bpf__
#define OTP_BOUND(var, mask) asm volatile("%0 &= %1" : "+r"(var) : "i"(mask))
#else
#define OTP_BOUND(var, mask) ((var) &= (mask))
#endif

#define OTP_INLINE static inline __attribute__((always_inline))

#endif
