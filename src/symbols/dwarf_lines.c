// SPDX-License-Identifier: Apache-2.0
#include "symbols/dwarf_lines.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "symbols/dwarf_private.h"
#include "symbols/line_cost.h"

#define FIND_BUDGET 100000

/*
 * Where a call into libdw comes back when libdw runs out of memory. Its own handler prints and ends the process, and
 * a handler gets no argument.
 */
static _Thread_local jmp_buf *escape;

__attribute__((noreturn)) static void out_of_memory(void) { _longjmp(*escape, 1); }

/* Runs `body`; false if libdw ran out of memory in it. */
static bool guarded(void (*body)(void *), void *argument) {
    jmp_buf here;
    escape = &here;
    if (_setjmp(here)) {
        escape = NULL;
        return false;
    }
    body(argument);
    escape = NULL;
    return true;
}

const char *otp_dwarf_version(void) { return dwfl_version(NULL); }

bool otp_dwarf_present(const struct otp_elf_file *elf) {
    return otp_elf_section(elf, SHT_NULL, ".debug_info") || otp_elf_section(elf, SHT_NULL, ".zdebug_info");
}

/* A section of the image. */
static const void *section_data(struct otp_dwarf *dwarf, const char *name, size_t *size) {
    size_t names;
    if (elf_getshdrstrndx(dwarf->elf, &names))
        return NULL;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(dwarf->elf, section));) {
        GElf_Shdr header;
        const char *at = gelf_getshdr(section, &header) ? elf_strptr(dwarf->elf, names, header.sh_name) : NULL;
        if (!at || strcmp(at, name) != 0)
            continue;
        Elf_Data *data = elf_rawdata(section, NULL);
        *size = data ? data->d_size : 0;
        return data ? data->d_buf : NULL;
    }
    return NULL;
}

struct reading {
    struct otp_dwarf *dwarf;
    bool good;
};

/*
 * libdw 0.188 looks for the end of a string of .debug_line_str without a bound: the section's own last byte must end
 * it. The same is asked of .debug_str.
 */
static bool strings_end(struct otp_dwarf *dwarf) {
    size_t size = 0;
    const char *strings = section_data(dwarf, ".debug_str", &size);
    if (strings && size && strings[size - 1])
        return false;
    size = 0;
    strings = section_data(dwarf, ".debug_line_str", &size);
    dwarf->longest = strings ? otp_longest_string(strings, size) : 0;
    return !strings || !size || !strings[size - 1];
}

static void read_body(void *argument) {
    struct reading *reading = argument;
    struct otp_dwarf *dwarf = reading->dwarf;
    dwarf->lines = section_data(dwarf, ".debug_line", &dwarf->lines_size);
    reading->good = strings_end(dwarf) && otp_dwarf_units_read(dwarf);
}

static enum otp_dwarf_result start(struct otp_dwarf *dwarf) {
    enum otp_dwarf_result result = otp_dwarf_image_make(&dwarf->image, &dwarf->file, dwarf->limit);
    if (!otp_elf_unchanged(&dwarf->file))
        return OTP_DWARF_CHANGED;
    if (result)
        return result;
    dwarf->sections = dwarf->held = dwarf->image.size;
    dwarf->elf = elf_memory(dwarf->image.bytes, dwarf->image.size);
    if (!dwarf->elf)
        return OTP_DWARF_REFUSED;
    dwarf->dwarf = dwarf_begin_elf(dwarf->elf, DWARF_C_READ, NULL);
    if (!dwarf->dwarf)
        return OTP_DWARF_REFUSED;
    dwarf_new_oom_handler(dwarf->dwarf, out_of_memory);
    struct reading reading = {dwarf, false};
    if (!guarded(read_body, &reading))
        return OTP_DWARF_MEMORY;
    return reading.good ? OTP_DWARF_OK : OTP_DWARF_REFUSED;
}

static enum otp_dwarf_result check(const struct otp_elf_file *elf) {
    if (!otp_dwarf_present(elf) || elf->fd < 0)
        return OTP_DWARF_NONE;
    if (otp_elf_section(elf, SHT_NULL, ".gnu_debugaltlink"))
        return OTP_DWARF_REFUSED;
    return OTP_DWARF_OK;
}

