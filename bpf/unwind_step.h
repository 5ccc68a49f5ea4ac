// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The unwind step: from the registers of a frame and the rule for its address to the registers of its caller. Pure
 * but for reads of the stack, which the including file provides:
 *
 *     struct otp_stack;                                          whatever it needs
 *     static int otp_stack_read(struct otp_stack *, uint64_t address, uint64_t *word);     0 or negative
 *
 * Compiled into the programs, into the hooks, and into tests that run it over recorded stacks.
 */
#ifndef OTP_BPF_UNWIND_STEP_H
#define OTP_BPF_UNWIND_STEP_H

#include "record.h"
#include "unwind_frame.h"
#include "unwind_table.h"

#if defined(__TARGET_ARCH_x86) || defined(__x86_64__)
/* Offsets into the ucontext that a signal frame leaves at sp (arch/x86/include/uapi/asm/ucontext.h, sigcontext.h). */
#define OTP_SIGNAL_FP 120
#define OTP_SIGNAL_SP 160
#define OTP_SIGNAL_PC 168
#define OTP_SIGNAL_LR 0 /* there is none */
#elif defined(__TARGET_ARCH_arm64) || defined(__aarch64__)
/* struct rt_sigframe: siginfo (128), ucontext up to uc_mcontext (176), fault_address, regs[31], sp, pc. */
#define OTP_SIGNAL_REGS (128 + 176 + 8)
#define OTP_SIGNAL_FP (OTP_SIGNAL_REGS + 29 * 8)
#define OTP_SIGNAL_LR (OTP_SIGNAL_REGS + 30 * 8)
#define OTP_SIGNAL_SP (OTP_SIGNAL_REGS + 31 * 8)
#define OTP_SIGNAL_PC (OTP_SIGNAL_REGS + 32 * 8)
/*
 * Code that signs return addresses (pointer authentication) leaves the signature above the address. User addresses
 * have 48 bits unless a program asks mmap() for more (Documentation/arch/arm64/memory.rst).
 */
#define OTP_CODE_ADDRESS(word) ((word)&0xffffffffffffull)
#endif
#ifndef OTP_CODE_ADDRESS
#define OTP_CODE_ADDRESS(word) (word)
#endif

/* The two reads that nearly every step makes; who includes this may have a quicker way for them. */
#ifndef OTP_STACK_READ
#define OTP_STACK_READ otp_stack_read
#endif

/* The address whose rule describes the frame. A return address may be the first byte of the next function. */
OTP_INLINE uint64_t otp_frame_lookup_pc(const struct otp_frame *frame) {
    return frame->exact ? frame->pc : frame->pc - 1;
}

OTP_INLINE int otp_step_signal(struct otp_stack *stack, struct otp_frame *frame, int32_t offset) {
    uint64_t base = frame->sp + offset;
    uint64_t pc, sp, fp;
    if (otp_stack_read(stack, base + OTP_SIGNAL_FP, &fp) || otp_stack_read(stack, base + OTP_SIGNAL_SP, &sp) ||
        otp_stack_read(stack, base + OTP_SIGNAL_PC, &pc))
        return OTP_STOP_READ_FAULT;
#if OTP_SIGNAL_LR
    if (otp_stack_read(stack, base + OTP_SIGNAL_LR, &frame->lr))
        return OTP_STOP_READ_FAULT;
#endif
    frame->pc = pc;
    frame->sp = sp; /* may be anywhere: the handler can have had a stack of its own */
    frame->fp = fp;
    frame->exact = 1;
    frame->fp_lost = 0;
    return -1;
}

