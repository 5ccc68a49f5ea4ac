// SPDX-License-Identifier: Apache-2.0
#include "symbols/dwarf_image.h"

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/pages.h"
#include "symbols/elf_file.h"

#define SECTIONS_MAX 32 /* wanted ones, each name once */
#define INPUT ((size_t)16 << 10)

static const char *const wanted_names[] = {
    ".debug_info",     ".debug_abbrev", ".debug_line",  ".debug_str",     ".debug_line_str",    ".debug_ranges",
    ".debug_rnglists", ".debug_addr",   ".debug_types", ".debug_aranges", ".debug_str_offsets",
};
#define WANTED (sizeof(wanted_names) / sizeof(wanted_names[0]))
_Static_assert(WANTED + 2 <= SECTIONS_MAX, "with the null section and that of the names");

/* One section on its way into the image. */
struct part {
    const Elf64_Shdr *from;
    const char *name;
    uint64_t size;      /* unpacked */
    uint64_t offset;    /* in the image */
    uint64_t packed_at; /* of the packed bytes in the section; 0: not packed */
};

struct plan {
    struct part parts[WANTED];
    uint32_t count;
    uint64_t names_at, headers_at, size;
};

/* -------------------------------------------------------------------------------------------------- planning */

/* SHF_COMPRESSED. False: damaged, or packed in a way that we do not know. */
static bool look_at_packed(const struct otp_elf_file *elf, struct part *part) {
    Elf64_Chdr header;
    if (part->from->sh_size < sizeof(header) || !otp_elf_read(elf, part->from->sh_offset, &header, sizeof(header)))
        return false;
    part->packed_at = sizeof(header);
    part->size = header.ch_size;
    return header.ch_type == ELFCOMPRESS_ZLIB;
}

/* .zdebug_*, as GNU tools packed once: "ZLIB", then the size, big-endian. */
static bool look_at_old_packed(const struct otp_elf_file *elf, struct part *part) {
    uint8_t header[12];
    if (part->from->sh_size < sizeof(header) || !otp_elf_read(elf, part->from->sh_offset, header, sizeof(header)))
        return false;
    part->packed_at = sizeof(header);
    part->size = 0;
    for (unsigned i = 4; i < sizeof(header); i++)
        part->size = part->size << 8 | header[i];
    return !memcmp(header, "ZLIB", 4);
}

/* Finds a wanted section and its unpacked size. False: damaged. `from` is NULL if there is none. */
static bool look_for(const struct otp_elf_file *elf, const char *name, struct part *part) {
    char old_name[32];
    snprintf(old_name, sizeof(old_name), ".z%s", name + 1);
    const Elf64_Shdr *plain = otp_elf_section(elf, SHT_NULL, name);
    const Elf64_Shdr *section = plain ? plain : otp_elf_section(elf, SHT_NULL, old_name);
    *part = (struct part){.from = section, .name = name};
    if (!section)
        return true;
    part->size = section->sh_size;
    if (section->sh_offset > elf->size || section->sh_size > elf->size - section->sh_offset)
        return false;
    if (!plain)
        return look_at_old_packed(elf, part);
    return !(section->sh_flags & SHF_COMPRESSED) || look_at_packed(elf, part);
}

static uint64_t aligned(uint64_t size) { return (size + 15) & ~(uint64_t)15; }

static enum otp_dwarf_result make_plan(struct plan *plan, const struct otp_elf_file *elf, size_t limit) {
    uint64_t at = aligned(sizeof(Elf64_Ehdr));
    for (size_t i = 0; i < WANTED; i++) {
        struct part *part = &plan->parts[plan->count];
        if (!look_for(elf, wanted_names[i], part))
            return OTP_DWARF_REFUSED;
        if (!part->from)
            continue;
        if (part->size > limit || at > limit - part->size)
            return OTP_DWARF_TOO_LARGE;
        part->offset = at;
        at = aligned(at + part->size);
        plan->count++;
    }
    plan->names_at = at;
    for (uint32_t i = 0; i < plan->count; i++)
        at += strlen(plan->parts[i].name) + 1;
    plan->headers_at = aligned(at + 1);
    plan->size = plan->headers_at + (plan->count + 2) * sizeof(Elf64_Shdr);
    return OTP_DWARF_OK;
}

/* --------------------------------------------------------------------------------------------------- filling */

