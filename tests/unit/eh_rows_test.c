// SPDX-License-Identifier: Apache-2.0
/* Rows from sections made by hand: each kind of rule, both machines, and bytes that make no sense. */
#include <check.h>
#include <elf.h>
#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "test_main.h"
#include "unwind/dwarf_codes.h"
#include "unwind/eh_rows.h"
#include "unwind/rule_pool.h"

#define TEXT 0x10000u
#define TEXT_SIZE 0x4000u
#define SECTION 0x40000u

/* ------------------------------------------------------------------------------------------- a section's assembler */

struct section {
    uint8_t bytes[8192];
    size_t size;
    size_t record; /* where the open record's length stands */
    bool wide;     /* it has a 64-bit length */
};

static void put(struct section *section, const void *bytes, size_t size) {
    ck_assert_uint_le(section->size + size, sizeof(section->bytes));
    memcpy(section->bytes + section->size, bytes, size);
    section->size += size;
}

static void put8(struct section *section, uint8_t value) { put(section, &value, 1); }
static void put32(struct section *section, uint32_t value) { put(section, &value, 4); }
static void put64(struct section *section, uint64_t value) { put(section, &value, 8); }

static void begin(struct section *section, bool wide) {
    section->record = section->size;
    section->wide = wide;
    put32(section, wide ? UINT32_MAX : 0);
    if (wide)
        put64(section, 0);
}

static void end(struct section *section) {
    while (section->size % 4)
        put8(section, DW_CFA_nop);
    uint64_t length = section->size - section->record - (section->wide ? 12 : 4);
    memcpy(section->bytes + section->record + (section->wide ? 4 : 0), &length, section->wide ? 8 : 4);
}

/* A common entry. Returns its offset. x86-64: CFA = rsp + 8, return address at CFA - 8. arm64: CFA = sp. */
static size_t cie(struct section *section, uint16_t machine, const char *letters, uint8_t encoding) {
    size_t at = section->size;
    begin(section, false);
    put32(section, 0);
    put8(section, 1);
    put(section, letters, strlen(letters) + 1);
    put8(section, machine == EM_X86_64 ? 1 : 4);
    put8(section, 0x78); /* -8 */
    put8(section, machine == EM_X86_64 ? 16 : 30);
    if (letters[0] == 'z') {
        put8(section, strchr(letters, 'R') ? 1 : 0);
        if (strchr(letters, 'R'))
            put8(section, encoding);
    }
    put8(section, DW_CFA_def_cfa);
    put8(section, machine == EM_X86_64 ? 7 : 31);
    put8(section, machine == EM_X86_64 ? 8 : 0);
    if (machine == EM_X86_64) {
        put8(section, DW_CFA_offset | 16);
        put8(section, 1);
    }
    end(section);
    return at;
}

/* Opens a frame entry for [start, start + length) of the text. */
static void fde_begin(struct section *section, size_t cie_at, uint32_t start, uint32_t length, bool wide) {
    begin(section, wide);
    put32(section, (uint32_t)(section->size - cie_at));
    put32(section, TEXT + start - (SECTION + (uint32_t)section->size));
    put32(section, length);
    put8(section, 0); /* augmentation data */
}

static void fde(struct section *section, size_t cie_at, uint32_t start, uint32_t length, const void *program,
                size_t size) {
    fde_begin(section, cie_at, start, length, false);
    put(section, program, size);
    end(section);
}

/* ------------------------------------------------------------------------------------------------------ asking */

struct result {
    struct otp_eh_rows rows;
    struct otp_rule_pool *pool;
    int error;
};

static struct otp_eh_input input_of(const struct section *section, uint16_t machine) {
    return (struct otp_eh_input){.section = section->bytes,
                                 .size = section->size,
                                 .address = SECTION,
                                 .text_start = TEXT,
                                 .text_end = TEXT + TEXT_SIZE,
                                 .machine = machine};
}

