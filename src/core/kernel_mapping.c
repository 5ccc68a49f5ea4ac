// SPDX-License-Identifier: Apache-2.0
#include "core/kernel_mapping.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/sys.h"

/* No module of the process has this number. */
#define KERNEL_MODULE UINT32_MAX

static void take_build_id(struct otp_kernel_mapping *kernel, struct otp_bytes notes) {
    while (!notes.bad && otp_bytes_left(&notes) >= 12) {
        uint32_t name_size = otp_bytes_u32(&notes), size = otp_bytes_u32(&notes), type = otp_bytes_u32(&notes);
        const uint8_t *name = otp_bytes_take(&notes, ((uint64_t)name_size + 3) & ~3ull);
        const uint8_t *body = otp_bytes_take(&notes, ((uint64_t)size + 3) & ~3ull);
        if (!name || !body || type != NT_GNU_BUILD_ID || name_size != 4 || memcmp(name, "GNU", 4))
            continue;
        if (size > sizeof(kernel->build_id))
            return;
        memcpy(kernel->build_id, body, size);
        kernel->mapping.build_id = kernel->build_id;
        kernel->mapping.build_id_size = size;
        return;
    }
}

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
    if (size > 0)
        take_build_id(kernel, otp_bytes(notes, (size_t)size));
}
