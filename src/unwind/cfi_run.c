// SPDX-License-Identifier: Apache-2.0
/* Runs the programs of call frame information. DWARF 5 section 6.4.2. */
#include <elf.h>

#include "unwind/cfi.h"
#include "unwind/dwarf_codes.h"

/* Where the state keeps a register; a bin for those that do not matter. */
static struct otp_saved *place(struct otp_cfi_run *run, uint64_t reg, struct otp_saved *bin) {
    return reg == run->machine->fp ? &run->state.fp : reg == run->machine->ra ? &run->state.ra : bin;
}

static int64_t factored(const struct otp_cfi_run *run, uint64_t offset) {
    return (int64_t)(offset * (uint64_t)run->data_align);
}

static void save(struct otp_cfi_run *run, uint64_t reg, enum otp_saved_form form, int64_t offset) {
    struct otp_saved bin;
    *place(run, reg, &bin) = (struct otp_saved){form, 0, offset};
}

static void restore(struct otp_cfi_run *run, uint64_t reg) {
    if (!run->cie)
        return;
    if (reg == run->machine->fp)
        run->state.fp = run->cie->initial.fp;
    else if (reg == run->machine->ra)
        run->state.ra = run->cie->initial.ra;
}

static void define_cfa(struct otp_cfi_run *run, uint64_t reg, int64_t offset) {
    run->state.cfa = (struct otp_cfa){OTP_CFA_REGISTER, reg > UINT8_MAX ? UINT8_MAX : (uint32_t)reg, offset, 0};
}

static struct otp_bytes block(struct otp_cfi_run *run) {
    uint64_t size = otp_bytes_uleb(&run->bytes);
    const uint8_t *from = otp_bytes_take(&run->bytes, size);
    return otp_bytes(from ? from : run->bytes.end, from ? size : 0);
}

static enum otp_cfi_step advance(struct otp_cfi_run *run, uint64_t delta) {
    run->next = run->location + delta * run->code_align;
    return OTP_CFI_ADVANCE;
}

/* Opcodes that set how the CFA is found. */
static bool cfa_opcode(struct otp_cfi_run *run, uint8_t op) {
    struct otp_bytes *bytes = &run->bytes;
    struct otp_cfa *cfa = &run->state.cfa;
    uint64_t reg;
    switch (op) {
    case DW_CFA_def_cfa:
        reg = otp_bytes_uleb(bytes);
        define_cfa(run, reg, (int64_t)otp_bytes_uleb(bytes));
        return true;
    case DW_CFA_def_cfa_sf:
        reg = otp_bytes_uleb(bytes);
        define_cfa(run, reg, factored(run, (uint64_t)otp_bytes_sleb(bytes)));
        return true;
    case DW_CFA_def_cfa_register:
        reg = otp_bytes_uleb(bytes);
        if (cfa->form == OTP_CFA_REGISTER)
            define_cfa(run, reg, cfa->offset);
        return true;
    case DW_CFA_def_cfa_offset:
        reg = otp_bytes_uleb(bytes);
        if (cfa->form == OTP_CFA_REGISTER)
            cfa->offset = (int64_t)reg;
        return true;
    case DW_CFA_def_cfa_offset_sf:
        reg = (uint64_t)otp_bytes_sleb(bytes);
        if (cfa->form == OTP_CFA_REGISTER)
            cfa->offset = factored(run, reg);
        return true;
    case DW_CFA_def_cfa_expression:
        *cfa = otp_cfi_cfa_expression(run->machine, block(run));
        return true;
    default:
        return false;
    }
}

