// SPDX-License-Identifier: Apache-2.0
#include "symbols/symbols.h"

#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "symbols/clean_name.h"
#include "symbols/data_names.h"
#include "symbols/dwarf_lines.h"
#include "symbols/elf_file.h"
#include "symbols/kernel.h"
#include "symbols/named_modules.h"
#include "symbols/perf_map.h"
#include "symbols/result_cache.h"

#define MEMORY_LIMIT ((size_t)16 << 20)
#define DWARF_LIMIT ((size_t)64 << 20)

/* Keys of what is no module; those of modules count up from 1. */
#define KEY_KERNEL UINT32_MAX
#define KEY_PERF_MAP 0x80000000u

struct otp_symbols {
    otp_demangle_fn demangle;
    struct otp_result_cache *cache;
    struct otp_named_modules *modules;
    struct otp_data_names *data;
    struct otp_kernel_symbols *kernel;
    struct otp_perf_map *perf_map;
    struct otp_symbols_stats stats;
    uint32_t window;
    struct otp_answer answer;
    char name[OTP_NAME_MAX + 1];
    char path[OTP_NAME_MAX + 1];
    char debug_directory[];
};

/*
 * Half for answers (two generations: 16 MiB in all hold some 30,000 of one window), five sixteenths for indexes, a
 * sixteenth each for variables, for the kernel and for perf maps.
 */
static bool make_parts(struct otp_symbols *symbols, const struct otp_symbols_options *options, size_t limit) {
    struct otp_named_modules_options modules = {
        .index_limit = limit / 16 * 5,
        .dwarf_limit = options->dwarf_limit_bytes ? options->dwarf_limit_bytes : DWARF_LIMIT,
        .dwarf_cpu_permille = options->dwarf_cpu_permille ? options->dwarf_cpu_permille : 10,
        .no_dwarf = options->no_dwarf || !otp_dwarf_version(),
        .debug_directory = symbols->debug_directory,
    };
    symbols->demangle = options->demangle;
    symbols->cache = otp_result_cache_new(limit / 2);
    symbols->modules = otp_named_modules_new(&modules, &symbols->stats);
    symbols->data = otp_data_names_new(limit / 16, symbols->debug_directory);
    symbols->kernel =
        otp_kernel_symbols_new(options->kallsyms_path ? options->kallsyms_path : "/proc/kallsyms", limit / 16);
    symbols->perf_map =
        otp_perf_map_new(options->perf_map_directory ? options->perf_map_directory : "/tmp", limit / 16);
    return symbols->cache && symbols->modules && symbols->data && symbols->kernel && symbols->perf_map;
}

struct otp_symbols *otp_symbols_new(const struct otp_symbols_options *options) {
    static const struct otp_symbols_options defaults;
    if (!options)
        options = &defaults;
    if (elf_version(EV_CURRENT) == EV_NONE)
        return NULL;
    const char *directory = options->debug_directory ? options->debug_directory : "/usr/lib/debug";
    size_t size = strlen(directory) + 1;
    struct otp_symbols *symbols = otp_sys.calloc(1, sizeof(*symbols) + size);
    if (!symbols)
        return NULL;
    memcpy(symbols->debug_directory, directory, size);
    size_t limit = options->memory_limit_bytes ? options->memory_limit_bytes : MEMORY_LIMIT;
    if (make_parts(symbols, options, limit))
        return symbols;
    otp_symbols_free(symbols);
    return NULL;
}

void otp_symbols_free(struct otp_symbols *symbols) {
    if (!symbols)
        return;
    otp_result_cache_free(symbols->cache);
    otp_named_modules_free(symbols->modules);
    otp_kernel_symbols_free(symbols->kernel);
    otp_perf_map_free(symbols->perf_map);
    otp_data_names_free(symbols->data);
    free(symbols);
}

void otp_symbols_begin_window(struct otp_symbols *symbols) {
    symbols->window++;
    otp_result_cache_begin_window(symbols->cache);
    otp_named_modules_begin_window(symbols->modules);
    otp_kernel_symbols_begin_window(symbols->kernel);
    otp_perf_map_refresh(symbols->perf_map);
}