enum otp_dwarf_result otp_dwarf_open(struct otp_elf_file *elf, size_t limit, struct otp_dwarf **dwarf) {
    *dwarf = NULL;
    enum otp_dwarf_result result = check(elf);
    struct otp_dwarf *fresh = result == OTP_DWARF_OK ? otp_sys.calloc(1, sizeof(*fresh)) : NULL;
    if (!fresh) {
        otp_elf_close(elf);
        return result == OTP_DWARF_OK ? OTP_DWARF_MEMORY : result;
    }
    fresh->file = *elf;
    *elf = OTP_ELF_NONE;
    fresh->limit = limit;
    result = start(fresh);
    if (result == OTP_DWARF_OK)
        *dwarf = fresh;
    else
        otp_dwarf_close(fresh);
    return result;
}

void otp_dwarf_close(struct otp_dwarf *dwarf) {
    if (!dwarf)
        return;
    for (size_t i = 0; i < dwarf->unit_count; i++)
        free(dwarf->units[i].functions);
    free(dwarf->units);
    free(dwarf->ranges);
    if (dwarf->dwarf)
        dwarf_end(dwarf->dwarf);
    if (dwarf->elf)
        elf_end(dwarf->elf);
    otp_dwarf_image_free(&dwarf->image);
    otp_elf_close(&dwarf->file);
    free(dwarf);
}

/* Whether the unit's line table may be decoded. */
static bool lines_allowed(struct otp_dwarf *dwarf, struct otp_dwarf_unit *unit, Dwarf_Die *die) {
    if (unit->lines_asked)
        return unit->lines_good;
    Dwarf_Attribute attribute;
    Dwarf_Word offset;
    uint64_t cost;
    const char *directory = dwarf_formstring(dwarf_attr(die, DW_AT_comp_dir, &attribute));
    size_t longest = directory && strlen(directory) > dwarf->longest ? strlen(directory) : dwarf->longest;
    unit->lines_asked = true;
    if (!dwarf->lines || dwarf_formudata(dwarf_attr(die, DW_AT_stmt_list, &attribute), &offset) ||
        !otp_line_cost(dwarf->lines, dwarf->lines_size, offset, longest, &cost) ||
        cost > dwarf->limit - dwarf->sections)
        return false;
    if (dwarf->held > dwarf->limit || cost > dwarf->limit - dwarf->held) {
        dwarf->full = true;
        unit->lines_asked = false;
        return false;
    }
    dwarf->held += cost;
    unit->lines_good = true;
    return true;
}

static bool contains(struct otp_dwarf *dwarf, Dwarf_Die *die, uint64_t address) {
    Dwarf_Addr base;
    Dwarf_Addr low;
    Dwarf_Addr high;
    ptrdiff_t at = 0;
    while (otp_dwarf_spend(dwarf) && (at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
        if (address >= low && address < high)
            return true;
    }
    return false;
}

/* Finds the child scope that contains the address: a block, or an inlined function. */
static bool descend(struct otp_dwarf *dwarf, Dwarf_Die *scope, uint64_t address) {
    Dwarf_Die die;
    if (dwarf_child(scope, &die))
        return false;
    do {
        int tag = dwarf_tag(&die);
        if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block) && contains(dwarf, &die, address)) {
            *scope = die;
            return true;
        }
    } while (otp_dwarf_spend(dwarf) && !dwarf_siblingof(&die, &die));
    return false;
}

/* The function at chain[0] and those inlined into it around the address, outermost first. */
static size_t find_chain(struct otp_dwarf *dwarf, uint64_t address, Dwarf_Die *chain) {
    size_t count = 1;
    Dwarf_Die scope = chain[0];
    for (unsigned depth = 0; depth < 4 * OTP_DWARF_DEPTH && count < OTP_DWARF_DEPTH; depth++) {
        if (!descend(dwarf, &scope, address))
            break;
        if (dwarf_tag(&scope) == DW_TAG_inlined_subroutine)
            chain[count++] = scope;
    }
    return count;
}

static const char *string_attribute(Dwarf_Die *die, unsigned name) {
    Dwarf_Attribute attribute;
    return dwarf_attr_integrate(die, name, &attribute) ? dwarf_formstring(&attribute) : NULL;
}

static uint32_t number_attribute(Dwarf_Die *die, unsigned name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    if (!dwarf_attr_integrate(die, name, &attribute) || dwarf_formudata(&attribute, &value) || value > INT32_MAX)
        return 0;
    return (uint32_t)value;
}