/* Reads what the frame saved: return address and the caller's frame pointer. -1, or the enum otp_stop. */
OTP_INLINE int otp_step_saved(struct otp_stack *stack, const struct otp_frame *frame, const struct otp_rule *rule,
                              uint64_t cfa, uint64_t *ra, uint64_t *fp, uint32_t *lost) {
    uint32_t flags = rule->flags;
    uint32_t fp_rule = flags & OTP_FP_MASK, ra_rule = flags & OTP_RA_MASK;
    uint64_t fp_at = (fp_rule == OTP_FP_FP ? *fp : cfa) + rule->fp_offset;
    if (ra_rule == OTP_RA_LR) {
        if (!frame->exact)
            return OTP_STOP_BAD_FRAME;
        *ra = frame->lr;
    } else if (OTP_STACK_READ(stack, ra_rule == OTP_RA_CFA ? cfa - 8 : fp_at + 8, ra)) {
        return OTP_STOP_READ_FAULT;
    }
    if (fp_rule == OTP_FP_LOST) {
        *lost = 1;
    } else if (fp_rule != OTP_FP_SAME) {
        if (fp_rule == OTP_FP_FP && *lost)
            return OTP_STOP_UNSUPPORTED;
        if (OTP_STACK_READ(stack, fp_at, fp))
            return OTP_STOP_READ_FAULT;
        *lost = 0;
    }
    return -1;
}

/*
 * Goes to the caller. `leaf` is NULL for all but the innermost frame. Returns -1 to go on, or the enum otp_stop
 * that ends the walk; the frame is then unchanged but for the signal case.
 */
OTP_INLINE int otp_unwind_step(struct otp_stack *stack, struct otp_frame *frame, const struct otp_rule *rule,
                               const struct otp_leaf_registers *leaf) {
    uint64_t cfa, ra = 0, fp = frame->fp;
    uint32_t lost = frame->fp_lost;
    int32_t offset = rule->offset;
    uint32_t flags = rule->flags;

    switch (rule->kind) {
    case OTP_RULE_STOP:
        return OTP_STOP_COMPLETE;
    case OTP_RULE_SP:
        cfa = frame->sp + offset;
        break;
    case OTP_RULE_FP:
    case OTP_RULE_FRAMEPTR:
        if (lost)
            return OTP_STOP_UNSUPPORTED;
        cfa = fp + offset;
        break;
    case OTP_RULE_PLT:
        cfa = frame->sp + 8 + ((frame->pc & 15) >= (uint32_t)offset ? 8 : 0);
        break;
    case OTP_RULE_SIGNAL:
        return otp_step_signal(stack, frame, offset);
    case OTP_RULE_DEREF_SP:
    case OTP_RULE_DEREF_FP:
        if (rule->kind == OTP_RULE_DEREF_FP && lost)
            return OTP_STOP_UNSUPPORTED;
        cfa = (rule->kind == OTP_RULE_DEREF_SP ? frame->sp : fp) + (int16_t)(offset & 0xffff);
        if (otp_stack_read(stack, cfa, &cfa))
            return OTP_STOP_READ_FAULT;
        cfa += (int16_t)(offset >> 16);
        break;
    case OTP_RULE_REG:
        if (!leaf)
            return OTP_STOP_UNSUPPORTED;
        cfa = leaf->reg[(flags >> OTP_RULE_REG_SHIFT) & 15] + offset;
        break;
    case OTP_RULE_UNSUPPORTED:
        return OTP_STOP_UNSUPPORTED;
    default:
        return OTP_STOP_NO_ROWS;
    }

    /* The caller's frame lies above. In the leaf of arm64 it may be the same. */
    if (cfa < frame->sp || (cfa == frame->sp && (flags & OTP_RA_MASK) != OTP_RA_LR) || (cfa & 7))
        return rule->kind == OTP_RULE_FRAMEPTR ? OTP_STOP_NO_ROWS : OTP_STOP_BAD_FRAME;

    int stop = otp_step_saved(stack, frame, rule, cfa, &ra, &fp, &lost);
    if (stop >= 0)
        return stop;
    frame->pc = OTP_CODE_ADDRESS(ra);
    frame->sp = cfa;
    frame->fp = fp;
    frame->exact = 0;
    frame->fp_lost = lost;
    return -1;
}

#endif
