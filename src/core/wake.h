// SPDX-License-Identifier: Apache-2.0
/*
 * How other threads wake the profiler thread out of its wait: a pipe, whose ends can be told from whatever the host
 * gets under the same numbers when it closes descriptors that it does not know (an eventfd cannot: all share one
 * inode). Nothing is written, read or closed that is not ours any more; the thread then looks when its patience ends.
 */
#ifndef OTP_CORE_WAKE_H
#define OTP_CORE_WAKE_H

#include <sys/types.h>

struct otp_wake {
    int ends[2]; /* read, write; -1: none */
    dev_t device;
    ino_t inode;
};

/* Both ends above 2, closed on exec, and never waited for. 0, or OTELPROF_E_SYSTEM with a sentence. */
int otp_wake_open(struct otp_wake *wake);

/* What to poll for reading; -1 if it is lost. */
int otp_wake_fd(const struct otp_wake *wake);

/* Makes the read end readable. Any thread. */
void otp_wake_up(const struct otp_wake *wake);

/* Takes out what was put in. On the thread that waits. */
void otp_wake_clear(const struct otp_wake *wake);

/* Async-signal-safe. */
void otp_wake_close(struct otp_wake *wake);

#endif
