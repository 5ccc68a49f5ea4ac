// SPDX-License-Identifier: Apache-2.0
#include "core/kernel_mapping.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "unwind/elf_source.h"

/* No module of the process has this number. */
#define KERNEL_MODULE UINT32_MAX

void otp_kernel_mapping_read(struct otp_kernel_mapping *kernel) {
    uint8_t notes[8192];
    memset(kernel, 0, sizeof(*kernel));
    kernel->mapping.module_number = KERNEL_MODULE;
    kernel->mapping.path = "[kernel]";
    kernel->mapping.kernel = true;
    int fd = otp_sys.open("/sys/kernel/notes", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    ssize_t size = otp_sys.read(fd, notes, sizeof(notes));
    close(fd);
    if (size <= 0)
        return;
    kernel->mapping.build_id_size =
        (uint32_t)otp_elf_notes_build_id(notes, (size_t)size, kernel->build_id, sizeof(kernel->build_id));
    if (kernel->mapping.build_id_size)
        kernel->mapping.build_id = kernel->build_id;
}
