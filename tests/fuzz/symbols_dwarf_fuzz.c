// SPDX-License-Identifier: Apache-2.0
/* Reads arbitrary bytes as a file with debug information, through libdw. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libelf.h>
#include <stdio.h>

#include "symbols/dwarf_lines.h"
#include "symbols/elf_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_with(const uint8_t *data, size_t size) {
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    struct otp_elf_file elf;
    struct otp_dwarf *dwarf;
    elf_version(EV_CURRENT);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file_with(data, size));
    if (otp_elf_open(&elf, path) != OTP_ELF_OK)
        return 0;
    if (otp_dwarf_open(&elf, (size_t)4 << 20, &dwarf) != OTP_DWARF_OK)
        return 0;
    for (uint64_t address = 0x1000; address < 0x1100; address += 3) {
        struct otp_dwarf_frame frames[8];
        size_t count = otp_dwarf_find(dwarf, address, frames, 8);
        if (count > 8 || otp_dwarf_size(dwarf) > (size_t)6 << 20)
            abort();
    }
    otp_dwarf_close(dwarf);
    return 0;
}