/* Opcodes that say where a register is saved. */
static bool register_opcode(struct otp_cfi_run *run, uint8_t op) {
    struct otp_bytes *bytes = &run->bytes;
    struct otp_saved bin;
    uint64_t reg = otp_bytes_uleb(bytes);
    switch (op) {
    case DW_CFA_offset_extended:
        save(run, reg, OTP_SAVED_AT_CFA, factored(run, otp_bytes_uleb(bytes)));
        return true;
    case DW_CFA_offset_extended_sf:
        save(run, reg, OTP_SAVED_AT_CFA, factored(run, (uint64_t)otp_bytes_sleb(bytes)));
        return true;
    case DW_CFA_GNU_negative_offset_extended:
        save(run, reg, OTP_SAVED_AT_CFA, factored(run, 0 - otp_bytes_uleb(bytes)));
        return true;
    case DW_CFA_restore_extended:
        restore(run, reg);
        return true;
    case DW_CFA_undefined:
        save(run, reg, OTP_SAVED_UNDEFINED, 0);
        return true;
    case DW_CFA_same_value:
        save(run, reg, OTP_SAVED_SAME, 0);
        return true;
    case DW_CFA_register:
    case DW_CFA_val_offset:
        otp_bytes_uleb(bytes);
        save(run, reg, OTP_SAVED_OTHER, 0);
        return true;
    case DW_CFA_val_offset_sf:
        otp_bytes_sleb(bytes);
        save(run, reg, OTP_SAVED_OTHER, 0);
        return true;
    case DW_CFA_expression:
        *place(run, reg, &bin) = otp_cfi_saved_expression(block(run));
        return true;
    case DW_CFA_val_expression:
        block(run);
        save(run, reg, OTP_SAVED_OTHER, 0);
        return true;
    default:
        return false;
    }
}

static enum otp_cfi_step remember(struct otp_cfi_run *run, uint8_t op) {
    if (op == DW_CFA_remember_state) {
        if (run->remembered == OTP_CFI_REMEMBERED_MAX)
            return OTP_CFI_ERROR;
        run->stack[run->remembered++] = run->state;
    } else {
        if (!run->remembered)
            return OTP_CFI_ERROR;
        run->state = run->stack[--run->remembered];
    }
    return OTP_CFI_END;
}

/* One opcode without operands in its own byte. OTP_CFI_END: done, go on with the next. */
static enum otp_cfi_step extended(struct otp_cfi_run *run, uint8_t op) {
    struct otp_bytes *bytes = &run->bytes;
    uint64_t address;
    switch (op) {
    case DW_CFA_nop:
        return OTP_CFI_END;
    case DW_CFA_advance_loc1:
        return advance(run, otp_bytes_u8(bytes));
    case DW_CFA_advance_loc2:
        return advance(run, otp_bytes_u16(bytes));
    case DW_CFA_advance_loc4:
        return advance(run, otp_bytes_u32(bytes));
    case DW_CFA_MIPS_advance_loc8:
        return advance(run, otp_bytes_u64(bytes));
    case DW_CFA_set_loc:
        address = run->bases->section + (uint64_t)(bytes->at - run->section);
        run->next = otp_cfi_pointer(bytes, run->fde_encoding, address, run->bases);
        return OTP_CFI_ADVANCE;
    case DW_CFA_remember_state:
    case DW_CFA_restore_state:
        return remember(run, op);
    case DW_CFA_GNU_args_size:
        otp_bytes_uleb(bytes);
        return OTP_CFI_END;
    case DW_CFA_GNU_window_save: /* signs the return address; a step takes the signature off */
        return run->machine->elf == EM_AARCH64 ? OTP_CFI_END : OTP_CFI_ERROR;
    default:
        return cfa_opcode(run, op) || register_opcode(run, op) ? OTP_CFI_END : OTP_CFI_ERROR;
    }
}

enum otp_cfi_step otp_cfi_next(struct otp_cfi_run *run) {
    struct otp_bytes *bytes = &run->bytes;
    enum otp_cfi_step step = OTP_CFI_END;
    while (step == OTP_CFI_END && otp_bytes_left(bytes)) {
        uint8_t op = *bytes->at++, low = op & 0x3f;
        switch (op & 0xc0) {
        case DW_CFA_advance_loc:
            step = advance(run, low);
            break;
        case DW_CFA_offset:
            save(run, low, OTP_SAVED_AT_CFA, factored(run, otp_bytes_uleb(bytes)));
            break;
        case DW_CFA_restore:
            restore(run, low);
            break;
        default:
            if (op == DW_CFA_def_cfa_offset && run->state.cfa.form == OTP_CFA_REGISTER) /* half of all */
                run->state.cfa.offset = (int64_t)otp_bytes_uleb(bytes);
            else
                step = extended(run, op);
            break;
        }
    }
    if (bytes->bad || (step == OTP_CFI_ADVANCE && run->next < run->location))
        return OTP_CFI_ERROR;
    return step;
}