void otp_symbols_end_window(struct otp_symbols *symbols) {
    otp_named_modules_end_window(symbols->modules);
    otp_kernel_symbols_end_window(symbols->kernel);
}

void otp_symbols_stats(const struct otp_symbols *symbols, struct otp_symbols_stats *stats) { *stats = symbols->stats; }

size_t otp_symbols_memory(const struct otp_symbols *symbols) {
    return sizeof(*symbols) + otp_result_cache_size(symbols->cache) + otp_named_modules_size(symbols->modules) +
           otp_data_names_size(symbols->data) + otp_kernel_symbols_size(symbols->kernel) +
           otp_perf_map_size(symbols->perf_map);
}

/* A clean copy in the cache. */
static const char *keep(struct otp_symbols *symbols, const char *text) {
    size_t length = otp_clean_name(text, symbols->name, sizeof(symbols->name));
    return otp_result_cache_string(symbols->cache, symbols->name, length);
}

/* The same, demangled if it is a C++ name and there is a demangler. */
static const char *keep_demangled(struct otp_symbols *symbols, const char *mangled) {
    char *plain = NULL;
    if (symbols->demangle && mangled[0] == '_' && mangled[1] == 'Z' && strnlen(mangled, OTP_NAME_MAX) < OTP_NAME_MAX) {
        int status = 0;
        plain = symbols->demangle(mangled, NULL, NULL, &status);
    }
    const char *kept = keep(symbols, plain && plain[0] ? plain : mangled);
    free(plain);
    return kept;
}

/*
 * The name to show: that of the source, for the symbol's may be an alias, or have a suffix (.cold, .part.0); in C++ the
 * linkage name, for it says class and arguments.
 */
static const char *shown_name(const struct otp_dwarf_frame *frame, const char *symbol) {
    const char *linkage = frame->linkage_name;
    if (linkage && linkage[0] == '_' && linkage[1] == 'Z')
        return linkage;
    if (frame->name)
        return frame->name;
    return linkage ? linkage : symbol;
}

static bool make_line(struct otp_symbols *symbols, const struct otp_dwarf_frame *frame, const char *symbol,
                      struct otp_symbol_line *line) {
    const char *system_name = symbol ? symbol : frame->linkage_name;
    const char *shown = shown_name(frame, symbol);
    if (!system_name)
        system_name = shown;
    *line = (struct otp_symbol_line){.line = frame->line, .start_line = frame->start_line};
    line->system_name = keep(symbols, system_name ? system_name : "?");
    line->function = keep_demangled(symbols, shown ? shown : "?");
    if (frame->file) {
        otp_join_path(frame->directory, frame->file, symbols->path, sizeof(symbols->path));
        line->file = keep(symbols, symbols->path);
    }
    return line->system_name && line->function && (line->file || !frame->file);
}

/* The symbol names the function that physically contains the address: the last line. */
static size_t make_lines(struct otp_symbols *symbols, struct otp_answer *answer, struct otp_symbol_line *lines) {
    if (!answer->frame_count) {
        answer->frames[0] = (struct otp_dwarf_frame){0};
        answer->frame_count = 1;
    }
    for (size_t i = 0; i < answer->frame_count; i++) {
        bool last = i + 1 == answer->frame_count;
        const char *symbol = last && answer->has_symbol ? answer->symbol : NULL;
        if (!make_line(symbols, &answer->frames[i], symbol, &lines[i]))
            return 0;
    }
    return answer->frame_count;
}

static const struct otp_result *remember(struct otp_symbols *symbols, uint32_t key, uint64_t offset,
                                         struct otp_answer *answer) {
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    struct otp_result head = {.offset = offset,
                              .module = key,
                              .window = symbols->window,
                              .reason = (uint8_t)answer->reason,
                              .provisional = answer->provisional};
    if (answer->reason == OTP_NAMED) {
        head.count = (uint16_t)make_lines(symbols, answer, lines);
        if (!head.count)
            return NULL;
    }
    return otp_result_cache_put(symbols->cache, &head, lines);
}

static void answer_with(struct otp_answer *answer, const char *name) {
    answer->has_symbol = name != NULL;
    answer->frame_count = 0;
    answer->reason = name ? OTP_NAMED : OTP_UNNAMED_NO_MODULE;
    answer->provisional = !name;
    if (name)
        otp_clean_name(name, answer->symbol, sizeof(answer->symbol));
}

