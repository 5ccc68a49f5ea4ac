// SPDX-License-Identifier: Apache-2.0
#include "hooks/object_words.h"

#include <elf.h>
#include <string.h>

#if defined(__x86_64__)
#define TYPE_SLOT R_X86_64_JUMP_SLOT
#define TYPE_GOT R_X86_64_GLOB_DAT
#define TYPE_DATA R_X86_64_64
#elif defined(__aarch64__)
#define TYPE_SLOT R_AARCH64_JUMP_SLOT
#define TYPE_GOT R_AARCH64_GLOB_DAT
#define TYPE_DATA R_AARCH64_ABS64
#endif
#define NAME_MAX_BYTES 64 /* longer names are no hooks */
#define VERSIONS_MAX 4096 /* that an object asks others for: more are not looked at */

struct tables {
    uint64_t symbols;
    const char *strings;
    uint64_t string_bytes;
    uint64_t data, data_bytes;   /* DT_RELA */
    uint64_t slots, slots_bytes; /* DT_JMPREL */
    uint64_t versions;           /* DT_VERSYM: of each symbol; 0: none */
    uint64_t needs, need_count;  /* DT_VERNEED: of other objects; 0: none */
};

/* The loader has added the base in place, but not on every architecture and not for every object. */
static uint64_t absolute(const struct otp_object *object, uint64_t value) {
    return value < object->base ? value + object->base : value;
}

static bool find_tables(const struct otp_object *object, struct tables *tables) {
    memset(tables, 0, sizeof(*tables));
    uint64_t strings = 0;
    if (!object->dynamic)
        return false;
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_SYMTAB:
            tables->symbols = absolute(object, entry->d_un.d_ptr);
            break;
        case DT_STRTAB:
            strings = absolute(object, entry->d_un.d_ptr);
            break;
        case DT_STRSZ:
            tables->string_bytes = entry->d_un.d_val;
            break;
        case DT_RELA:
            tables->data = absolute(object, entry->d_un.d_ptr);
            break;
        case DT_RELASZ:
            tables->data_bytes = entry->d_un.d_val;
            break;
        case DT_JMPREL:
            tables->slots = absolute(object, entry->d_un.d_ptr);
            break;
        case DT_PLTRELSZ:
            tables->slots_bytes = entry->d_un.d_val;
            break;
        case DT_VERSYM:
            tables->versions = absolute(object, entry->d_un.d_ptr);
            break;
        case DT_VERNEED:
            tables->needs = absolute(object, entry->d_un.d_ptr);
            break;
        case DT_VERNEEDNUM:
            tables->need_count = entry->d_un.d_val;
            break;
        case DT_PLTREL:
            if (entry->d_un.d_val != DT_RELA)
                return false;
            break;
        default:
            break;
        }
    }
    tables->strings = (const void *)strings; /* NOLINT(performance-no-int-to-ptr): as the loader says */
    return tables->symbols && strings && otp_object_has(object, strings, tables->string_bytes, PF_R);
}

/* True if `size` bytes of aligned entries lie in the object. */
static bool is_table(const struct otp_object *object, uint64_t address, uint64_t size) {
    return address % sizeof(uint64_t) == 0 && otp_object_has(object, address, size, PF_R);
}

static const ElfW(Sym) * symbol_at(const struct otp_object *object, const struct tables *tables, uint64_t index) {
    uint64_t address = tables->symbols + index * sizeof(ElfW(Sym));
    return is_table(object, address, sizeof(ElfW(Sym))) ? (const void *)address /* NOLINT(performance-no-int-to-ptr) */
                                                        : NULL;
}

/* A string that is short enough, or NULL. */
static const char *string_at(const struct tables *tables, uint64_t offset) {
    if (offset >= tables->string_bytes)
        return NULL;
    uint64_t left = tables->string_bytes - offset;
    const char *string = tables->strings + offset;
    return memchr(string, 0, left < NAME_MAX_BYTES ? left : NAME_MAX_BYTES) ? string : NULL;
}

