// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The registers of user mode that a walk starts from. */
#ifndef OTP_BPF_REGISTERS_H
#define OTP_BPF_REGISTERS_H

#include "stack_walk.h"

#if defined(__TARGET_ARCH_x86)
#define TAKE_REGISTERS(scratch, regs)                                                                                  \
    do {                                                                                                               \
        (scratch)->frame.pc = (regs)->ip;                                                                              \
        (scratch)->frame.sp = (regs)->sp;                                                                              \
        (scratch)->frame.fp = (regs)->bp;                                                                              \
        (scratch)->frame.lr = 0;                                                                                       \
        uint64_t *reg = (scratch)->leaf.reg; /* DWARF numbers of the x86-64 psABI */                                   \
        reg[0] = (regs)->ax, reg[1] = (regs)->dx, reg[2] = (regs)->cx, reg[3] = (regs)->bx;                            \
        reg[4] = (regs)->si, reg[5] = (regs)->di, reg[6] = (regs)->bp, reg[7] = (regs)->sp;                            \
        reg[8] = (regs)->r8, reg[9] = (regs)->r9, reg[10] = (regs)->r10, reg[11] = (regs)->r11;                        \
        reg[12] = (regs)->r12, reg[13] = (regs)->r13, reg[14] = (regs)->r14, reg[15] = (regs)->r15;                    \
    } while (0)

OTP_INLINE int in_user_mode(const struct otp_perf_regs *regs) { return (regs->cs & 3) == 3; }

#elif defined(__TARGET_ARCH_arm64)
#define TAKE_REGISTERS(scratch, regs_)                                                                                 \
    do {                                                                                                               \
        (scratch)->frame.pc = (regs_)->pc;                                                                             \
        (scratch)->frame.sp = (regs_)->sp;                                                                             \
        (scratch)->frame.fp = (regs_)->regs[29];                                                                       \
        (scratch)->frame.lr = (regs_)->regs[30];                                                                       \
        for (int r = 0; r < 16; r++)                                                                                   \
            (scratch)->leaf.reg[r] = (regs_)->regs[r];                                                                 \
    } while (0)

OTP_INLINE int in_user_mode(const struct otp_perf_regs *regs) { return (regs->pstate & 0xf) == 0; }
#endif

/* The walk begins at the running instruction, with all registers known. */
OTP_INLINE void begin_leaf(struct scratch *scratch) {
    scratch->frame.exact = 1;
    scratch->frame.fp_lost = 0;
    scratch->leaf_valid = 1;
}

/* Registers of user mode, at the interrupt or where the thread entered the kernel. -1: there are none any more. */
OTP_INLINE int take_registers(struct scratch *scratch, struct otp_perf_context *context, struct task_struct *task,
                              int user_mode) {
    begin_leaf(scratch);
    /* The two ends differ so that the compiler cannot make one load of both: to the verifier, the context and kernel
     * memory are pointers of different kinds. By an instruction: two lines at one place are a load error. */
    uint32_t end;
    if (user_mode) {
        TAKE_REGISTERS(scratch, &context->regs);
        asm volatile("%0 = 1" : "=r"(end)::"memory");
        return 0;
    }
    if (!task->mm)
        return -1;
    struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
    TAKE_REGISTERS(scratch, regs);
    asm volatile("%0 = 2" : "=r"(end)::"memory");
    return 0;
}

#endif
