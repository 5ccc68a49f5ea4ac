// SPDX-License-Identifier: Apache-2.0
/* System calls by name. */
#ifndef OTP_CORE_SYSCALL_NAMES_H
#define OTP_CORE_SYSCALL_NAMES_H

/* Such as "futex"; "" for -1 (no system call), NULL for one that was not known when this was built. */
const char *otp_syscall_name(int number);

#endif