/* What an address is known by in the cache. `entry` is NULL for what is no module. False: out of memory. */
static bool make_key(struct otp_symbols *symbols, const struct otp_symbol_module *module, uint64_t address,
                     struct otp_module_entry **entry, uint32_t *key, uint64_t *offset) {
    *entry = NULL;
    *offset = address;
    if (module->kernel) {
        *key = KEY_KERNEL;
    } else if (module->anonymous) {
        *key = KEY_PERF_MAP + (otp_perf_map_generation(symbols->perf_map) & 0x7ffffff);
    } else {
        *entry = otp_named_modules_entry(symbols->modules, module);
        *key = *entry ? otp_module_entry_id(*entry) : 0;
        *offset = address - module->start + module->file_offset;
        return *entry != NULL;
    }
    return true;
}

static const struct otp_result *ask(struct otp_symbols *symbols, const struct otp_symbol_module *module,
                                    struct otp_module_entry *entry, uint32_t key, uint64_t offset, uint64_t address) {
    struct otp_answer *answer = &symbols->answer;
    if (module->kernel) {
        answer_with(answer, otp_kernel_symbols_find(symbols->kernel, address));
    } else if (module->anonymous) {
        answer_with(answer, otp_perf_map_find(symbols->perf_map, address));
        key = KEY_PERF_MAP + (otp_perf_map_generation(symbols->perf_map) & 0x7ffffff);
    } else {
        otp_named_modules_ask(symbols->modules, entry, module, address, answer);
    }
    return remember(symbols, key, offset, answer);
}

static void count_unnamed(struct otp_symbols_stats *stats, unsigned reason) {
    stats->unnamed++;
    switch (reason) {
    case OTP_UNNAMED_NO_FILE:
        stats->unnamed_no_file++;
        break;
    case OTP_UNNAMED_NO_SYMBOL:
        stats->unnamed_no_symbol++;
        break;
    case OTP_UNNAMED_TOO_LARGE:
        stats->unnamed_too_large++;
        break;
    case OTP_UNNAMED_NO_MODULE:
        stats->unnamed_no_module++;
        break;
    default:
        stats->unnamed_memory++;
    }
}

const char *otp_symbols_data(struct otp_symbols *symbols, const struct otp_symbol_module *module, uint64_t address,
                             uint64_t *offset) {
    struct otp_locate_counts counts = {0, 0, 0};
    if (module->kernel || module->anonymous || module->vdso)
        return NULL;
    bool found =
        otp_data_names_find(symbols->data, module, address, symbols->path, sizeof(symbols->path), offset, &counts);
    symbols->stats.files_changed += counts.changed;
    symbols->stats.files_wrong += counts.wrong;
    symbols->stats.files_bad += counts.bad;
    return found ? keep_demangled(symbols, symbols->path) : NULL;
}

/* Copies an answer; if there is too little room, the middle is left out. */
static size_t give(const struct otp_result *result, struct otp_symbol_line *lines, size_t max) {
    size_t count = result->count < max ? result->count : max;
    memcpy(lines, result->lines, count * sizeof(*lines));
    if (count && count < result->count)
        lines[count - 1] = result->lines[result->count - 1];
    return count;
}

size_t otp_symbols_resolve(struct otp_symbols *symbols, const struct otp_symbol_module *module, uint64_t address,
                           struct otp_symbol_line *lines, size_t max) {
    struct otp_module_entry *entry;
    uint32_t key;
    uint64_t offset;
    const struct otp_result *result = NULL;
    if (make_key(symbols, module, address, &entry, &key, &offset)) {
        result = otp_result_cache_find(symbols->cache, key, offset);
        if (result && (!result->provisional || result->window == symbols->window))
            symbols->stats.cache_hits++;
        else
            result = ask(symbols, module, entry, key, offset, address);
    }
    if (!result || !result->count) {
        count_unnamed(&symbols->stats, result ? result->reason : OTP_UNNAMED_MEMORY);
        return 0;
    }
    symbols->stats.resolved++;
    symbols->stats.with_line += result->lines[0].file && result->lines[0].line;
    return give(result, lines, max);
}
