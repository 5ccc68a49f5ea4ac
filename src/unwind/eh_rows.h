// SPDX-License-Identifier: Apache-2.0
/*
 * Rows of one executable range from .eh_frame, in the packed form of unwind_table.h and independent of where the
 * range is mapped. One plain pass over the section, a sort, and one run of each function's program.
 */
#ifndef OTP_UNWIND_EH_ROWS_H
#define OTP_UNWIND_EH_ROWS_H

#include <stddef.h>
#include <stdint.h>

struct otp_rule_pool;

#define OTP_EH_SECTION_MAX (256u << 20) /* bytes of .eh_frame that are read at most */
#define OTP_EH_ROWS_MAX (16u << 20)     /* rows of one range at most */

struct otp_eh_input {
    const void *section; /* .eh_frame, foreign bytes */
    size_t size;         /* bytes; ends early at a terminator */
    uint64_t address;    /* of the section's first byte; all addresses are the ELF file's own */
    uint64_t data;       /* base of data-relative pointers, 0: refused */
    uint64_t absolute;   /* the bias, if absolute pointers have been relocated */
    uint64_t text_start; /* of the executable range, a multiple of 4096 */
    uint64_t text_end;   /* one past its last byte */
    uint16_t machine;    /* EM_X86_64 or EM_AARCH64 */
};

/* Rows made. Page entries count from the first row of this range. */
struct otp_eh_rows {
    uint32_t *rows;
    size_t row_count;
    size_t row_capacity;
    uint32_t *pages;
    size_t page_count;    /* entries, the one at the end included: pages of the range + 1 */
    uint32_t functions;   /* frame entries used */
    uint32_t unsupported; /* rows with OTP_RULE_INDEX_UNSUPPORTED */
    uint32_t bad;         /* entries that made no sense, as a whole or in part */
    uint64_t covered;     /* bytes of the range that frame entries speak for */
};

/*
 * Fills *out (which starts zeroed) and interns rules in `pool`. 0; OTELPROF_E_INVALID: a range that cannot have rows
 * (empty, over 4 GiB, other machine); OTELPROF_E_LIMIT: too many rows; OTELPROF_E_MEMORY. Without a single usable
 * entry it succeeds with functions == 0. On failure *out is freed.
 */
int otp_eh_rows_build(const struct otp_eh_input *input, struct otp_rule_pool *pool, struct otp_eh_rows *out);

/* Gives back what *rows holds, and zeroes it. */
void otp_eh_rows_free(struct otp_eh_rows *rows);

/*
 * How many bytes of `section` its records take up to the terminator, or up to the first record that does not fit.
 * Sets *needs to the bytes that would show more of it, 0 if the end was reached.
 */
size_t otp_eh_section_extent(const void *section, size_t size, uint64_t *needs);

#endif