static struct result build(const struct section *section, uint16_t machine) {
    struct result result = {.pool = otp_rule_pool_new()};
    struct otp_eh_input input = input_of(section, machine);
    result.error = otp_eh_rows_build(&input, result.pool, &result.rows);
    return result;
}

static void done(struct result *result) {
    otp_eh_rows_free(&result->rows);
    otp_rule_pool_free(result->pool);
}

static struct otp_rule rule_at(const struct result *result, uint32_t offset) {
    uint32_t low = result->rows.pages[offset >> 12], high = result->rows.pages[(offset >> 12) + 1], count;
    while (low < high && OTP_ROW_PC(result->rows.rows[low]) <= (offset & 0xfff))
        low++;
    ck_assert_uint_gt(low, 0);
    return otp_rule_pool_rules(result->pool, &count)[OTP_ROW_RULE(result->rows.rows[low - 1])];
}

static void expect(const struct result *result, uint32_t offset, uint8_t kind, uint8_t flags, int fp_offset,
                   int32_t rule_offset) {
    struct otp_rule rule = rule_at(result, offset);
    ck_assert_msg(rule.kind == kind && rule.flags == flags && rule.fp_offset == fp_offset && rule.offset == rule_offset,
                  "+0x%x: kind %u flags 0x%x fp %d offset %d", offset, rule.kind, rule.flags, rule.fp_offset,
                  rule.offset);
}

#define PROGRAM(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define ADVANCE(n) (DW_CFA_advance_loc | (n))

/* ------------------------------------------------------------------------------------------------------- tests */

START_TEST(an_ordinary_function) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_X86_64, "zR", 0x1b);
    fde(&section, common, 0x100, 0x50,
        PROGRAM(ADVANCE(1), DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2, ADVANCE(3), DW_CFA_def_cfa_register, 6,
                ADVANCE(0x20), DW_CFA_remember_state, DW_CFA_def_cfa, 7, 8, DW_CFA_restore | 6, ADVANCE(1),
                DW_CFA_restore_state, DW_CFA_advance_loc1, 8, DW_CFA_def_cfa, 7, 0xd0, 0x80, 0x04));
    struct result result = build(&section, EM_X86_64);
    ck_assert_int_eq(result.error, 0);
    ck_assert_uint_eq(result.rows.functions, 1);
    ck_assert_uint_eq(result.rows.covered, 0x50);
    expect(&result, 0, OTP_RULE_NONE, 0, 0, 0);
    expect(&result, 0xff, OTP_RULE_NONE, 0, 0, 0);
    expect(&result, 0x100, OTP_RULE_SP, OTP_FP_SAME, 0, 8);
    expect(&result, 0x101, OTP_RULE_SP, OTP_FP_CFA, -16, 16);
    expect(&result, 0x104, OTP_RULE_FP, OTP_FP_CFA, -16, 16);
    expect(&result, 0x123, OTP_RULE_FP, OTP_FP_CFA, -16, 16);
    expect(&result, 0x124, OTP_RULE_SP, OTP_FP_SAME, 0, 8);
    expect(&result, 0x125, OTP_RULE_FP, OTP_FP_CFA, -16, 16);
    expect(&result, 0x12d, OTP_RULE_SP, OTP_FP_CFA, -16, 0x10050);
    expect(&result, 0x14f, OTP_RULE_SP, OTP_FP_CFA, -16, 0x10050);
    expect(&result, 0x150, OTP_RULE_NONE, 0, 0, 0);
    expect(&result, TEXT_SIZE - 1, OTP_RULE_NONE, 0, 0, 0);
    ck_assert_uint_eq(result.rows.page_count, TEXT_SIZE / 4096 + 1);
    ck_assert_uint_eq(result.rows.row_count, 8);
    done(&result);
}
END_TEST

