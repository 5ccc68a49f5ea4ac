// SPDX-License-Identifier: Apache-2.0
/*
 * System-call filters that the host installs after our start: one that kills must not meet a bpf(2) or
 * perf_event_open(2) of ours, so we look before each.
 */
#ifndef OTP_CORE_SECCOMP_H
#define OTP_CORE_SECCOMP_H

/* Filters on the calling thread (Seccomp_filters of its status, Linux 5.9); 0 if that cannot be read. */
unsigned otp_seccomp_filters(void);

#endif