/* Unpacks `size` bytes from an offset of the file to `to`: true only if they are `room` bytes, all of them. */
static bool unpack(const struct otp_elf_file *elf, uint64_t offset, uint64_t size, Bytef *to, uint64_t room) {
    unsigned char input[INPUT];
    z_stream stream;
    uint64_t written = 0;
    int state = Z_OK;
    memset(&stream, 0, sizeof(stream));
    stream.next_out = to;
    if (inflateInit(&stream) != Z_OK)
        return false;
    while (state == Z_OK && size) {
        size_t piece = size < INPUT ? (size_t)size : INPUT;
        if (!otp_elf_read(elf, offset, input, piece))
            break;
        offset += piece;
        size -= piece;
        stream.next_in = input;
        stream.avail_in = (uInt)piece;
        do {
            uint64_t left = room - written;
            stream.avail_out = left > 1u << 30 ? 1u << 30 : (uInt)left;
            uInt before = stream.avail_out;
            state = inflate(&stream, Z_NO_FLUSH);
            written += before - stream.avail_out;
        } while (state == Z_OK && stream.avail_in); /* the checksum comes when there is no more room */
    }
    inflateEnd(&stream);
    return state == Z_STREAM_END && written == room;
}

static bool fill(const struct plan *plan, const struct otp_elf_file *elf, char *image) {
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct part *part = &plan->parts[i];
        const Elf64_Shdr *from = part->from;
        char *to = image + part->offset;
        if (!part->packed_at && !otp_elf_read(elf, from->sh_offset, to, (size_t)part->size))
            return false;
        if (part->packed_at &&
            !unpack(elf, from->sh_offset + part->packed_at, from->sh_size - part->packed_at, (Bytef *)to, part->size))
            return false;
    }
    return true;
}

/* Headers: an ELF file that holds these sections, and no segment. */
static void finish(const struct plan *plan, uint16_t machine, char *image) {
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)image;
    Elf64_Shdr *sections = (Elf64_Shdr *)(void *)(image + plan->headers_at);
    char *names = image + plan->names_at;
    uint32_t name = 1, last = plan->count + 1;
    memcpy(header->e_ident, ELFMAG, SELFMAG);
    header->e_ident[EI_CLASS] = ELFCLASS64;
    header->e_ident[EI_DATA] = ELFDATA2LSB;
    header->e_ident[EI_VERSION] = EV_CURRENT;
    header->e_type = ET_EXEC;
    header->e_machine = machine;
    header->e_version = EV_CURRENT;
    header->e_ehsize = sizeof(*header);
    header->e_shentsize = sizeof(*sections);
    header->e_shoff = plan->headers_at;
    header->e_shnum = (uint16_t)(last + 1);
    header->e_shstrndx = (uint16_t)last;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct part *part = &plan->parts[i];
        sections[i + 1] = (Elf64_Shdr){.sh_name = name,
                                       .sh_type = SHT_PROGBITS,
                                       .sh_offset = part->offset,
                                       .sh_size = part->size,
                                       .sh_addralign = 1};
        memcpy(names + name, part->name, strlen(part->name) + 1);
        name += (uint32_t)strlen(part->name) + 1;
    }
    sections[last] =
        (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = plan->names_at, .sh_size = name, .sh_addralign = 1};
}

enum otp_dwarf_result otp_dwarf_image_make(struct otp_dwarf_image *image, const struct otp_elf_file *elf,
                                           size_t limit) {
    struct plan plan = {.count = 0};
    uint16_t machine;
    *image = (struct otp_dwarf_image){NULL, 0};
    enum otp_dwarf_result result = make_plan(&plan, elf, limit);
    if (result)
        return result;
    if (!otp_elf_read(elf, offsetof(Elf64_Ehdr, e_machine), &machine, sizeof(machine)))
        return OTP_DWARF_REFUSED;
    image->bytes = otp_pages_alloc((size_t)plan.size);
    image->size = (size_t)plan.size;
    if (!image->bytes)
        return OTP_DWARF_MEMORY;
    if (!fill(&plan, elf, image->bytes)) {
        otp_dwarf_image_free(image);
        return OTP_DWARF_REFUSED;
    }
    finish(&plan, machine, image->bytes);
    return OTP_DWARF_OK;
}

void otp_dwarf_image_free(struct otp_dwarf_image *image) {
    otp_pages_free(image->bytes, image->size);
    *image = (struct otp_dwarf_image){NULL, 0};
}