START_TEST(expressions) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_X86_64, "zR", 0x1b);
    for (uint8_t lit = 10; lit <= 11; lit++)
        fde(&section, common, lit * 0x100, 0x40,
            PROGRAM(DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and,
                    (uint8_t)(DW_OP_lit0 + lit), DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus));
    fde(&section, common, 0xc00, 0x40,
        PROGRAM(DW_CFA_def_cfa_expression, 6, DW_OP_breg7, 0xf8, 0x00, DW_OP_deref, DW_OP_plus_uconst, 8));
    fde(&section, common, 0xd00, 0x40,
        PROGRAM(DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78, DW_OP_deref, DW_CFA_expression, 6, 2, DW_OP_breg6, 0));
    fde(&section, common, 0xe00, 0x40,
        PROGRAM(DW_CFA_def_cfa_expression, 6, DW_OP_breg7, 16, DW_OP_deref, DW_OP_lit16, DW_OP_minus, DW_OP_nop));
    fde(&section, common, 0xf00, 0x40, PROGRAM(DW_CFA_def_cfa, 10, 0));
    fde(&section, common, 0x1000, 0x40,
        PROGRAM(DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0, DW_OP_deref, DW_OP_deref));
    fde(&section, common, 0x1100, 0x40,
        PROGRAM(DW_CFA_def_cfa_expression, 3, DW_OP_breg3, 0, DW_OP_deref)); /* through rbx: no rule has that */
    struct result result = build(&section, EM_X86_64);
    ck_assert_int_eq(result.error, 0);
    expect(&result, 0xa10, OTP_RULE_PLT, OTP_FP_SAME, 0, 10);
    expect(&result, 0xb10, OTP_RULE_PLT, OTP_FP_SAME, 0, 11);
    expect(&result, 0xc00, OTP_RULE_DEREF_SP, OTP_FP_SAME, 0, OTP_RULE_OFFSET_PAIR(120, 8));
    expect(&result, 0xd00, OTP_RULE_DEREF_FP, OTP_FP_FP, 0, OTP_RULE_OFFSET_PAIR(-8, 0));
    expect(&result, 0xe00, OTP_RULE_DEREF_SP, OTP_FP_SAME, 0, OTP_RULE_OFFSET_PAIR(16, -16));
    expect(&result, 0xf00, OTP_RULE_REG, OTP_FP_SAME | 10 << OTP_RULE_REG_SHIFT, 0, 0);
    expect(&result, 0x1000, OTP_RULE_UNSUPPORTED, 0, 0, 0);
    expect(&result, 0x1100, OTP_RULE_UNSUPPORTED, 0, 0, 0);
    ck_assert_uint_eq(result.rows.unsupported, 2);
    ck_assert_uint_eq(result.rows.bad, 0);
    done(&result);
}
END_TEST

START_TEST(where_registers_are) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_X86_64, "zR", 0x1b);
    fde(&section, common, 0x000, 0x40, PROGRAM(DW_CFA_undefined, 16));
    fde(&section, common, 0x100, 0x40, PROGRAM(DW_CFA_register, 6, 3));
    fde(&section, common, 0x200, 0x40, PROGRAM(DW_CFA_val_expression, 6, 2, DW_OP_breg7, 8));
    fde(&section, common, 0x300, 0x40, PROGRAM(DW_CFA_expression, 6, 2, DW_OP_breg7, 0));
    fde(&section, common, 0x400, 0x40, PROGRAM(DW_CFA_val_expression, 3, 2, DW_OP_breg7, 8, DW_CFA_GNU_args_size, 64));
    fde(&section, common, 0x500, 0x40, PROGRAM(DW_CFA_offset_extended_sf, 6, 0x03, DW_CFA_same_value, 3));
    fde(&section, common, 0x600, 0x40, PROGRAM(DW_CFA_offset_extended, 16, 3));
    fde(&section, common, 0x700, 0x40, PROGRAM(DW_CFA_def_cfa_sf, 7, 0x7e));
    fde(&section, common, 0x800, 0x40, PROGRAM(DW_CFA_expression, 6, 2, DW_OP_plus_uconst, 24));
    struct result result = build(&section, EM_X86_64);
    expect(&result, 0x000, OTP_RULE_STOP, 0, 0, 0);
    expect(&result, 0x100, OTP_RULE_SP, OTP_FP_LOST, 0, 8);
    expect(&result, 0x200, OTP_RULE_SP, OTP_FP_LOST, 0, 8);
    expect(&result, 0x300, OTP_RULE_SP, OTP_FP_CFA, -8, 8);
    expect(&result, 0x400, OTP_RULE_SP, OTP_FP_SAME, 0, 8);
    expect(&result, 0x500, OTP_RULE_SP, OTP_FP_CFA, -24, 8);
    expect(&result, 0x600, OTP_RULE_UNSUPPORTED, 0, 0, 0);
    expect(&result, 0x700, OTP_RULE_SP, OTP_FP_SAME, 0, 16);
    expect(&result, 0x800, OTP_RULE_SP, OTP_FP_CFA, 24, 8);
    done(&result);
}
END_TEST

