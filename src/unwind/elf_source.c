// SPDX-License-Identifier: Apache-2.0
#include "unwind/elf_source.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/sys.h"
#include "unwind/eh_rows.h"

#define NOTES_MAX 65536u
#define SECTIONS_MAX 4096u
#define NAMES_MAX (1u << 20)
#define SECTION_PIECE (256u << 10)

#if defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_X86_64
#endif

size_t otp_memory_read(uint64_t address, void *buffer, size_t size) {
    size_t done = 0;
    while (done < size) {
        struct iovec local = {(char *)buffer + done, size - done};
        struct iovec remote = {(void *)(uintptr_t)(address + done), size - done};
        ssize_t got = otp_sys.read_memory(&local, &remote);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

int otp_file_read(int fd, uint64_t offset, void *buffer, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = otp_sys.pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return 0;
}

/* From memory at `address` + offset, or from a file. */
static int read_at(uint64_t address, int fd, uint64_t offset, void *buffer, size_t size) {
    if (fd >= 0)
        return otp_file_read(fd, offset, buffer, size);
    return otp_memory_read(address + offset, buffer, size) == size ? 0 : -1;
}

bool otp_elf_head_read(struct otp_elf_head *head, uint64_t address, int fd) {
    Elf64_Ehdr header;
    memset(head, 0, sizeof(*head));
    if (read_at(address, fd, 0, &header, sizeof(header)) || memcmp(header.e_ident, ELFMAG, SELFMAG) ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != MACHINE || header.e_phentsize != sizeof(Elf64_Phdr) ||
        header.e_phnum > OTP_PROGRAM_HEADERS_MAX)
        return false;
    head->machine = header.e_machine;
    head->type = header.e_type;
    head->section_offset = header.e_shoff;
    head->section_count = header.e_shnum;
    head->section_size = header.e_shentsize;
    head->section_names = header.e_shstrndx;
    head->count = header.e_phnum;
    return !read_at(address, fd, header.e_phoff, head->headers, head->count * sizeof(Elf64_Phdr));
}

size_t otp_elf_build_id(const struct otp_elf_head *head, uint64_t bias, int fd, uint8_t *id, size_t room) {
    size_t found = 0;
    for (uint32_t i = 0; i < head->count && !found; i++) {
        const Elf64_Phdr *header = &head->headers[i];
        if (header->p_type != PT_NOTE || !header->p_filesz || header->p_filesz > NOTES_MAX)
            continue;
        void *notes = otp_sys.malloc(header->p_filesz);
        if (notes && !read_at(bias, fd, fd >= 0 ? header->p_offset : header->p_vaddr, notes, header->p_filesz))
            found = otp_elf_notes_build_id(notes, header->p_filesz, id, room);
        free(notes);
    }
    return found;
}

/* Tells whether an open file is the module's, by its build id; for file systems that give other device numbers. */
static bool same_build_id(const struct otp_module *module, int fd) {
    struct otp_elf_head head;
    uint8_t id[OTP_BUILD_ID_MAX];
    if (!module->build_id_size || !otp_elf_head_read(&head, 0, fd))
        return false;
    return otp_elf_build_id(&head, 0, fd, id, sizeof(id)) == module->build_id_size &&
           !memcmp(id, module->build_id, module->build_id_size);
}

/* A host that starts with 0, 1 or 2 closed must not write its output into a file of ours. */
static int above_standard(int fd) {
    if (fd < 0 || fd > 2)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return higher;
}

static int open_path(const struct otp_module *module, const char *path, struct stat *status) {
    int fd = above_standard(otp_sys.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0));
    if (fd < 0)
        return -1;
    if (!otp_sys.fstat(fd, status) && S_ISREG(status->st_mode) &&
        ((status->st_dev == module->device && status->st_ino == module->inode) || same_build_id(module, fd)))
        return fd;
    close(fd);
    return -1;
}

int otp_module_open(const struct otp_module *module, struct stat *status) {
    char link[96];
    if (module->anonymous || module->vdso || !module->path[0])
        return -1;
    int fd = module->deleted ? -1 : open_path(module, module->path, status);
    if (fd < 0) {
        snprintf(link, sizeof(link), "/proc/self/map_files/%llx-%llx", (unsigned long long)module->start,
                 (unsigned long long)module->end);
        fd = open_path(module, link, status);
    }
    return fd < 0 ? open_path(module, "/proc/self/exe", status) : fd;
}

/* ---------------------------------------------------------------------------------------------- .eh_frame */

static const Elf64_Phdr *load_of(const struct otp_elf_head *head, uint64_t address) {
    for (uint32_t i = 0; i < head->count; i++) {
        const Elf64_Phdr *header = &head->headers[i];
        if (header->p_type == PT_LOAD && address >= header->p_vaddr && address - header->p_vaddr < header->p_filesz)
            return header;
    }
    return NULL;
}

/* Where PT_GNU_EH_FRAME says that .eh_frame begins; 0 if it does not. */
static uint64_t section_address(const struct otp_module *module, const struct otp_elf_head *head) {
    for (uint32_t i = 0; i < head->count; i++) {
        const Elf64_Phdr *header = &head->headers[i];
        uint8_t bytes[12];
        int32_t relative;
        if (header->p_type != PT_GNU_EH_FRAME || header->p_memsz < sizeof(bytes))
            continue;
        if (otp_memory_read(module->bias + header->p_vaddr, bytes, sizeof(bytes)) != sizeof(bytes) || bytes[0] != 1)
            return 0;
        memcpy(&relative, bytes + 4, sizeof(relative));
        /* DW_EH_PE_pcrel | DW_EH_PE_sdata4: what every linker writes; others are found by section headers. */
        return bytes[1] == 0x1b ? header->p_vaddr + 4 + (uint64_t)(int64_t)relative : 0;
    }
    return 0;
}

/*
 * Reads the section in pieces up to its terminator, or to the end of what is mapped from the file: behind it may lie
 * all of the object's code, which must not be touched.
 */
static int read_pieces(uint64_t from, uint64_t limit, struct otp_eh_bytes *out) {
    size_t capacity = 0;
    for (uint64_t wanted = SECTION_PIECE, needs = 1; needs && out->size < limit;) {
        size_t next = (size_t)(wanted < limit ? wanted : limit);
        if (next > capacity) {
            void *larger = otp_sys.realloc(out->bytes, next);
            if (!larger)
                return OTELPROF_E_MEMORY;
            out->bytes = larger;
            capacity = next;
        }
        size_t got = otp_memory_read(from + out->size, (char *)out->bytes + out->size, next - out->size);
        bool whole = got == next - out->size;
        out->size += got;
        size_t extent = otp_eh_section_extent(out->bytes, out->size, &needs);
        if (!needs || !whole) {
            out->size = extent;
            break;
        }
        wanted = out->size + (needs > out->size ? needs : out->size); /* doubling, or what the record says */
    }
    return out->size ? 0 : OTELPROF_E_SYSTEM;
}

static int from_memory(const struct otp_module *module, const struct otp_elf_head *head, struct otp_eh_bytes *out) {
    uint64_t address = section_address(module, head);
    const Elf64_Phdr *load = address ? load_of(head, address) : NULL;
    if (!load)
        return OTELPROF_E_STATE;
    uint64_t room = load->p_vaddr + load->p_filesz - address;
    out->address = address;
    out->relocated = true;
    return read_pieces(module->bias + address, room > OTP_EH_SECTION_MAX ? OTP_EH_SECTION_MAX : room, out);
}

static int read_section(int fd, const Elf64_Shdr *section, struct otp_eh_bytes *out) {
    if (section->sh_type == SHT_NOBITS || !section->sh_size || (section->sh_flags & SHF_COMPRESSED))
        return OTELPROF_E_STATE;
    size_t size = section->sh_size > OTP_EH_SECTION_MAX ? OTP_EH_SECTION_MAX : (size_t)section->sh_size;
    out->bytes = otp_sys.malloc(size);
    if (!out->bytes)
        return OTELPROF_E_MEMORY;
    out->size = size;
    out->address = section->sh_addr;
    return otp_file_read(fd, section->sh_offset, out->bytes, size) ? OTELPROF_E_SYSTEM : 0;
}

static int find_section(int fd, const struct otp_elf_head *head, Elf64_Shdr *sections, char *names, uint64_t names_size,
                        struct otp_eh_bytes *out) {
    for (uint32_t i = 0; i < head->section_count; i++) {
        if (sections[i].sh_name < names_size && !strcmp(names + sections[i].sh_name, ".eh_frame"))
            return read_section(fd, &sections[i], out);
    }
    return OTELPROF_E_STATE;
}

static int from_file(const struct otp_module *module, struct otp_eh_bytes *out) {
    struct otp_elf_head head;
    struct stat status;
    int fd = otp_module_open(module, &status);
    if (fd < 0)
        return OTELPROF_E_SYSTEM;
    int result = OTELPROF_E_STATE;
    Elf64_Shdr *sections = NULL;
    char *names = NULL;
    if (!otp_elf_head_read(&head, 0, fd) || head.section_size != sizeof(Elf64_Shdr) || !head.section_count ||
        head.section_count > SECTIONS_MAX || head.section_names >= head.section_count)
        goto out;
    result = OTELPROF_E_MEMORY;
    sections = otp_sys.malloc(head.section_count * sizeof(*sections));
    if (!sections)
        goto out;
    result = OTELPROF_E_SYSTEM;
    if (otp_file_read(fd, head.section_offset, sections, head.section_count * sizeof(*sections)))
        goto out;
    uint64_t size = sections[head.section_names].sh_size;
    result = OTELPROF_E_STATE;
    if (!size || size > NAMES_MAX || !(names = otp_sys.malloc(size + 1)))
        goto out;
    names[size] = 0;
    result = OTELPROF_E_SYSTEM;
    if (!otp_file_read(fd, sections[head.section_names].sh_offset, names, size))
        result = find_section(fd, &head, sections, names, size, out);
out:
    free(names);
    free(sections);
    close(fd);
    return result;
}

int otp_module_eh_frame(const struct otp_module *module, struct otp_eh_bytes *out) {
    struct otp_elf_head head;
    memset(out, 0, sizeof(*out));
    out->machine = MACHINE;
    int result = OTELPROF_E_STATE;
    if (module->in_memory && otp_elf_head_read(&head, module->image, -1))
        result = from_memory(module, &head, out);
    if (result && result != OTELPROF_E_MEMORY) {
        free(out->bytes);
        memset(out, 0, sizeof(*out));
        out->machine = MACHINE;
        int file_result = from_file(module, out);
        result = file_result == OTELPROF_E_SYSTEM ? result : file_result;
    }
    if (result) {
        free(out->bytes);
        out->bytes = NULL;
    }
    return result;
}