static void name_frame(Dwarf_Die *die, struct otp_dwarf_frame *frame) {
    frame->name = string_attribute(die, DW_AT_name);
    frame->linkage_name = string_attribute(die, DW_AT_linkage_name);
    if (!frame->linkage_name)
        frame->linkage_name = string_attribute(die, DW_AT_MIPS_linkage_name);
    frame->start_line = number_attribute(die, DW_AT_decl_line);
}

/* Where the instruction itself comes from. */
static void line_of_address(Dwarf_Die *unit, uint64_t address, struct otp_dwarf_frame *frame) {
    Dwarf_Line *line = dwarf_getsrc_die(unit, address);
    int number;
    if (!line)
        return;
    frame->file = dwarf_linesrc(line, NULL, NULL);
    if (!dwarf_lineno(line, &number) && number > 0)
        frame->line = (uint32_t)number;
}

/* Where an inlined function was called. The attributes must be its own, not those of its abstract origin. */
static void line_of_call(Dwarf_Die *unit, Dwarf_Die *inlined, struct otp_dwarf_frame *frame) {
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    Dwarf_Files *files;
    size_t count;
    if (!dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &value) && value <= INT32_MAX)
        frame->line = (uint32_t)value;
    if (!dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &value) &&
        !dwarf_getsrcfiles(unit, &files, &count) && value < count)
        frame->file = dwarf_filesrc(files, value, NULL, NULL);
}

struct search {
    struct otp_dwarf *dwarf;
    uint64_t address;
    struct otp_dwarf_frame *frames;
    size_t max;
    size_t found;
};

/* Chains over `max` lose frames before the outermost. */
static void fill_frames(struct search *search, Dwarf_Die *unit, bool lines, Dwarf_Die *chain, size_t count) {
    for (size_t i = 0; i < count && search->found < search->max; i++) {
        size_t inner = count - 1 - i;
        if (search->found == search->max - 1)
            inner = 0;
        struct otp_dwarf_frame *frame = &search->frames[search->found++];
        *frame = (struct otp_dwarf_frame){0};
        name_frame(&chain[inner], frame);
        if (lines && i == 0)
            line_of_address(unit, search->address, frame);
        else if (lines)
            line_of_call(unit, &chain[inner + 1], frame);
    }
}

static void find_body(void *argument) {
    struct search *search = argument;
    struct otp_dwarf *dwarf = search->dwarf;
    const struct otp_dwarf_function *function;
    Dwarf_Die die;
    Dwarf_Die chain[OTP_DWARF_DEPTH];
    struct otp_dwarf_unit *unit = otp_dwarf_units_find(dwarf, search->address, &function);
    if (!unit || !dwarf_offdie(dwarf->dwarf, unit->die, &die))
        return;
    bool lines = lines_allowed(dwarf, unit, &die);
    Dwarf_Attribute attribute;
    const char *directory = dwarf_formstring(dwarf_attr(&die, DW_AT_comp_dir, &attribute));
    dwarf->budget = FIND_BUDGET;
    if (function && dwarf_offdie(dwarf->dwarf, function->die, &chain[0])) {
        fill_frames(search, &die, lines, chain, find_chain(dwarf, search->address, chain));
    } else if (lines) {
        search->frames[0] = (struct otp_dwarf_frame){0};
        line_of_address(&die, search->address, &search->frames[0]);
        search->found = search->frames[0].file ? 1 : 0;
    }
    for (size_t i = 0; i < search->found; i++)
        search->frames[i].directory = directory;
}

size_t otp_dwarf_find(struct otp_dwarf *dwarf, uint64_t address, struct otp_dwarf_frame *frames, size_t max) {
    struct search search = {dwarf, address, frames, max, 0};
    if (dwarf->broken)
        return 0;
    if (!guarded(find_body, &search)) {
        dwarf->broken = true;
        return 0;
    }
    return search.found;
}

bool otp_dwarf_full(const struct otp_dwarf *dwarf) { return dwarf->full; }

bool otp_dwarf_broken(const struct otp_dwarf *dwarf) { return dwarf->broken; }

size_t otp_dwarf_size(const struct otp_dwarf *dwarf) { return dwarf->held; }