START_TEST(a_signal_frame) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_X86_64, "zRS", 0x1b);
    fde(&section, common, 0x100, 0x20,
        PROGRAM(DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0xa0, 0x01, DW_OP_deref, DW_CFA_expression, 16, 3,
                DW_OP_breg7, 0xa8, 0x01));
    struct result result = build(&section, EM_X86_64);
    expect(&result, 0x100, OTP_RULE_SIGNAL, 0, 0, 0);
    done(&result);
}
END_TEST

START_TEST(padding_gaps_and_overlaps) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_X86_64, "zR", 0x1b);
    fde(&section, common, 0x300, 0x10, PROGRAM(DW_CFA_def_cfa_offset, 32));
    fde(&section, common, 0x100, 0x10, PROGRAM(DW_CFA_def_cfa_offset, 16));
    fde(&section, common, 0x120, 0x08, PROGRAM(DW_CFA_def_cfa_offset, 24)); /* 16 bytes of padding before it */
    fde(&section, common, 0x2f0, 0x40, PROGRAM(DW_CFA_def_cfa_offset, 40)); /* over the first */
    fde(&section, common, 0x300, 0x10, PROGRAM(DW_CFA_def_cfa_offset, 48)); /* the same start again */
    fde(&section, common, 0x340, 0x00, PROGRAM(DW_CFA_def_cfa_offset, 56)); /* of no length */
    fde(&section, common, 0x00f00000, 0x40, PROGRAM(DW_CFA_nop));           /* outside the range */
    struct result result = build(&section, EM_X86_64);
    ck_assert_uint_eq(result.rows.functions, 5);
    expect(&result, 0x100, OTP_RULE_SP, 0, 0, 16);
    expect(&result, 0x11f, OTP_RULE_SP, 0, 0, 16);
    expect(&result, 0x120, OTP_RULE_SP, 0, 0, 24);
    expect(&result, 0x128, OTP_RULE_NONE, 0, 0, 0);
    expect(&result, 0x2f0, OTP_RULE_SP, 0, 0, 40);
    expect(&result, 0x300, OTP_RULE_SP, 0, 0, 48);
    expect(&result, 0x310, OTP_RULE_NONE, 0, 0, 0);
    expect(&result, 0x340, OTP_RULE_NONE, 0, 0, 0);
    done(&result);
}
END_TEST

START_TEST(a_function_that_began_before_the_range) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_X86_64, "zR", 0x1b);
    fde(&section, common, (uint32_t)-0x20, 0x40,
        PROGRAM(ADVANCE(0x10), DW_CFA_def_cfa_offset, 16, ADVANCE(0x14), DW_CFA_def_cfa_offset, 24));
    struct result result = build(&section, EM_X86_64);
    expect(&result, 0, OTP_RULE_SP, 0, 0, 16);
    expect(&result, 3, OTP_RULE_SP, 0, 0, 16);
    expect(&result, 4, OTP_RULE_SP, 0, 0, 24);
    expect(&result, 0x20, OTP_RULE_NONE, 0, 0, 0);
    done(&result);
}
END_TEST

