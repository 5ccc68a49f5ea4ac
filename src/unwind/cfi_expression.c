// SPDX-License-Identifier: Apache-2.0
/* The few shapes of DWARF expressions that compilers and linkers put into .eh_frame. DWARF 5 section 2.5. */
#include <elf.h>
#include <string.h>

#include "unwind/cfi.h"
#include "unwind/dwarf_codes.h"

/* base + offset, or *(base + offset) + add. */
struct shape {
    bool ok;
    bool from_cfa; /* base is the CFA that a register rule starts from, not a register */
    bool deref;
    uint32_t reg;
    int64_t offset;
    int64_t add;
};

/* Adds without overflow that the language does not define; what is too large for a rule is refused later. */
static void shape_add(struct shape *shape, int64_t value) {
    int64_t *sum = shape->deref ? &shape->add : &shape->offset;
    *sum = (int64_t)((uint64_t)*sum + (uint64_t)value);
}

/* An operation that pushes a constant. */
static bool constant(struct otp_bytes *bytes, uint8_t op, int64_t *value) {
    if (op >= DW_OP_lit0 && op <= DW_OP_lit31) {
        *value = op - DW_OP_lit0;
        return true;
    }
    switch (op) {
    case DW_OP_const1u:
        *value = otp_bytes_u8(bytes);
        return true;
    case DW_OP_const1s:
        *value = (int8_t)otp_bytes_u8(bytes);
        return true;
    case DW_OP_const2u:
        *value = otp_bytes_u16(bytes);
        return true;
    case DW_OP_const2s:
        *value = (int16_t)otp_bytes_u16(bytes);
        return true;
    case DW_OP_const4u:
        *value = otp_bytes_u32(bytes);
        return true;
    case DW_OP_const4s:
        *value = (int32_t)otp_bytes_u32(bytes);
        return true;
    case DW_OP_constu:
        *value = (int64_t)otp_bytes_uleb(bytes);
        return true;
    case DW_OP_consts:
        *value = otp_bytes_sleb(bytes);
        return true;
    default:
        return false;
    }
}

/* What follows the base: dereference once, add and subtract. */
static bool shape_operation(struct shape *shape, struct otp_bytes *bytes) {
    uint8_t op = otp_bytes_u8(bytes);
    int64_t value;
    if (op == DW_OP_nop)
        return true;
    if (op == DW_OP_deref) {
        bool first = !shape->deref;
        shape->deref = true;
        return first;
    }
    if (op == DW_OP_plus_uconst) {
        shape_add(shape, (int64_t)otp_bytes_uleb(bytes));
        return true;
    }
    if (!constant(bytes, op, &value))
        return false;
    op = otp_bytes_u8(bytes);
    if (op == DW_OP_minus)
        value = (int64_t)(0 - (uint64_t)value);
    else if (op != DW_OP_plus)
        return false;
    shape_add(shape, value);
    return true;
}

static struct shape read_shape(struct otp_bytes bytes) {
    struct shape shape = {.from_cfa = true};
    struct otp_bytes ahead = bytes;
    uint8_t op = otp_bytes_u8(&ahead);
    if (op >= DW_OP_breg0 && op <= DW_OP_breg31) {
        shape.from_cfa = false;
        shape.reg = op - DW_OP_breg0;
        shape.offset = otp_bytes_sleb(&ahead);
        bytes = ahead;
    }
    while (otp_bytes_left(&bytes) && !bytes.bad)
        if (!shape_operation(&shape, &bytes))
            return shape;
    shape.ok = !bytes.bad && !ahead.bad;
    return shape;
}

/* binutils' rule for a PLT entry: breg7 8; breg16 0; lit15; and; litN; ge; lit3; shl; plus. */
static bool plt(struct otp_bytes bytes, int64_t *threshold) {
    static const uint8_t head[] = {DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and};
    static const uint8_t tail[] = {DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus};
    if (otp_bytes_left(&bytes) != sizeof(head) + 1 + sizeof(tail))
        return false;
    uint8_t lit = bytes.at[sizeof(head)];
    if (memcmp(bytes.at, head, sizeof(head)) || memcmp(bytes.at + sizeof(head) + 1, tail, sizeof(tail)) ||
        lit < DW_OP_lit0 || lit > DW_OP_lit15)
        return false;
    *threshold = lit - DW_OP_lit0;
    return true;
}

struct otp_cfa otp_cfi_cfa_expression(const struct otp_cfi_machine *machine, struct otp_bytes expression) {
    struct otp_cfa cfa = {OTP_CFA_BAD, 0, 0, 0};
    if (machine->elf == EM_X86_64 && plt(expression, &cfa.offset)) {
        cfa.form = OTP_CFA_PLT;
        return cfa;
    }
    struct shape shape = read_shape(expression);
    if (!shape.ok || shape.from_cfa)
        return cfa;
    return (struct otp_cfa){shape.deref ? OTP_CFA_DEREF : OTP_CFA_REGISTER, shape.reg, shape.offset, shape.add};
}

struct otp_saved otp_cfi_saved_expression(struct otp_bytes expression) {
    struct shape shape = read_shape(expression);
    if (!shape.ok || shape.deref)
        return (struct otp_saved){OTP_SAVED_OTHER, 0, 0};
    return (struct otp_saved){shape.from_cfa ? OTP_SAVED_AT_CFA : OTP_SAVED_AT_REGISTER, shape.reg, shape.offset};
}
