// SPDX-License-Identifier: Apache-2.0
/* dwarf_lines.h in a build without libdw (OTELPROF_DWARF=OFF): no file has debug information. */
#include "symbols/dwarf_lines.h"

#include "symbols/elf_file.h"

const char *otp_dwarf_version(void) { return NULL; }

bool otp_dwarf_present(const struct otp_elf_file *elf) {
    (void)elf;
    return false;
}

enum otp_dwarf_result otp_dwarf_open(struct otp_elf_file *elf, size_t limit, struct otp_dwarf **dwarf) {
    (void)limit;
    otp_elf_close(elf);
    *dwarf = NULL;
    return OTP_DWARF_NONE;
}

void otp_dwarf_close(struct otp_dwarf *dwarf) { (void)dwarf; }

size_t otp_dwarf_find(struct otp_dwarf *dwarf, uint64_t address, struct otp_dwarf_frame *frames, size_t max) {
    (void)dwarf, (void)address, (void)frames, (void)max;
    return 0;
}

bool otp_dwarf_full(const struct otp_dwarf *dwarf) {
    (void)dwarf;
    return false;
}

bool otp_dwarf_broken(const struct otp_dwarf *dwarf) {
    (void)dwarf;
    return false;
}

size_t otp_dwarf_size(const struct otp_dwarf *dwarf) {
    (void)dwarf;
    return 0;
}
