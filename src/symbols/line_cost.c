// SPDX-License-Identifier: Apache-2.0
#include "symbols/line_cost.h"

#include <dwarf.h>
#include <string.h>

#include "base/bytes.h"

/* libdw 0.188 lines: a list element while decoding, then an array of pointers and one of lines. */
#define ROW_COST 160
#define FILE_COST 64

struct header {
    uint16_t version;
    bool wide; /* 64-bit DWARF */
    uint8_t opcode_base;
    uint8_t operands[256]; /* of the standard opcodes */
    uint64_t files;
    size_t longest; /* string in or under the header */
};

size_t otp_longest_string(const void *section, size_t size) {
    const char *at = section;
    size_t longest = 0;
    while (size) {
        const char *nul = memchr(at, 0, size);
        size_t length = nul ? (size_t)(nul - at) : size;
        if (length > longest)
            longest = length;
        size_t step = nul ? length + 1 : size;
        at += step;
        size -= step;
    }
    return longest;
}

static void string(struct otp_bytes *bytes, struct header *header) {
    const char *text = otp_bytes_string(bytes);
    size_t length = text ? strlen(text) : 0;
    if (length > header->longest)
        header->longest = length;
}

/* Versions 2 to 4: directories, then files, each list ended by an empty string. */
static void old_tables(struct otp_bytes *bytes, struct header *header) {
    while (!bytes->bad && otp_bytes_left(bytes) && *bytes->at)
        string(bytes, header);
    otp_bytes_u8(bytes);
    while (!bytes->bad && otp_bytes_left(bytes) && *bytes->at) {
        string(bytes, header);
        otp_bytes_uleb(bytes);
        otp_bytes_uleb(bytes);
        otp_bytes_uleb(bytes);
        header->files++;
    }
}

/* One field of a version 5 entry; only the forms that compilers use here. */
static bool field(struct otp_bytes *bytes, struct header *header, uint64_t form) {
    switch (form) {
    case DW_FORM_string:
        string(bytes, header);
        return true;
    case DW_FORM_line_strp:
        otp_bytes_take(bytes, header->wide ? 8 : 4);
        return true;
    case DW_FORM_udata:
        otp_bytes_uleb(bytes);
        return true;
    case DW_FORM_data1:
        otp_bytes_take(bytes, 1);
        return true;
    case DW_FORM_data2:
        otp_bytes_take(bytes, 2);
        return true;
    case DW_FORM_data4:
        otp_bytes_take(bytes, 4);
        return true;
    case DW_FORM_data8:
        otp_bytes_take(bytes, 8);
        return true;
    case DW_FORM_data16:
        otp_bytes_take(bytes, 16);
        return true;
    default:
        return false;
    }
}

/* Version 5: the format of an entry, then the entries; once for directories and once for files. */
static bool new_table(struct otp_bytes *bytes, struct header *header, uint64_t *count) {
    uint64_t forms[16];
    uint8_t fields = otp_bytes_u8(bytes);
    if (fields > 16)
        return false;
    for (uint8_t i = 0; i < fields; i++) {
        otp_bytes_uleb(bytes);
        forms[i] = otp_bytes_uleb(bytes);
    }
    *count = otp_bytes_uleb(bytes);
    if (!fields && *count)
        return false;
    for (uint64_t entry = 0; entry < *count && !bytes->bad; entry++) {
        for (uint8_t i = 0; i < fields; i++) {
            if (!field(bytes, header, forms[i]))
                return false;
        }
    }
    return !bytes->bad;
}

/* Reads the header up to the program, which is left in `bytes`. */
static bool read_header(struct otp_bytes *bytes, struct header *header) {
    uint64_t length = otp_bytes_u32(bytes);
    header->wide = length == 0xffffffff;
    if (header->wide)
        length = otp_bytes_u64(bytes);
    if (bytes->bad || length > otp_bytes_left(bytes))
        return false;
    bytes->end = bytes->at + length;
    header->version = otp_bytes_u16(bytes);
    if (header->version < 2 || header->version > 5)
        return false;
    if (header->version == 5)
        otp_bytes_take(bytes, 2); /* sizes of an address and of a segment */
    uint64_t header_length = header->wide ? otp_bytes_u64(bytes) : otp_bytes_u32(bytes);
    if (bytes->bad || header_length > otp_bytes_left(bytes))
        return false;
    const uint8_t *program = bytes->at + header_length;
    struct otp_bytes tables = otp_bytes(bytes->at, header_length);
    otp_bytes_take(&tables, header->version >= 4 ? 5 : 4);
    header->opcode_base = otp_bytes_u8(&tables);
    for (unsigned i = 1; i < header->opcode_base; i++)
        header->operands[i] = otp_bytes_u8(&tables);
    uint64_t directories;
    if (header->version < 5)
        old_tables(&tables, header);
    else if (!new_table(&tables, header, &directories) || !new_table(&tables, header, &header->files))
        return false;
    bytes->at = program;
    return !tables.bad;
}

/* Rows that the program makes. An opcode that the header does not declare is skipped as the header says. */
static uint64_t count_rows(struct otp_bytes *bytes, struct header *header) {
    uint64_t rows = 0;
    while (!bytes->bad && otp_bytes_left(bytes)) {
        uint8_t opcode = otp_bytes_u8(bytes);
        if (opcode >= header->opcode_base) {
            rows++;
        } else if (opcode == 0) {
            uint64_t length = otp_bytes_uleb(bytes);
            uint8_t extended = otp_bytes_left(bytes) ? *bytes->at : 0;
            otp_bytes_take(bytes, length);
            rows += extended == DW_LNE_end_sequence;
            header->files += extended == DW_LNE_define_file;
        } else if (opcode == DW_LNS_fixed_advance_pc) {
            otp_bytes_take(bytes, 2);
        } else {
            rows += opcode == DW_LNS_copy;
            for (unsigned i = 0; i < header->operands[opcode]; i++)
                otp_bytes_uleb(bytes);
        }
    }
    return rows;
}

bool otp_line_cost(const void *section, size_t size, uint64_t offset, size_t longest, uint64_t *cost) {
    if (offset >= size)
        return false;
    struct otp_bytes bytes = otp_bytes((const uint8_t *)section + offset, size - offset);
    struct header header = {.longest = longest};
    if (!read_header(&bytes, &header))
        return false;
    uint64_t rows = count_rows(&bytes, &header);
    if (bytes.bad)
        return false;
    /* A file's name is put together of compilation directory, directory and name. */
    *cost = rows * ROW_COST + header.files * (FILE_COST + 3 * ((uint64_t)header.longest + 1));
    return true;
}
