// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Unwind tables: how the rows of all modules lie in memory that the profiler thread writes and the programs (and,
 * later, hooks in user space) read.
 *
 *   segment   an executable address range [start, end), page-aligned
 *   page      for each 4 KiB of a segment the index of its first row, and one end entry more
 *   row       offset in the 4 KiB, and the number of a rule: valid from there to the next row
 *   rule      how to get from a frame's registers to its caller's
 *
 * The rule for an address is that of the last row at or before it; where a 4 KiB starts between two rows, that is the
 * row before its first. So every segment starts with a row of its own.
 *
 * There are two directories of segments. The writer fills the one that is not in use, and publishes it by one store
 * to otp_control.directory, whose low bit is the index and whose other bits are a generation.
 */
#ifndef OTP_BPF_UNWIND_TABLE_H
#define OTP_BPF_UNWIND_TABLE_H

#include "shared_types.h"

/* How the canonical frame address (CFA) is found. */
enum otp_rule_kind {
    OTP_RULE_NONE = 0,        /* no unwind information: the stack ends here (OTP_STOP_NO_ROWS) */
    OTP_RULE_STOP = 1,        /* the root: return address undefined */
    OTP_RULE_SP = 2,          /* sp + offset */
    OTP_RULE_FP = 3,          /* fp + offset */
    OTP_RULE_PLT = 4,         /* sp + 8 + (pc & 15 >= offset ? 8 : 0): a PLT entry, x86-64 */
    OTP_RULE_SIGNAL = 5,      /* signal frame: the caller's registers are in the ucontext at sp (+ offset) */
    OTP_RULE_DEREF_SP = 6,    /* *(sp + low16(offset)) + high16(offset), both signed */
    OTP_RULE_DEREF_FP = 7,    /* *(fp + low16(offset)) + high16(offset), both signed */
    OTP_RULE_FRAMEPTR = 8,    /* code without rows: fp chain, checked */
    OTP_RULE_UNSUPPORTED = 9, /* the stack ends here (OTP_STOP_UNSUPPORTED) */
    OTP_RULE_REG = 10,        /* register number flags>>4 (see OTP_RULE_REG_SHIFT) + offset; in the leaf only */
};

/* Where the caller's frame pointer is: low two bits of otp_rule.flags. */
enum otp_rule_fp {
    OTP_FP_SAME = 0, /* unchanged */
    OTP_FP_CFA = 1,  /* at CFA + fp_offset */
    OTP_FP_FP = 2,   /* at fp + fp_offset (stack realigned) */
    OTP_FP_LOST = 3, /* not recoverable; matters only if a later rule wants it */
    OTP_FP_MASK = 3,
};

/* Where the return address is: bits 2 and 3. x86-64 always uses OTP_RA_CFA. */
enum otp_rule_ra {
    OTP_RA_CFA = 0 << 2,   /* x86-64: at CFA - 8 */
    OTP_RA_LR = 1 << 2,    /* arm64 leaf: in the link register */
    OTP_RA_BY_FP = 2 << 2, /* arm64: 8 bytes above the saved frame pointer */
    OTP_RA_MASK = 3 << 2,
};

#define OTP_RULE_REG_SHIFT 4 /* OTP_RULE_REG: DWARF register number, 0 to 15 */

struct otp_rule {
    uint8_t kind;      /* enum otp_rule_kind */
    uint8_t flags;     /* enum otp_rule_fp | enum otp_rule_ra | register << 4 */
    int16_t fp_offset; /* bytes */
    int32_t offset;    /* bytes */
};
_Static_assert(sizeof(struct otp_rule) == 8, "one word a rule");

#define OTP_RULE_OFFSET_PAIR(low, high) ((int32_t)(((uint32_t)(uint16_t)(high) << 16) | (uint16_t)(low)))

/* Fixed rule numbers; the others are interned in order of appearance. */
#define OTP_RULE_INDEX_NONE 0
#define OTP_RULE_INDEX_STOP 1
#define OTP_RULE_INDEX_FRAMEPTR 2
#define OTP_RULE_INDEX_UNSUPPORTED 3
#define OTP_RULES_MAX 8192

/*
 * A row, 4 bytes. Map values are padded to 8, so two rows are one value: row n is in value n / 2, the even one in
 * its low half.
 */
#define OTP_PAGE_SHIFT 12
#define OTP_ROW(pc_offset, rule) (((uint32_t)(rule) << 16) | ((pc_offset)&0xfffu))
#define OTP_ROW_PC(row) ((row)&0xfffu)
#define OTP_ROW_RULE(row) ((row) >> 16)

/* Page entries are 4 bytes too, two a value in the same way. */

#define OTP_SEGMENTS_MAX 1024
#define OTP_SEGMENT_STEPS 11 /* of a binary search over OTP_SEGMENTS_MAX */
#define OTP_ROW_STEPS 13     /* of a binary search over the rows of 4 KiB: at most one a byte, 4096 */

enum otp_segment_flags {
    OTP_SEGMENT_FRAMEPTR = 1,  /* no rows at all: follow frame pointers (JIT code, objects without .eh_frame) */
    OTP_SEGMENT_UNCOVERED = 2, /* no rows for lack of room: stacks end with OTP_STOP_NO_TABLES */
};

struct otp_segment {
    uint64_t start;      /* first address */
    uint64_t end;        /* one past the last */
    uint32_t first_page; /* index into the pages */
    uint32_t flags;
    uint32_t module; /* number of the module in the profiler's list; for people who debug */
    uint32_t reserved;
};
_Static_assert(sizeof(struct otp_segment) == 32, "two a cache line");

#endif
