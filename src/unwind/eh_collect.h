// SPDX-License-Identifier: Apache-2.0
/* The first pass over .eh_frame: its common entries, and the functions of one range in order of address. */
#ifndef OTP_UNWIND_EH_COLLECT_H
#define OTP_UNWIND_EH_COLLECT_H

#include <stddef.h>
#include <stdint.h>

#include "unwind/cfi.h"
#include "unwind/eh_rows.h"

/* A frame entry whose function lies, at least in part, in the range. */
struct otp_eh_function {
    uint32_t start;   /* from the range's first byte */
    uint32_t end;     /* likewise, one past the last, within the range */
    uint32_t before;  /* bytes of the function that lie before the range */
    uint32_t cie;     /* index */
    uint32_t program; /* offset in the section */
    uint32_t program_size;
};

struct otp_eh_functions {
    struct otp_cie *cies;
    size_t cie_count, cie_capacity;
    struct otp_eh_function *functions;
    size_t count, capacity;
    uint32_t bad;
    uint64_t covered; /* bytes */
};

/* Fills *list (which starts zeroed), sorted by start. 0 or OTELPROF_E_MEMORY; free it in both cases. */
int otp_eh_collect(const struct otp_eh_input *input, const struct otp_cfi_machine *machine,
                   struct otp_eh_functions *list);

void otp_eh_functions_free(struct otp_eh_functions *list);

#endif
