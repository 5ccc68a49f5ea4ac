// SPDX-License-Identifier: Apache-2.0
/*
 * System-call filters that the host installs after our start: one that kills must not meet a bpf(2), perf_event_open(2)
 * or process_vm_readv(2) of ours, so each thread of ours looks before.
 */
#ifndef OTP_CORE_SECCOMP_H
#define OTP_CORE_SECCOMP_H

#include <stdbool.h>

/* Filters on the calling thread (Seccomp_filters of its status, Linux 5.9); 0 if that cannot be read. */
unsigned otp_seccomp_filters(void);

/*
 * True if the calling thread has more filters than `before`. Then nobody here reads memory by process_vm_readv(2) any
 * more.
 */
bool otp_seccomp_filtered(unsigned before);

#endif
