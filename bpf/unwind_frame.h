// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The registers that an unwind step starts from and arrives at. */
#ifndef OTP_BPF_UNWIND_FRAME_H
#define OTP_BPF_UNWIND_FRAME_H

#include "shared_types.h"

/* x86-64: rip, rsp, rbp. arm64: pc, sp, x29 and the link register (leaf only). */
struct otp_frame {
    uint64_t pc;
    uint64_t sp;
    uint64_t fp;
    uint64_t lr;
    uint32_t exact;   /* 1: pc is the running instruction (leaf, or interrupted by a signal); 0: a return address */
    uint32_t fp_lost; /* 1: fp is not known */
};

/* Registers that a rule of the leaf may start from (OTP_RULE_REG), by DWARF number. */
struct otp_leaf_registers {
    uint64_t reg[16];
};

#endif
