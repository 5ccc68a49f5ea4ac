// SPDX-License-Identifier: Apache-2.0
/* What the two halves of dwarf_lines.h share: dwarf_units.c finds the function, dwarf_lines.c its lines and callers. */
#ifndef OTP_SYMBOLS_DWARF_PRIVATE_H
#define OTP_SYMBOLS_DWARF_PRIVATE_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols/dwarf_image.h"
#include "symbols/elf_file.h"

#define OTP_DWARF_DEPTH 64 /* of scopes */

struct otp_dwarf_function {
    uint64_t low, high;
    Dwarf_Off die;
};

struct otp_dwarf_unit {
    Dwarf_Off die;
    struct otp_dwarf_function *functions; /* by low */
    uint32_t count, capacity;
    bool indexed;
    bool lines_asked, lines_good;
};

struct otp_dwarf_range {
    uint64_t low, high;
    uint32_t unit;
};

struct otp_dwarf {
    struct otp_elf_file file;
    struct otp_dwarf_image image;
    Elf *elf;
    Dwarf *dwarf;
    struct otp_dwarf_unit *units;
    size_t unit_count, unit_capacity;
    struct otp_dwarf_range *ranges; /* by low */
    size_t range_count, range_capacity;
    size_t sections; /* bytes of the image */
    size_t held;     /* all bytes, estimated */
    size_t limit;
    const void *lines; /* .debug_line */
    size_t lines_size;
    size_t longest;  /* string that a line table may refer to */
    uint64_t budget; /* debugging entries that may still be looked at in the present call */
    bool full, broken;
};

/* Looks at one more entry. False: enough. */
static inline bool otp_dwarf_spend(struct otp_dwarf *dwarf) { return dwarf->budget && dwarf->budget--; }

/* Finds the units and their ranges. False: damaged, nothing usable, or out of memory. */
bool otp_dwarf_units_read(struct otp_dwarf *dwarf);

/* The unit and the function at an address; the function may be NULL. NULL: no unit. */
struct otp_dwarf_unit *otp_dwarf_units_find(struct otp_dwarf *dwarf, uint64_t address,
                                            const struct otp_dwarf_function **function);

#endif
