// SPDX-License-Identifier: Apache-2.0
#include "symbols/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/sys.h"

#define SECTIONS_MAX 65536
#define SEGMENTS_MAX 4096
#define NOTES_MAX ((size_t)64 << 10)
#define NAMES_MAX ((size_t)4 << 20)

bool otp_file_id_equal(const struct otp_file_id *one, const struct otp_file_id *other) {
    return one->device == other->device && one->inode == other->inode && one->size == other->size &&
           one->modified.tv_sec == other->modified.tv_sec && one->modified.tv_nsec == other->modified.tv_nsec &&
           one->changed.tv_sec == other->changed.tv_sec && one->changed.tv_nsec == other->changed.tv_nsec;
}

static bool identify(int fd, struct otp_file_id *id) {
    struct stat status;
    if (otp_sys.fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size < 0)
        return false;
    *id = (struct otp_file_id){status.st_dev, status.st_ino, (uint64_t)status.st_size, status.st_mtim, status.st_ctim};
    return true;
}

bool otp_elf_unchanged(const struct otp_elf_file *elf) {
    struct otp_file_id now;
    return elf->fd < 0 || (identify(elf->fd, &now) && otp_file_id_equal(&now, &elf->id));
}

bool otp_elf_read(const struct otp_elf_file *elf, uint64_t offset, void *buffer, size_t size) {
    if (offset > elf->size || size > elf->size - offset)
        return false;
    if (elf->fd < 0) {
        if (size)
            memcpy(buffer, elf->memory + offset, size);
        return true;
    }
    for (size_t done = 0; done < size;) {
        ssize_t got = otp_sys.pread(elf->fd, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static void *read_block(const struct otp_elf_file *elf, uint64_t offset, size_t size) {
    if (!size || offset > elf->size || size > elf->size - offset)
        return NULL;
    char *block = otp_sys.malloc(size + 1);
    if (!block)
        return NULL;
    block[size] = 0;
    if (otp_elf_read(elf, offset, block, size))
        return block;
    free(block);
    return NULL;
}

char *otp_elf_section_bytes(const struct otp_elf_file *elf, const Elf64_Shdr *section, size_t limit) {
    if (section->sh_type == SHT_NOBITS || section->sh_size > limit)
        return NULL;
    return read_block(elf, section->sh_offset, section->sh_size);
}

const char *otp_elf_section_name(const struct otp_elf_file *elf, const Elf64_Shdr *section) {
    return section->sh_name < elf->names_size ? elf->names + section->sh_name : "";
}

const Elf64_Shdr *otp_elf_section(const struct otp_elf_file *elf, uint32_t type, const char *name) {
    for (uint32_t i = 0; i < elf->section_count; i++) {
        const Elf64_Shdr *section = &elf->sections[i];
        if (section->sh_type == SHT_NOBITS || section->sh_type == SHT_NULL || !section->sh_size)
            continue;
        if ((type == SHT_NULL || section->sh_type == type) &&
            (!name || !strcmp(otp_elf_section_name(elf, section), name)))
            return section;
    }
    return NULL;
}

bool otp_elf_address(const struct otp_elf_file *elf, uint64_t offset, uint64_t *address) {
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && offset >= segment->p_offset &&
            offset - segment->p_offset < segment->p_filesz) {
            *address = segment->p_vaddr + (offset - segment->p_offset);
            return true;
        }
    }
    return false;
}

static bool build_id_at(struct otp_elf_file *elf, uint64_t offset, uint64_t size) {
    void *notes = size > NOTES_MAX ? NULL : read_block(elf, offset, size);
    elf->build_id_size = notes ? otp_elf_notes_build_id(notes, size, elf->build_id, sizeof(elf->build_id)) : 0;
    free(notes);
    return elf->build_id_size > 0;
}

/* Sections first: in a separate debug file the segments point to bytes that were taken out. */
static void read_build_id(struct otp_elf_file *elf) {
    for (uint32_t i = 0; i < elf->section_count; i++) {
        const Elf64_Shdr *section = &elf->sections[i];
        if (section->sh_type == SHT_NOTE && build_id_at(elf, section->sh_offset, section->sh_size))
            return;
    }
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type == PT_NOTE && build_id_at(elf, segment->p_offset, segment->p_filesz))
            return;
    }
}

