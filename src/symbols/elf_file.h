// SPDX-License-Identifier: Apache-2.0
/*
 * A bounded reader of ELF files (64-bit, little-endian): headers, sections, segments, notes. Reads by pread from a
 * descriptor of its own, or from a copy in memory; never maps. Every number of the file is checked before it is used.
 */
#ifndef OTP_SYMBOLS_ELF_FILE_H
#define OTP_SYMBOLS_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/elf_notes.h"

/* What tells one content of one file from another. */
struct otp_file_id {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    struct timespec modified;
    struct timespec changed;
};

struct otp_elf_file {
    int fd;                /* -1: in memory */
    const uint8_t *memory; /* the caller's */
    uint64_t size;
    struct otp_file_id id;
    Elf64_Phdr *segments;
    uint32_t segment_count;
    Elf64_Shdr *sections;
    uint32_t section_count;
    char *names; /* of the sections, with a zero after them */
    size_t names_size;
    uint8_t build_id[OTP_BUILD_ID_MAX];
    size_t build_id_size; /* 0: none */
};

enum otp_elf_result {
    OTP_ELF_OK = 0,
    OTP_ELF_ABSENT,  /* cannot be opened, or no regular file */
    OTP_ELF_BAD,     /* not an ELF file that we read, or damaged */
    OTP_ELF_CHANGED, /* changed while being read */
    OTP_ELF_MEMORY,  /* out of memory */
};

/* Opens read-only, close-on-exec, above descriptor 2. Whatever the answer, otp_elf_close() may be called. */
enum otp_elf_result otp_elf_open(struct otp_elf_file *elf, const char *path);

/* Reads an image at `memory`, which must stay until otp_elf_close(). */
enum otp_elf_result otp_elf_from_memory(struct otp_elf_file *elf, const void *memory, size_t size);

/* Takes a file that is not open, if it was set up by OTP_ELF_NONE. */
void otp_elf_close(struct otp_elf_file *elf);

#define OTP_ELF_NONE ((struct otp_elf_file){.fd = -1})

static inline bool otp_elf_is_open(const struct otp_elf_file *elf) { return elf->fd >= 0 || elf->memory; }

/* True while the file still is what it was when it was opened. */
bool otp_elf_unchanged(const struct otp_elf_file *elf);

bool otp_file_id_equal(const struct otp_file_id *one, const struct otp_file_id *other);

/* `size` bytes from `offset`; true only if all of them could be read. */
bool otp_elf_read(const struct otp_elf_file *elf, uint64_t offset, void *buffer, size_t size);

/* The bytes of a section, malloc'ed, with a zero after them; NULL if it is over `limit`, damaged, or empty. */
char *otp_elf_section_bytes(const struct otp_elf_file *elf, const Elf64_Shdr *section, size_t limit);

/* The first section of that type (name NULL) or name (type SHT_NULL) that has bytes in the file; or NULL. */
const Elf64_Shdr *otp_elf_section(const struct otp_elf_file *elf, uint32_t type, const char *name);

/* A section's name, "" if it has none. */
const char *otp_elf_section_name(const struct otp_elf_file *elf, const Elf64_Shdr *section);

/* The address in the file's own numbering of the code byte at a file offset. False: in no executable segment. */
bool otp_elf_address(const struct otp_elf_file *elf, uint64_t offset, uint64_t *address);

#endif