/* Chromium ships few entries: what lies between them is code that keeps frame pointers. */
START_TEST(sparse_entries_fall_back_to_frame_pointers) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_X86_64, "zR", 0x1b);
    struct result result = {.pool = otp_rule_pool_new()};
    fde(&section, common, 0x10000, 0x10, PROGRAM(DW_CFA_nop));
    fde(&section, common, 0x11000, 0x10, PROGRAM(DW_CFA_nop));
    struct otp_eh_input input = input_of(&section, EM_X86_64);
    input.text_end = TEXT + 0x100000;
    ck_assert_int_eq(otp_eh_rows_build(&input, result.pool, &result.rows), 0);
    expect(&result, 0, OTP_RULE_FRAMEPTR, OTP_FP_CFA, -16, 16);
    expect(&result, 0x10000, OTP_RULE_SP, 0, 0, 8);
    expect(&result, 0x10010, OTP_RULE_NONE, 0, 0, 0); /* a small gap */
    expect(&result, 0x11010, OTP_RULE_FRAMEPTR, OTP_FP_CFA, -16, 16);
    expect(&result, 0xfffff, OTP_RULE_FRAMEPTR, OTP_FP_CFA, -16, 16);
    done(&result);
}
END_TEST

START_TEST(pointer_encodings_and_wide_lengths) {
    struct section section = {.size = 0};
    size_t relative = cie(&section, EM_X86_64, "zR", 0x1b), plain = cie(&section, EM_X86_64, "", 0);
    size_t indirect = cie(&section, EM_X86_64, "zR", 0x9b), data = cie(&section, EM_X86_64, "zR", 0x3b);
    fde_begin(&section, relative, 0x100, 0x10, true);
    end(&section);
    begin(&section, false); /* absolute, relocated by the loader */
    put32(&section, (uint32_t)(section.size - plain));
    put64(&section, 0x7f0000000000 + TEXT + 0x200);
    put64(&section, 0x10);
    end(&section);
    fde(&section, indirect, 0x300, 0x10, PROGRAM(DW_CFA_nop));
    begin(&section, false);
    put32(&section, (uint32_t)(section.size - data));
    put32(&section, 0x400); /* counted from `data` */
    put32(&section, 0x10);
    put8(&section, 0);
    end(&section);
    struct result result = {.pool = otp_rule_pool_new()};
    struct otp_eh_input input = input_of(&section, EM_X86_64);
    input.absolute = 0x7f0000000000;
    input.data = TEXT;
    ck_assert_int_eq(otp_eh_rows_build(&input, result.pool, &result.rows), 0);
    ck_assert_uint_eq(result.rows.functions, 3);
    ck_assert_uint_eq(result.rows.bad, 1);
    expect(&result, 0x100, OTP_RULE_SP, 0, 0, 8);
    expect(&result, 0x200, OTP_RULE_SP, 0, 0, 8);
    expect(&result, 0x300, OTP_RULE_NONE, 0, 0, 0);
    expect(&result, 0x400, OTP_RULE_SP, 0, 0, 8);
    done(&result);
}
END_TEST