/* True if an entry of versions, aligned to 4 as all of them are, lies in the object. */
static bool is_entry(const struct otp_object *object, uint64_t address, uint64_t size) {
    return address % 4 == 0 && otp_object_has(object, address, size, PF_R);
}

/* The name of version `wanted` among those that one other object is asked for (its entry is `need`), or NULL. Takes one
 * off *patience for each that it looks at. */
static const char *version_in(const struct otp_object *object, const struct tables *tables, uint64_t at,
                              const ElfW(Verneed) * need, unsigned wanted, unsigned *patience) {
    uint64_t place = at + need->vn_aux;
    for (unsigned i = 0; i < need->vn_cnt && *patience && is_entry(object, place, sizeof(ElfW(Vernaux))); i++) {
        const ElfW(Vernaux) *version = (const void *)place; /* NOLINT(performance-no-int-to-ptr) */
        --*patience;
        if (version->vna_other == wanted)
            return string_at(tables, version->vna_name);
        if (!version->vna_next)
            break;
        place += version->vna_next;
    }
    return NULL;
}

static const char *version_of(const struct otp_object *object, const struct tables *tables, uint64_t index) {
    uint64_t place = tables->versions + index * sizeof(ElfW(Half)), at = tables->needs;
    unsigned patience = VERSIONS_MAX;
    if (!tables->versions || !tables->needs || place % sizeof(ElfW(Half)) ||
        !otp_object_has(object, place, sizeof(ElfW(Half)), PF_R))
        return NULL;
    unsigned wanted = *(const ElfW(Half) *)place & 0x7fffu; /* NOLINT(performance-no-int-to-ptr) */
    for (uint64_t i = 0; i < tables->need_count && patience && is_entry(object, at, sizeof(ElfW(Verneed))); i++) {
        const ElfW(Verneed) *need = (const void *)at; /* NOLINT(performance-no-int-to-ptr) */
        const char *name = version_in(object, tables, at, need, wanted, &patience);
        if (name || !need->vn_next)
            return name;
        patience -= patience > 0;
        at += need->vn_next;
    }
    return NULL;
}

static void take_words(const struct otp_object *object, const struct tables *tables, uint64_t start, uint64_t bytes,
                       otp_word_fn take, void *user) {
    const ElfW(Rela) *relocation = (const void *)start; /* NOLINT(performance-no-int-to-ptr) */
    if (!bytes || !is_table(object, start, bytes))
        return;
    for (uint64_t i = 0; i < bytes / sizeof(*relocation); i++, relocation++) {
        uint64_t type = ELF64_R_TYPE(relocation->r_info);
        uint64_t address = object->base + relocation->r_offset;
        if ((type != TYPE_SLOT && type != TYPE_GOT && type != TYPE_DATA) || relocation->r_addend || (address & 7))
            continue;
        const ElfW(Sym) *symbol = symbol_at(object, tables, ELF64_R_SYM(relocation->r_info));
        const char *name = symbol ? string_at(tables, symbol->st_name) : NULL;
        if (!name || !otp_object_has(object, address, sizeof(uint64_t), PF_W))
            continue;
        uint64_t own = symbol->st_shndx == SHN_UNDEF ? 0 : object->base + symbol->st_value;
        struct otp_word word = {(uint64_t *)address, name, own, type == TYPE_SLOT, /* NOLINT */
                                ELF64_R_SYM(relocation->r_info)};
        take(user, &word);
    }
}

bool otp_object_words(const struct otp_object *object, otp_word_fn take, void *user) {
    struct tables tables;
    if (!find_tables(object, &tables))
        return false;
    take_words(object, &tables, tables.data, tables.data_bytes, take, user);
    take_words(object, &tables, tables.slots, tables.slots_bytes, take, user);
    return true;
}

const char *otp_word_version(const struct otp_object *object, const struct otp_word *word) {
    struct tables tables;
    return find_tables(object, &tables) ? version_of(object, &tables, word->symbol) : NULL;
}

bool otp_dynamic_has_path(const ElfW(Dyn) * dynamic) {
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == DT_RUNPATH || dynamic->d_tag == DT_RPATH)
            return true;
    return false;
}
