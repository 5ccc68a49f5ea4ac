// SPDX-License-Identifier: Apache-2.0
#include "symbols/data_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "symbols/clean_name.h"
#include "symbols/symbol_index.h"
#include "symbols/symbols.h"

#define MODULES_MAX 64

/* A module that was asked for; `index` is NULL where there are no names to be had. */
struct entry {
    uint32_t number;
    struct otp_symbol_index *index;
};

struct otp_data_names {
    size_t limit;
    const char *debug_directory;
    struct entry entries[MODULES_MAX];
    size_t count;
};

struct otp_data_names *otp_data_names_new(size_t limit, const char *debug_directory) {
    struct otp_data_names *names = otp_sys.calloc(1, sizeof(*names));
    if (!names)
        return NULL;
    names->limit = limit;
    names->debug_directory = debug_directory;
    return names;
}

void otp_data_names_free(struct otp_data_names *names) {
    if (!names)
        return;
    for (size_t i = 0; i < names->count; i++)
        otp_symbol_index_free(names->entries[i].index);
    free(names);
}

size_t otp_data_names_size(const struct otp_data_names *names) {
    size_t bytes = sizeof(*names);
    for (size_t i = 0; i < names->count; i++)
        bytes += names->entries[i].index ? otp_symbol_index_size(names->entries[i].index) : 0;
    return bytes;
}

/* An index that cannot keep its names would need the file each time. */
static struct otp_symbol_index *usable(struct otp_symbol_index *index) {
    if (!index || !otp_symbol_index_needs_file(index))
        return index;
    otp_symbol_index_free(index);
    return NULL;
}

static struct otp_symbol_index *index_of(const struct otp_elf_file *elf, uint32_t table, size_t limit) {
    struct otp_symbol_index *index = NULL;
    if (otp_elf_is_open(elf))
        otp_symbol_index_build(elf, table, OTP_INDEX_OBJECTS, limit, &index);
    return usable(index);
}

static struct otp_symbol_index *read_module(const struct otp_data_names *names, const struct otp_symbol_module *module,
                                            size_t limit, struct otp_locate_counts *counts) {
    struct otp_located located = OTP_LOCATED_NONE;
    otp_locate_main(&located, module, counts);
    struct otp_symbol_index *index = index_of(&located.main, SHT_SYMTAB, limit);
    if (!index) {
        otp_locate_debug(&located, module, names->debug_directory, counts);
        index = index_of(&located.debug, SHT_SYMTAB, limit);
    }
    if (!index)
        index = index_of(&located.main, SHT_DYNSYM, limit);
    if (index && (!otp_elf_unchanged(&located.main) || !otp_elf_unchanged(&located.debug))) {
        otp_symbol_index_free(index);
        index = NULL;
    }
    otp_located_close(&located);
    return index;
}

/* The oldest goes where there is no room. */
static void make_room(struct otp_data_names *names) {
    while (names->count && (names->count == MODULES_MAX || otp_data_names_size(names) > names->limit / 2)) {
        otp_symbol_index_free(names->entries[0].index);
        memmove(&names->entries[0], &names->entries[1], --names->count * sizeof(names->entries[0]));
    }
}

static const struct otp_symbol_index *known(struct otp_data_names *names, const struct otp_symbol_module *module,
                                            struct otp_locate_counts *counts) {
    for (size_t i = 0; i < names->count; i++)
        if (names->entries[i].number == module->number)
            return names->entries[i].index;
    make_room(names);
    struct entry *entry = &names->entries[names->count++];
    entry->number = module->number;
    entry->index = read_module(names, module, names->limit / 2, counts);
    return entry->index;
}

bool otp_data_names_find(struct otp_data_names *names, const struct otp_symbol_module *module, uint64_t address,
                         char *symbol, size_t size, uint64_t *offset, struct otp_locate_counts *counts) {
    const struct otp_symbol_index *index = known(names, module, counts);
    struct otp_symbol_found found;
    uint64_t in_file = address - module->bias;
    if (!index || !otp_symbol_index_find(index, in_file, &found) ||
        !otp_symbol_index_name(index, NULL, found.name, symbol, size))
        return false;
    otp_strip_version(symbol);
    *offset = in_file - found.start;
    return true;
}
