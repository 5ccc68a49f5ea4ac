// SPDX-License-Identifier: Apache-2.0
/* Feeds bytes to the readers of ELF headers, notes and sections: as a mapped object, and as the file behind one. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unwind/elf_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_module(const struct otp_module *module) {
    struct otp_eh_bytes section;
    if (!otp_module_eh_frame(module, &section))
        free(section.bytes);
}

/* A file of the same bytes, kept open from one input to the next. */
static int file_of(const uint8_t *data, size_t size) {
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("elf_source_fuzz", MFD_CLOEXEC);
    if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct otp_elf_head head;
    struct stat status;
    uint8_t id[OTP_BUILD_ID_MAX];
    char path[64];
    if (otp_elf_notes_build_id(data, size, id, sizeof(id)) > sizeof(id))
        abort();
    int fd = file_of(data, size);
    if (fstat(fd, &status))
        abort();
    if (otp_elf_head_read(&head, 0, fd) && otp_elf_build_id(&head, 0, fd, id, sizeof(id)) > sizeof(id))
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct otp_module module = {.path = path, .elf = true, .device = status.st_dev, .inode = status.st_ino};
    read_module(&module);
    module.in_memory = true;
    module.image = module.bias = module.start = (uint64_t)(uintptr_t)data;
    read_module(&module);
    return 0;
}