START_TEST(arm64) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_AARCH64, "zR", 0x1b), signal = cie(&section, EM_AARCH64, "zRS", 0x1b);
    fde(&section, common, 0x100, 0x40, /* stp x29, x30, [sp, -32]!; mov x29, sp */
        PROGRAM(0x2d, ADVANCE(1), DW_CFA_def_cfa_offset, 32, DW_CFA_offset | 29, 4, DW_CFA_offset | 30, 3, ADVANCE(1),
                DW_CFA_def_cfa_register, 29));
    fde(&section, common, 0x200, 0x40, PROGRAM(DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 30, 2)); /* x30 alone */
    fde(&section, common, 0x300, 0x40,
        PROGRAM(DW_CFA_def_cfa_offset, 48, DW_CFA_offset | 29, 6, DW_CFA_offset | 30, 2)); /* apart */
    fde(&section, common, 0x400, 0x40, PROGRAM(DW_CFA_undefined, 30));
    fde(&section, signal, 0x500, 0x40, PROGRAM(DW_CFA_nop));
    fde(&section, common, 0x600, 0x40, PROGRAM(DW_CFA_def_cfa, 9, 0)); /* CFA in x9 */
    struct result result = build(&section, EM_AARCH64);
    expect(&result, 0x100, OTP_RULE_SP, OTP_FP_SAME | OTP_RA_LR, 0, 0);
    expect(&result, 0x104, OTP_RULE_SP, OTP_FP_CFA | OTP_RA_BY_FP, -32, 32);
    expect(&result, 0x108, OTP_RULE_FP, OTP_FP_CFA | OTP_RA_BY_FP, -32, 32);
    expect(&result, 0x200, OTP_RULE_SP, OTP_FP_SAME | OTP_RA_BY_FP, -24, 16);
    expect(&result, 0x300, OTP_RULE_UNSUPPORTED, 0, 0, 0);
    expect(&result, 0x400, OTP_RULE_STOP, 0, 0, 0);
    expect(&result, 0x500, OTP_RULE_SIGNAL, 0, 0, 0);
    expect(&result, 0x600, OTP_RULE_UNSUPPORTED, 0, 0, 0);
    done(&result);
}
END_TEST

START_TEST(nonsense_is_counted) {
    struct section section = {.size = 0};
    size_t common = cie(&section, EM_X86_64, "zR", 0x1b);
    cie(&section, EM_X86_64, "zX", 0);                             /* unknown letter */
    fde(&section, common, 0x100, 0x10, PROGRAM(ADVANCE(4), 0x3f)); /* unknown opcode */
    fde(&section, common, 0x200, 0x10, PROGRAM(DW_CFA_restore_state));
    fde(&section, common, 0x300, 0x10, PROGRAM(DW_CFA_def_cfa_expression, 0x7f));
    fde(&section, common + 4, 0x400, 0x10, PROGRAM(DW_CFA_nop)); /* points at no common entry */
    struct result result = build(&section, EM_X86_64);
    ck_assert_int_eq(result.error, 0);
    ck_assert_uint_eq(result.rows.bad, 5);
    expect(&result, 0x100, OTP_RULE_SP, 0, 0, 8);
    expect(&result, 0x104, OTP_RULE_UNSUPPORTED, 0, 0, 0);
    expect(&result, 0x200, OTP_RULE_UNSUPPORTED, 0, 0, 0);
    expect(&result, 0x300, OTP_RULE_UNSUPPORTED, 0, 0, 0);
    expect(&result, 0x400, OTP_RULE_NONE, 0, 0, 0);
    done(&result);
}
END_TEST

START_TEST(every_cut_and_every_flipped_byte) {
    struct section whole = {.size = 0};
    size_t common = cie(&whole, EM_X86_64, "zR", 0x1b);
    fde(&whole, common, 0x100, 0x50,
        PROGRAM(ADVANCE(1), DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2, ADVANCE(3), DW_CFA_remember_state,
                DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0, DW_OP_deref, ADVANCE(3), DW_CFA_restore_state));
    for (size_t size = 0; size <= whole.size; size++) {
        uint8_t *copy = malloc(size ? size : 1); /* of the exact size, so that AddressSanitizer sees one byte more */
        memcpy(copy, whole.bytes, size);
        struct otp_eh_input input = input_of(&whole, EM_X86_64);
        input.section = copy;
        input.size = size;
        for (size_t flip = 0; flip < size * 8; flip++) {
            struct result result = {.pool = otp_rule_pool_new()};
            copy[flip / 8] ^= (uint8_t)(1 << flip % 8);
            ck_assert_int_eq(otp_eh_rows_build(&input, result.pool, &result.rows), 0);
            ck_assert_uint_eq(result.rows.pages[result.rows.page_count - 1], result.rows.row_count);
            copy[flip / 8] ^= (uint8_t)(1 << flip % 8);
            done(&result);
        }
        free(copy);
    }
}
END_TEST

