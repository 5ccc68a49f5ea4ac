// SPDX-License-Identifier: Apache-2.0
/* What the allocation hooks keep for each thread. Read by benches and tests; nobody else needs it. */
#ifndef OTP_HOOKS_ALLOCATION_HOOKS_H
#define OTP_HOOKS_ALLOCATION_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "hooks/heap_sampler.h"

/* In static thread-local storage: a first access allocates nothing. A dlopen() of the library fails where the loader's
 * reserve of such storage is used up ("cannot allocate memory in static TLS block"). */
struct otp_allocation_thread {
    struct otp_sampler sampler;
    uint64_t run; /* the one in which its generator was seeded; a child's differs from its parent's */
    bool inside;  /* recording: an allocation now comes from a signal handler */
};
extern _Thread_local struct otp_allocation_thread otp_allocation_thread __attribute__((tls_model("initial-exec")));

#endif
