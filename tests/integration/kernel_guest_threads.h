// SPDX-License-Identifier: Apache-2.0
/* Passes over threads on the kernel that runs: are they all seen where they are, and for how long? */
#ifndef OTP_TESTS_KERNEL_GUEST_THREADS_H
#define OTP_TESTS_KERNEL_GUEST_THREADS_H

#include <stdbool.h>

struct otp_capture;

/* Looks at threads that wait in read(2), of which it makes 20. Prints what was seen; true if that was right. */
bool guest_threads_are_seen(struct otp_capture *capture);

#endif
