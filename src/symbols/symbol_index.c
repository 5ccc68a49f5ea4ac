// SPDX-License-Identifier: Apache-2.0
#include "symbols/symbol_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "symbols/elf_file.h"

#define PIECE 1024   /* symbols read at once */
#define WALK_BACK 64 /* symbols looked at before an address, for one that encloses others */

enum {
    RANK_SIZED = 64,
    RANK_FUNCTION = 32,
    RANK_GLOBAL = 16,
    RANK_WEAK = 8,
    RANK_GUESSED = 1, /* no rank: the size is not the symbol's */
};

struct symbol {
    uint32_t start; /* from the base on */
    uint32_t size;
    uint32_t name; /* in the kept names, or in the file's string table */
    uint32_t rank; /* the largest of equal addresses wins */
};

struct otp_symbol_index {
    enum otp_index_content content;
    uint64_t base;
    struct symbol *symbols;
    size_t count;
    size_t capacity;
    size_t limit;
    char *names; /* NULL: they are in the file */
    size_t names_size;
    uint64_t strings_offset; /* of the string table in the file */
    uint64_t strings_size;
};

void otp_symbol_index_free(struct otp_symbol_index *index) {
    if (!index)
        return;
    free(index->symbols);
    free(index->names);
    free(index);
}

size_t otp_symbol_index_size(const struct otp_symbol_index *index) {
    return sizeof(*index) + index->capacity * sizeof(*index->symbols) + index->names_size;
}

size_t otp_symbol_index_count(const struct otp_symbol_index *index) { return index->count; }

bool otp_symbol_index_needs_file(const struct otp_symbol_index *index) { return !index->names; }

/* The section a symbol lies in, or NULL. */
static const Elf64_Shdr *section_of(const struct otp_elf_file *elf, const Elf64_Sym *symbol) {
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx >= SHN_LORESERVE || symbol->st_shndx >= elf->section_count)
        return NULL;
    return &elf->sections[symbol->st_shndx];
}

static uint32_t rank_of(const Elf64_Sym *symbol) {
    uint32_t rank = symbol->st_size ? RANK_SIZED : RANK_GUESSED;
    if (ELF64_ST_TYPE(symbol->st_info) != STT_NOTYPE)
        rank |= RANK_FUNCTION;
    unsigned binding = ELF64_ST_BIND(symbol->st_info);
    if (binding == STB_GLOBAL || binding == STB_GNU_UNIQUE)
        rank |= RANK_GLOBAL;
    else if (binding == STB_WEAK)
        rank |= RANK_WEAK;
    return rank;
}

/* Functions, and untyped labels in code (assembly); no label without a size and a section, which would have no end. */
static bool acceptable(const struct otp_elf_file *elf, const Elf64_Sym *symbol) {
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if ((type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) || !symbol->st_name ||
        symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS || symbol->st_shndx == SHN_COMMON)
        return false;
    const Elf64_Shdr *section = section_of(elf, symbol);
    if (type == STT_NOTYPE && (!section || !(section->sh_flags & SHF_EXECINSTR)))
        return false;
    if (!section)
        return symbol->st_size != 0;
    return symbol->st_value >= section->sh_addr && symbol->st_value - section->sh_addr < section->sh_size;
}

static bool is_object(const struct otp_elf_file *elf, const Elf64_Sym *symbol) {
    const Elf64_Shdr *section = section_of(elf, symbol);
    return ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT && symbol->st_name && symbol->st_size && section &&
           !(section->sh_flags & SHF_EXECINSTR) && symbol->st_value >= section->sh_addr &&
           symbol->st_value - section->sh_addr < section->sh_size;
}

static bool wanted(const struct otp_symbol_index *index, const struct otp_elf_file *elf, const Elf64_Sym *symbol) {
    return index->content == OTP_INDEX_OBJECTS ? is_object(elf, symbol) : acceptable(elf, symbol);
}

