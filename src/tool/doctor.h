// SPDX-License-Identifier: Apache-2.0
/* What the parts of `otelprof doctor` share: one line for each thing looked at. */
#ifndef OTP_TOOL_DOCTOR_H
#define OTP_TOOL_DOCTOR_H

#include <stdbool.h>

enum doctor_mark {
    DOCTOR_OK,
    DOCTOR_NOTE,    /* profiling works without it, or it tells something only */
    DOCTOR_MISSING, /* needed */
};

/* "  ok       NAME    STATE", with what to do about it below; `advice` may be NULL. */
void doctor_line(enum doctor_mark mark, const char *name, const char *advice, const char *state, ...)
    __attribute__((format(printf, 4, 5)));

/* Whether a capability is effective: CAP_BPF, CAP_PERFMON, or CAP_SYS_ADMIN, which stands for both. */
bool doctor_has(int capability);

/* What this build was made without. */
void doctor_build(void);

/* What this process may do, and what this machine has: looked up, not tried. */
void doctor_process(void);
void doctor_machine(void);

/* Whether profiles can go over the network: looked up, nothing is sent. */
void doctor_network(void);

/* Variables that are set for us; values that may hold a secret are left out. */
void doctor_settings(void);

/* Tries the system calls one by one, then the library itself. True if a profile with samples came out. */
bool doctor_try(void);

#endif
