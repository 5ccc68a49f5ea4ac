// SPDX-License-Identifier: Apache-2.0
/* From the state of a frame program to a rule of the tables. */
#include <elf.h>

#include "unwind/cfi.h"

/* OTP_SIGNAL_PC of unwind_step.h on x86-64: where the ucontext at sp keeps rip. */
#define X86_64_UCONTEXT_RIP 168

const struct otp_cfi_machine *otp_cfi_machine(uint16_t elf) {
    /* DWARF numbers: x86-64 psABI figure 3.36; AArch64 DWARF ABI section 4.1. */
    static const struct otp_cfi_machine x86_64 = {EM_X86_64, 7, 6, 16};
    static const struct otp_cfi_machine arm64 = {EM_AARCH64, 31, 29, 30};
    return elf == EM_X86_64 ? &x86_64 : elf == EM_AARCH64 ? &arm64 : NULL;
}

static struct otp_rule unsupported(void) { return (struct otp_rule){OTP_RULE_UNSUPPORTED, 0, 0, 0}; }

/* Kind, offset and register; false if no rule has that. */
static bool set_cfa(struct otp_rule *rule, const struct otp_cfi_machine *machine, const struct otp_cfa *cfa) {
    bool sp = cfa->reg == machine->sp, fp = cfa->reg == machine->fp;
    switch (cfa->form) {
    case OTP_CFA_REGISTER:
        if (cfa->offset < INT32_MIN || cfa->offset > INT32_MAX || (!sp && !fp && cfa->reg > 15))
            return false;
        rule->kind = sp ? OTP_RULE_SP : fp ? OTP_RULE_FP : OTP_RULE_REG;
        rule->offset = (int32_t)cfa->offset;
        if (!sp && !fp)
            rule->flags |= (uint8_t)(cfa->reg << OTP_RULE_REG_SHIFT);
        return true;
    case OTP_CFA_DEREF:
        if (cfa->offset < INT16_MIN || cfa->offset > INT16_MAX || cfa->add < INT16_MIN || cfa->add > INT16_MAX ||
            (!sp && !fp))
            return false;
        rule->kind = sp ? OTP_RULE_DEREF_SP : OTP_RULE_DEREF_FP;
        rule->offset = OTP_RULE_OFFSET_PAIR(cfa->offset, cfa->add);
        return true;
    case OTP_CFA_PLT:
        rule->kind = OTP_RULE_PLT;
        rule->offset = (int32_t)cfa->offset;
        return true;
    default:
        return false;
    }
}

static bool short_offset(int64_t offset) { return offset >= INT16_MIN && offset <= INT16_MAX; }

/* Where the caller's frame pointer is. What cannot be said is lost, which matters only to a rule that wants it. */
static void set_fp(struct otp_rule *rule, const struct otp_cfi_machine *machine, const struct otp_cfi_state *state) {
    int64_t offset = state->fp.offset;
    uint8_t how = OTP_FP_LOST;
    switch (state->fp.form) {
    case OTP_SAVED_SAME:
        how = OTP_FP_SAME;
        offset = 0;
        break;
    case OTP_SAVED_AT_CFA:
        how = OTP_FP_CFA;
        break;
    case OTP_SAVED_AT_REGISTER:
        if (state->fp.reg == machine->fp) {
            how = OTP_FP_FP;
        } else if (state->fp.reg == machine->sp && rule->kind == OTP_RULE_SP && short_offset(offset)) {
            how = OTP_FP_CFA;
            offset -= rule->offset;
        }
        break;
    default:
        break;
    }
    if (how == OTP_FP_LOST || !short_offset(offset)) {
        how = OTP_FP_LOST;
        offset = 0;
    }
    rule->flags |= how;
    rule->fp_offset = (int16_t)offset;
}

static struct otp_rule x86_64_rule(const struct otp_cfi_machine *machine, const struct otp_cfi_state *state,
                                   bool signal) {
    struct otp_rule rule = {OTP_RULE_NONE, OTP_RA_CFA, 0, 0};
    if (signal && state->ra.form == OTP_SAVED_AT_REGISTER && state->ra.reg == machine->sp &&
        short_offset(state->ra.offset)) {
        rule.kind = OTP_RULE_SIGNAL;
        rule.offset = (int32_t)state->ra.offset - X86_64_UCONTEXT_RIP;
        return rule;
    }
    if (state->ra.form != OTP_SAVED_AT_CFA || state->ra.offset != -8 || !set_cfa(&rule, machine, &state->cfa))
        return unsupported();
    set_fp(&rule, machine, state);
    return rule;
}

/*
 * The return address is still in the link register, or beside the saved frame pointer (at fp_offset + 8, also when
 * the frame pointer itself is unchanged and its place only counts).
 */
static struct otp_rule arm64_rule(const struct otp_cfi_machine *machine, const struct otp_cfi_state *state,
                                  bool signal) {
    struct otp_rule rule = {OTP_RULE_NONE, 0, 0, 0};
    if (signal)
        return (struct otp_rule){OTP_RULE_SIGNAL, 0, 0, 0}; /* the sigframe starts at sp: arch/arm64/kernel/signal.c */
    if (!set_cfa(&rule, machine, &state->cfa) || rule.kind == OTP_RULE_REG)
        return unsupported();
    set_fp(&rule, machine, state);
    if (state->ra.form == OTP_SAVED_SAME) {
        rule.flags |= OTP_RA_LR;
        return rule;
    }
    if (state->ra.form != OTP_SAVED_AT_CFA || !short_offset(state->ra.offset) || !short_offset(state->ra.offset - 8))
        return unsupported();
    rule.flags |= OTP_RA_BY_FP;
    uint8_t how = rule.flags & OTP_FP_MASK;
    if (how == OTP_FP_SAME || how == OTP_FP_LOST)
        rule.fp_offset = (int16_t)(state->ra.offset - 8);
    else if (how != OTP_FP_CFA || state->ra.offset != rule.fp_offset + 8)
        return unsupported();
    return rule;
}

struct otp_rule otp_cfi_rule(const struct otp_cfi_machine *machine, const struct otp_cfi_state *state, bool signal) {
    if (state->ra.form == OTP_SAVED_UNDEFINED)
        return (struct otp_rule){OTP_RULE_STOP, 0, 0, 0};
    return machine->elf == EM_AARCH64 ? arm64_rule(machine, state, signal) : x86_64_rule(machine, state, signal);
}