static enum otp_index_result add(struct otp_symbol_index *index, const struct otp_elf_file *elf,
                                 const Elf64_Sym *symbol) {
    if (!wanted(index, elf, symbol) || symbol->st_name >= index->strings_size || symbol->st_value < index->base ||
        symbol->st_value - index->base > UINT32_MAX)
        return OTP_INDEX_OK;
    if (index->count == index->capacity) {
        size_t capacity = index->capacity ? index->capacity + index->capacity / 2 : 256;
        if (index->limit / sizeof(struct symbol) < capacity)
            capacity = index->limit / sizeof(struct symbol);
        if (capacity <= index->count)
            return OTP_INDEX_TOO_LARGE;
        struct symbol *symbols = otp_sys.realloc(index->symbols, capacity * sizeof(*symbols));
        if (!symbols)
            return OTP_INDEX_MEMORY;
        index->symbols = symbols;
        index->capacity = capacity;
    }
    const Elf64_Shdr *section = section_of(elf, symbol);
    uint64_t rest = section ? section->sh_size - (symbol->st_value - section->sh_addr) : UINT64_MAX;
    uint64_t size = symbol->st_size && symbol->st_size < rest ? symbol->st_size : rest;
    index->symbols[index->count++] =
        (struct symbol){(uint32_t)(symbol->st_value - index->base), size > UINT32_MAX ? UINT32_MAX : (uint32_t)size,
                        symbol->st_name, rank_of(symbol)};
    return OTP_INDEX_OK;
}

static enum otp_index_result read_table(struct otp_symbol_index *index, const struct otp_elf_file *elf,
                                        const Elf64_Shdr *table) {
    Elf64_Sym *piece = otp_sys.malloc(PIECE * sizeof(*piece));
    if (!piece)
        return OTP_INDEX_MEMORY;
    enum otp_index_result result = OTP_INDEX_OK;
    uint64_t count = table->sh_size / sizeof(*piece);
    for (uint64_t from = 0; from < count && result == OTP_INDEX_OK; from += PIECE) {
        size_t some = count - from < PIECE ? (size_t)(count - from) : PIECE;
        if (!otp_elf_read(elf, table->sh_offset + from * sizeof(*piece), piece, some * sizeof(*piece)))
            result = OTP_INDEX_BAD;
        for (size_t i = 0; i < some && result == OTP_INDEX_OK; i++)
            result = add(index, elf, &piece[i]);
    }
    free(piece);
    return result;
}

static size_t underscores(const char *name) { return strspn(name, "_"); }

/* By address, then the better name first. `strings` is NULL when the names are not at hand. */
static int compare(const void *left, const void *right, void *strings) {
    const struct symbol *one = left;
    const struct symbol *other = right;
    if (one->start != other->start)
        return one->start < other->start ? -1 : 1;
    if (one->rank != other->rank)
        return one->rank > other->rank ? -1 : 1;
    if (strings) {
        const char *name = (const char *)strings + one->name;
        const char *other_name = (const char *)strings + other->name;
        size_t count = underscores(name);
        size_t other_count = underscores(other_name);
        if (count != other_count)
            return count < other_count ? -1 : 1;
        int order = strcmp(name, other_name);
        if (order)
            return order;
    }
    return one->name < other->name ? -1 : one->name > other->name;
}

/*
 * One symbol an address; a label without a size ends at the next symbol, and is left out inside a function that has
 * one.
 */
static void settle(struct otp_symbol_index *index) {
    size_t kept = 0;
    uint64_t sized_end = 0;
    for (size_t i = 0; i < index->count; i++) {
        struct symbol symbol = index->symbols[i];
        if (kept && index->symbols[kept - 1].start == symbol.start)
            continue;
        if (!(symbol.rank & RANK_SIZED) && symbol.start < sized_end)
            continue;
        if (kept && (index->symbols[kept - 1].rank & RANK_GUESSED) &&
            index->symbols[kept - 1].size > symbol.start - index->symbols[kept - 1].start)
            index->symbols[kept - 1].size = symbol.start - index->symbols[kept - 1].start;
        if ((symbol.rank & RANK_SIZED) && (uint64_t)symbol.start + symbol.size > sized_end)
            sized_end = (uint64_t)symbol.start + symbol.size;
        index->symbols[kept++] = symbol;
    }
    index->count = kept;
}

/* Gives back what the growth reserved too much. */
static void shrink(struct otp_symbol_index *index) {
    struct symbol *symbols = otp_sys.realloc(index->symbols, index->count * sizeof(*symbols));
    if (symbols) {
        index->symbols = symbols;
        index->capacity = index->count;
    }
}

