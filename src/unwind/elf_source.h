// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes of an ELF object that is mapped into this process: from memory where it has them, from the file otherwise.
 * Memory is read by process_vm_readv on ourselves, so that an object unmapped meanwhile is an error and no crash; files
 * are read by pread, never mapped, so that one truncated by a deploy is an error and no SIGBUS.
 */
#ifndef OTP_UNWIND_ELF_SOURCE_H
#define OTP_UNWIND_ELF_SOURCE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/elf_notes.h"
#include "unwind/modules.h"

#define OTP_PROGRAM_HEADERS_MAX 64

/* ELF header and program headers. */
struct otp_elf_head {
    uint16_t machine;
    uint16_t type;
    uint64_t section_offset; /* e_shoff */
    uint16_t section_count, section_size, section_names;
    uint32_t count;
    Elf64_Phdr headers[OTP_PROGRAM_HEADERS_MAX];
};

/* Copies memory of this process. Returns the bytes that could be read from the start on. */
size_t otp_memory_read(uint64_t address, void *buffer, size_t size);

/* Fills exactly `size` bytes from a file. 0 or -1. */
int otp_file_read(int fd, uint64_t offset, void *buffer, size_t size);

/* Parses the headers at `address`, or in `fd` if that is not -1. False: no ELF file of this machine's kind. */
bool otp_elf_head_read(struct otp_elf_head *head, uint64_t address, int fd);

/* The build id of an object by its headers; from memory at `bias`, or from `fd` if that is not -1. */
size_t otp_elf_build_id(const struct otp_elf_head *head, uint64_t bias, int fd, uint8_t *id, size_t room);

/*
 * Opens the file behind a module, if it still is that file: same device and inode, or the same build id. Returns a
 * descriptor, or -1.
 */
int otp_module_open(const struct otp_module *module, struct stat *status);

/* Bytes of .eh_frame. `bytes` is malloc'ed. */
struct otp_eh_bytes {
    void *bytes;
    size_t size;
    uint64_t address; /* in the ELF file's own numbering */
    bool relocated;   /* from memory: absolute pointers carry the bias */
    uint16_t machine;
};

/* 0; OTELPROF_E_STATE: the object has none; OTELPROF_E_MEMORY; OTELPROF_E_SYSTEM: it could not be read. */
int otp_module_eh_frame(const struct otp_module *module, struct otp_eh_bytes *out);

#endif