START_TEST(ranges_that_cannot_be) {
    struct section section = {.size = 0};
    cie(&section, EM_X86_64, "zR", 0x1b);
    struct otp_rule_pool *pool = otp_rule_pool_new();
    struct otp_eh_rows rows = {0};
    struct otp_eh_input good = input_of(&section, EM_X86_64), bad = good;
    bad.text_end = bad.text_start;
    ck_assert_int_eq(otp_eh_rows_build(&bad, pool, &rows), OTELPROF_E_INVALID);
    bad = good;
    bad.text_end = bad.text_start + (1ull << 33);
    ck_assert_int_eq(otp_eh_rows_build(&bad, pool, &rows), OTELPROF_E_INVALID);
    bad = good;
    bad.text_start += 16;
    ck_assert_int_eq(otp_eh_rows_build(&bad, pool, &rows), OTELPROF_E_INVALID);
    bad = good;
    bad.machine = EM_386;
    ck_assert_int_eq(otp_eh_rows_build(&bad, pool, &rows), OTELPROF_E_INVALID);
    ck_assert_ptr_null(rows.rows);
    ck_assert_int_eq(otp_eh_rows_build(&good, pool, &rows), 0);
    ck_assert_uint_eq(rows.functions, 0);
    otp_eh_rows_free(&rows);
    otp_rule_pool_free(pool);
}
END_TEST

START_TEST(how_long_a_section_is) {
    struct section section = {.size = 0};
    uint64_t needs;
    size_t common = cie(&section, EM_X86_64, "zR", 0x1b);
    fde(&section, common, 0x100, 0x10, PROGRAM(DW_CFA_nop));
    size_t size = section.size;
    put32(&section, 0);
    put64(&section, 0x1122334455667788); /* what comes after the terminator */
    ck_assert_uint_eq(otp_eh_section_extent(section.bytes, section.size, &needs), size);
    ck_assert_uint_eq(needs, 0);
    ck_assert_uint_le(otp_eh_section_extent(section.bytes, size, &needs), size);
    ck_assert_uint_eq(needs, 4);
    ck_assert_uint_lt(otp_eh_section_extent(section.bytes, size - 3, &needs), size - 3);
    ck_assert_uint_eq(needs, 3);
}
END_TEST

START_TEST(the_pool_has_an_end) {
    struct otp_rule_pool *pool = otp_rule_pool_new();
    uint32_t count;
    for (int i = 0; i < OTP_RULES_MAX + 10; i++) {
        struct otp_rule rule = {OTP_RULE_SP, 0, 0, i};
        uint32_t number = otp_rule_pool_intern(pool, &rule);
        ck_assert_uint_eq(number, i < OTP_RULES_MAX - 4 ? (uint32_t)i + 4 : OTP_RULE_INDEX_UNSUPPORTED);
        ck_assert_uint_eq(otp_rule_pool_intern(pool, &rule), number);
    }
    ck_assert_uint_eq(otp_rule_pool_rules(pool, &count)[OTP_RULE_INDEX_STOP].kind, OTP_RULE_STOP);
    ck_assert_uint_eq(count, OTP_RULES_MAX);
    ck_assert_uint_eq(otp_rule_pool_refused(pool), 2 * 14);
    otp_rule_pool_free(pool);
}
END_TEST

OTP_TEST_MAIN("eh_rows", 120, an_ordinary_function, expressions, where_registers_are, a_signal_frame,
              padding_gaps_and_overlaps, a_function_that_began_before_the_range,
              sparse_entries_fall_back_to_frame_pointers, pointer_encodings_and_wide_lengths, arm64,
              nonsense_is_counted, every_cut_and_every_flipped_byte, ranges_that_cannot_be, how_long_a_section_is,
              the_pool_has_an_end)