/* Keeps the names in use, if there is room: then the file may go away. */
static void keep_names(struct otp_symbol_index *index, const char *strings) {
    size_t room = index->limit - index->capacity * sizeof(*index->symbols);
    size_t size = 0;
    for (size_t i = 0; i < index->count; i++)
        size += strlen(strings + index->symbols[i].name) + 1;
    /* Names of a quarter of the limit and more would push out other modules for little. */
    if (size > room || size > index->limit / 4 || size > UINT32_MAX)
        return;
    index->names = otp_sys.malloc(size);
    if (!index->names)
        return;
    index->names_size = size;
    size_t at = 0;
    for (size_t i = 0; i < index->count; i++) {
        size_t length = strlen(strings + index->symbols[i].name) + 1;
        memcpy(index->names + at, strings + index->symbols[i].name, length);
        index->symbols[i].name = (uint32_t)at;
        at += length;
    }
}

static uint64_t lowest_address(const struct otp_elf_file *elf) {
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        if (elf->segments[i].p_type == PT_LOAD && elf->segments[i].p_vaddr < lowest)
            lowest = elf->segments[i].p_vaddr;
    }
    return lowest == UINT64_MAX ? 0 : lowest;
}

static enum otp_index_result fill(struct otp_symbol_index *index, const struct otp_elf_file *elf,
                                  const Elf64_Shdr *table) {
    const Elf64_Shdr *strings_section = &elf->sections[table->sh_link];
    index->base = lowest_address(elf);
    index->strings_offset = strings_section->sh_offset;
    index->strings_size = strings_section->sh_size;
    enum otp_index_result result = read_table(index, elf, table);
    if (result != OTP_INDEX_OK)
        return result;
    if (!index->count)
        return OTP_INDEX_EMPTY;
    char *strings = otp_elf_section_bytes(elf, strings_section, index->limit);
    qsort_r(index->symbols, index->count, sizeof(*index->symbols), compare, strings);
    settle(index);
    shrink(index);
    if (strings)
        keep_names(index, strings);
    free(strings);
    return OTP_INDEX_OK;
}

enum otp_index_result otp_symbol_index_build(const struct otp_elf_file *elf, uint32_t table_type,
                                             enum otp_index_content content, size_t limit,
                                             struct otp_symbol_index **index) {
    *index = NULL;
    const Elf64_Shdr *table = otp_elf_section(elf, table_type, NULL);
    if (!table)
        return OTP_INDEX_EMPTY;
    if (table->sh_entsize != sizeof(Elf64_Sym) || table->sh_link >= elf->section_count ||
        elf->sections[table->sh_link].sh_type != SHT_STRTAB || table->sh_offset > elf->size ||
        table->sh_size > elf->size - table->sh_offset)
        return OTP_INDEX_BAD;
    struct otp_symbol_index *fresh = otp_sys.calloc(1, sizeof(*fresh));
    if (!fresh)
        return OTP_INDEX_MEMORY;
    fresh->limit = limit;
    fresh->content = content;
    enum otp_index_result result = fill(fresh, elf, table);
    if (result == OTP_INDEX_OK)
        *index = fresh;
    else
        otp_symbol_index_free(fresh);
    return result;
}

bool otp_symbol_index_find(const struct otp_symbol_index *index, uint64_t address, struct otp_symbol_found *found) {
    if (address < index->base || address - index->base > UINT32_MAX)
        return false;
    uint32_t at = (uint32_t)(address - index->base);
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->symbols[middle].start <= at)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t back = 0; back < WALK_BACK && back < low; back++) {
        const struct symbol *symbol = &index->symbols[low - 1 - back];
        if (at - symbol->start < symbol->size) {
            *found = (struct otp_symbol_found){index->base + symbol->start, symbol->size, symbol->name,
                                               (symbol->rank & RANK_GUESSED) != 0};
            return true;
        }
    }
    return false;
}

bool otp_symbol_index_name(const struct otp_symbol_index *index, const struct otp_elf_file *elf, uint32_t name,
                           char *buffer, size_t size) {
    uint64_t left = (index->names ? index->names_size : index->strings_size) - name;
    size_t some = left < size - 1 ? (size_t)left : size - 1;
    if (index->names)
        memcpy(buffer, index->names + name, some);
    else if (!elf || !otp_elf_read(elf, index->strings_offset + name, buffer, some))
        return false;
    buffer[some] = 0;
    return buffer[0] != 0;
}
