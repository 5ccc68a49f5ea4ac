// SPDX-License-Identifier: Apache-2.0
/* Feeds bytes to the maker of unwind rows as .eh_frame; what comes out must have the shape that readers rely on. */
#include <elf.h>
#include <stdlib.h>

#include "unwind/eh_rows.h"
#include "unwind/rule_pool.h"

#define TEXT 0x10000u
#define TEXT_SIZE 0x10000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int truth) {
    if (!truth)
        abort();
}

static void check(const struct otp_eh_rows *rows, uint32_t rules) {
    demand(rows->page_count == TEXT_SIZE / 4096 + 1);
    demand(rows->pages[0] == 0 && rows->pages[rows->page_count - 1] == rows->row_count);
    demand(rows->row_count > 0 && OTP_ROW_PC(rows->rows[0]) == 0);
    for (size_t page = 0; page + 1 < rows->page_count; page++) {
        demand(rows->pages[page] <= rows->pages[page + 1]);
        for (uint32_t row = rows->pages[page]; row < rows->pages[page + 1]; row++) {
            demand(OTP_ROW_RULE(rows->rows[row]) < rules);
            demand(row == rows->pages[page] || OTP_ROW_PC(rows->rows[row]) > OTP_ROW_PC(rows->rows[row - 1]));
            demand(!row || OTP_ROW_RULE(rows->rows[row]) != OTP_ROW_RULE(rows->rows[row - 1]));
        }
    }
}

/* The first byte chooses the machine and how absolute pointers count; the rest is the section. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    struct otp_rule_pool *pool = otp_rule_pool_new();
    struct otp_eh_rows rows = {0};
    const struct otp_eh_input input = {.section = data + 1,
                                       .size = size - 1,
                                       .address = 0x40000,
                                       .data = data[0] & 4 ? TEXT : 0,
                                       .absolute = data[0] & 2 ? 0x7f0000000000 : 0,
                                       .text_start = TEXT,
                                       .text_end = TEXT + TEXT_SIZE,
                                       .machine = data[0] & 1 ? EM_AARCH64 : EM_X86_64};
    uint64_t needs;
    demand(otp_eh_section_extent(input.section, input.size, &needs) <= input.size);
    if (!otp_eh_rows_build(&input, pool, &rows)) {
        uint32_t rules;
        otp_rule_pool_rules(pool, &rules);
        check(&rows, rules);
    }
    otp_eh_rows_free(&rows);
    otp_rule_pool_free(pool);
    return 0;
}