/* Files without sections are fine; sections that cannot be read are not. */
static enum otp_elf_result read_sections(struct otp_elf_file *elf, const Elf64_Ehdr *header) {
    if (!header->e_shoff)
        return OTP_ELF_OK;
    Elf64_Shdr first;
    if (header->e_shentsize != sizeof(first) || !otp_elf_read(elf, header->e_shoff, &first, sizeof(first)))
        return OTP_ELF_BAD;
    uint64_t count = header->e_shnum ? header->e_shnum : first.sh_size;
    uint32_t names = header->e_shstrndx == SHN_XINDEX ? first.sh_link : header->e_shstrndx;
    if (!count)
        return OTP_ELF_OK;
    if (count > SECTIONS_MAX || header->e_shoff > elf->size || count * sizeof(first) > elf->size - header->e_shoff)
        return OTP_ELF_BAD;
    elf->sections = read_block(elf, header->e_shoff, count * sizeof(first));
    if (!elf->sections)
        return OTP_ELF_MEMORY;
    elf->section_count = (uint32_t)count;
    if (names && names < count) {
        elf->names = otp_elf_section_bytes(elf, &elf->sections[names], NAMES_MAX);
        elf->names_size = elf->names ? elf->sections[names].sh_size : 0;
    }
    return OTP_ELF_OK;
}

static enum otp_elf_result read_headers(struct otp_elf_file *elf) {
    Elf64_Ehdr header;
    if (!otp_elf_read(elf, 0, &header, sizeof(header)) || memcmp(header.e_ident, ELFMAG, SELFMAG) ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        (header.e_type != ET_DYN && header.e_type != ET_EXEC))
        return OTP_ELF_BAD;
    if (header.e_phnum) {
        if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > SEGMENTS_MAX || header.e_phoff > elf->size ||
            header.e_phnum * sizeof(Elf64_Phdr) > elf->size - header.e_phoff)
            return OTP_ELF_BAD;
        elf->segments = read_block(elf, header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr));
        if (!elf->segments)
            return OTP_ELF_MEMORY;
        elf->segment_count = header.e_phnum;
    }
    enum otp_elf_result result = read_sections(elf, &header);
    if (result == OTP_ELF_OK)
        read_build_id(elf);
    return result;
}

/* Opens a regular file, above the standard descriptors: a host that closed those would otherwise print into it. */
static int open_high(const char *path) {
    int fd = otp_sys.open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0 || fd > 2)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return high;
}

enum otp_elf_result otp_elf_open(struct otp_elf_file *elf, const char *path) {
    *elf = OTP_ELF_NONE;
    elf->fd = open_high(path);
    if (elf->fd < 0)
        return OTP_ELF_ABSENT;
    enum otp_elf_result result = OTP_ELF_ABSENT;
    if (identify(elf->fd, &elf->id)) {
        elf->size = elf->id.size;
        result = read_headers(elf);
        if (!otp_elf_unchanged(elf))
            result = OTP_ELF_CHANGED;
    }
    if (result != OTP_ELF_OK)
        otp_elf_close(elf);
    return result;
}

enum otp_elf_result otp_elf_from_memory(struct otp_elf_file *elf, const void *memory, size_t size) {
    *elf = OTP_ELF_NONE;
    elf->memory = memory;
    elf->size = size;
    enum otp_elf_result result = read_headers(elf);
    if (result != OTP_ELF_OK)
        otp_elf_close(elf);
    return result;
}

void otp_elf_close(struct otp_elf_file *elf) {
    if (elf->fd >= 0)
        close(elf->fd);
    free(elf->segments);
    free(elf->sections);
    free(elf->names);
    *elf = OTP_ELF_NONE;
}
