// SPDX-License-Identifier: Apache-2.0
/* Reads arbitrary bytes as an ELF file and as its symbol tables. */
#include <stdlib.h>
#include <string.h>

#include "symbols/elf_file.h"
#include "symbols/symbol_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_index(const struct otp_elf_file *elf, uint32_t type, enum otp_index_content content, size_t limit) {
    struct otp_symbol_index *index;
    if (otp_symbol_index_build(elf, type, content, limit, &index) != OTP_INDEX_OK)
        return;
    if (!otp_symbol_index_count(index) || otp_symbol_index_size(index) > limit + 256)
        abort();
    for (uint64_t at = 0; at < 4096; at++) {
        struct otp_symbol_found found;
        char name[64];
        if (!otp_symbol_index_find(index, at * 5, &found))
            continue;
        if (at * 5 < found.start || at * 5 - found.start >= found.size)
            abort();
        otp_symbol_index_name(index, elf, found.name, name, sizeof(name));
    }
    otp_symbol_index_free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct otp_elf_file elf;
    if (otp_elf_from_memory(&elf, data, size) != OTP_ELF_OK)
        return 0;
    for (uint32_t i = 0; i < elf.section_count; i++) {
        char *bytes = otp_elf_section_bytes(&elf, &elf.sections[i], 4096);
        if (bytes && bytes[elf.sections[i].sh_size])
            abort();
        free(bytes);
        if (strlen(otp_elf_section_name(&elf, &elf.sections[i])) > size)
            abort();
    }
    uint64_t address;
    otp_elf_address(&elf, size / 2, &address);
    check_index(&elf, SHT_SYMTAB, OTP_INDEX_FUNCTIONS, 1 << 20);
    check_index(&elf, SHT_DYNSYM, OTP_INDEX_FUNCTIONS, 2048);
    check_index(&elf, SHT_SYMTAB, OTP_INDEX_OBJECTS, 1 << 20);
    otp_elf_close(&elf);
    return 0;
}
