// SPDX-License-Identifier: Apache-2.0
#include "symbols/named_modules.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sys.h"
#include "symbols/clean_name.h"
#include "symbols/elf_file.h"
#include "symbols/locate.h"
#include "symbols/symbol_index.h"

#define ENTRIES_MAX 4096
#define BY_NUMBER 1024 /* a power of two */
#define SEGMENTS_MAX 8
#define VDSO_MAX ((uint64_t)1 << 20)
#define FIRST_CREDIT_NS ((int64_t)2000000000)
#define RETRIES 3
#define RETRY_WINDOWS 6

struct segment {
    uint64_t offset, size, address;
};

enum entry_state { ENTRY_NEW, ENTRY_READY, ENTRY_FAILED };
enum dwarf_state { DWARF_UNKNOWN, DWARF_AVAILABLE, DWARF_UNAVAILABLE };

struct otp_module_entry {
    uint32_t id;
    uint32_t number; /* tells modules without a build id apart */
    uint8_t build_id[OTP_BUILD_ID_MAX];
    size_t build_id_size;
    uint32_t used; /* last window */
    enum entry_state state;
    enum otp_unnamed reason; /* of ENTRY_FAILED */
    uint32_t retry;          /* window in which a failure is tried again; 0: never */
    uint32_t failures;
    struct segment segments[SEGMENTS_MAX];
    size_t segment_count;
    struct otp_symbol_index *index;
    char *index_path; /* of the file behind the index, if names were not kept */
    struct otp_file_id index_id;
    struct otp_elf_file names; /* that file, while a window is worked on */
    enum dwarf_state dwarf_state;
    char *dwarf_path;
    struct otp_file_id dwarf_id;
    struct otp_dwarf *dwarf;
};

struct otp_named_modules {
    struct otp_named_modules_options options;
    struct otp_symbols_stats *stats;
    struct otp_module_entry **entries;
    size_t count, capacity;
    struct otp_module_entry *by_number[BY_NUMBER]; /* a guess where to look first */
    uint32_t next_id;
    uint32_t window;
    uint64_t window_ns;
    int64_t credit_ns; /* CPU time that debug information may still take */
};

struct otp_named_modules *otp_named_modules_new(const struct otp_named_modules_options *options,
                                                struct otp_symbols_stats *stats) {
    struct otp_named_modules *modules = otp_sys.calloc(1, sizeof(*modules));
    if (!modules)
        return NULL;
    modules->options = *options;
    modules->stats = stats;
    modules->next_id = 1;
    modules->window_ns = otp_clock_ns(CLOCK_MONOTONIC);
    modules->credit_ns = FIRST_CREDIT_NS;
    return modules;
}

/* Closes what is open during a window only. */
static void entry_close(struct otp_module_entry *entry) {
    otp_dwarf_close(entry->dwarf);
    entry->dwarf = NULL;
    otp_elf_close(&entry->names);
}

/* Forgets everything but the identity, so that answers in the cache stay good. */
static void entry_reset(struct otp_module_entry *entry) {
    entry_close(entry);
    otp_symbol_index_free(entry->index);
    entry->index = NULL;
    free(entry->index_path);
    entry->index_path = NULL;
    free(entry->dwarf_path);
    entry->dwarf_path = NULL;
    entry->dwarf_state = DWARF_UNKNOWN;
    entry->state = ENTRY_NEW;
    entry->segment_count = 0;
}

static void entry_free(struct otp_module_entry *entry) {
    entry_reset(entry);
    free(entry);
}

void otp_named_modules_free(struct otp_named_modules *modules) {
    if (!modules)
        return;
    for (size_t i = 0; i < modules->count; i++)
        entry_free(modules->entries[i]);
    free(modules->entries);
    free(modules);
}

void otp_named_modules_begin_window(struct otp_named_modules *modules) {
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    uint64_t passed = now > modules->window_ns ? now - modules->window_ns : 0;
    uint64_t second = 1000000000u;
    if (passed > 3600 * second)
        passed = 3600 * second;
    modules->credit_ns += (int64_t)(passed / 1000 * modules->options.dwarf_cpu_permille);
    if (modules->credit_ns > FIRST_CREDIT_NS)
        modules->credit_ns = FIRST_CREDIT_NS;
    modules->window_ns = now;
    modules->window++;
}

void otp_named_modules_end_window(struct otp_named_modules *modules) {
    for (size_t i = 0; i < modules->count; i++)
        entry_close(modules->entries[i]);
}

static size_t index_bytes(const struct otp_named_modules *modules) {
    size_t bytes = 0;
    for (size_t i = 0; i < modules->count; i++)
        bytes += modules->entries[i]->index ? otp_symbol_index_size(modules->entries[i]->index) : 0;
    return bytes;
}

static size_t dwarf_bytes(const struct otp_named_modules *modules) {
    size_t bytes = 0;
    for (size_t i = 0; i < modules->count; i++)
        bytes += modules->entries[i]->dwarf ? otp_dwarf_size(modules->entries[i]->dwarf) : 0;
    return bytes;
}

size_t otp_named_modules_size(const struct otp_named_modules *modules) {
    return sizeof(*modules) + modules->capacity * sizeof(*modules->entries) +
           modules->count * sizeof(struct otp_module_entry) + index_bytes(modules) + dwarf_bytes(modules);
}

uint32_t otp_module_entry_id(const struct otp_module_entry *entry) { return entry->id; }

static bool is_entry_of(const struct otp_module_entry *entry, const struct otp_symbol_module *module) {
    if (module->build_id_size || entry->build_id_size)
        return entry->build_id_size == module->build_id_size &&
               !memcmp(entry->build_id, module->build_id, module->build_id_size);
    return entry->number == module->number;
}

/* The least recently used entry goes, with all that is known of it. */
static struct otp_module_entry **evict_entry(struct otp_named_modules *modules) {
    size_t oldest = 0;
    for (size_t i = 1; i < modules->count; i++) {
        if (modules->entries[i]->used < modules->entries[oldest]->used)
            oldest = i;
    }
    entry_free(modules->entries[oldest]);
    memset(modules->by_number, 0, sizeof(modules->by_number));
    modules->stats->modules_evicted++;
    return &modules->entries[oldest];
}

static struct otp_module_entry **free_place(struct otp_named_modules *modules) {
    if (modules->count == ENTRIES_MAX)
        return evict_entry(modules);
    if (modules->count == modules->capacity) {
        size_t capacity = modules->capacity ? modules->capacity * 2 : 32;
        struct otp_module_entry **entries = otp_sys.realloc(modules->entries, capacity * sizeof(*entries));
        if (!entries)
            return NULL;
        modules->entries = entries;
        modules->capacity = capacity;
    }
    return &modules->entries[modules->count];
}

static struct otp_module_entry *entry_new(struct otp_named_modules *modules, const struct otp_symbol_module *module) {
    struct otp_module_entry *entry = otp_sys.calloc(1, sizeof(*entry));
    struct otp_module_entry **place = entry ? free_place(modules) : NULL;
    if (!place) {
        free(entry);
        return NULL;
    }
    entry->id = modules->next_id++;
    entry->number = module->number;
    entry->names = OTP_ELF_NONE;
    entry->build_id_size = module->build_id_size;
    if (module->build_id_size)
        memcpy(entry->build_id, module->build_id, module->build_id_size);
    if (place == &modules->entries[modules->count])
        modules->count++;
    *place = entry;
    return entry;
}

struct otp_module_entry *otp_named_modules_entry(struct otp_named_modules *modules,
                                                 const struct otp_symbol_module *module) {
    if (module->build_id_size > OTP_BUILD_ID_MAX)
        return NULL;
    struct otp_module_entry **guess = &modules->by_number[module->number & (BY_NUMBER - 1)];
    struct otp_module_entry *entry = *guess && is_entry_of(*guess, module) ? *guess : NULL;
    for (size_t i = 0; !entry && i < modules->count; i++)
        entry = is_entry_of(modules->entries[i], module) ? modules->entries[i] : NULL;
    if (!entry)
        entry = entry_new(modules, module);
    if (entry) {
        *guess = entry;
        entry->used = modules->window;
    }
    return entry;
}

/* Gives up indexes that this window has not asked for, oldest first, until there is room for a new one. */
static size_t index_room(struct otp_named_modules *modules) {
    for (;;) {
        size_t held = index_bytes(modules);
        struct otp_module_entry *oldest = NULL;
        for (size_t i = 0; i < modules->count; i++) {
            struct otp_module_entry *entry = modules->entries[i];
            if (entry->index && entry->used != modules->window && (!oldest || entry->used < oldest->used))
                oldest = entry;
        }
        /* Half of all must be free for a newcomer, as long as others sleep. */
        if (held <= modules->options.index_limit / 2 || !oldest)
            return held < modules->options.index_limit ? modules->options.index_limit - held : 0;
        entry_reset(oldest);
        modules->stats->modules_evicted++;
    }
}

static void fail(struct otp_named_modules *modules, struct otp_module_entry *entry, enum otp_unnamed reason,
                 bool again) {
    entry->state = ENTRY_FAILED;
    entry->reason = reason;
    entry->retry = again && ++entry->failures <= RETRIES ? modules->window + RETRY_WINDOWS : 0;
}

/* Keeps where code lies, so that an address can be looked up without the file. */
static void keep_segments(struct otp_module_entry *entry, const struct otp_elf_file *elf) {
    for (uint32_t i = 0; i < elf->segment_count && entry->segment_count < SEGMENTS_MAX; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X))
            entry->segments[entry->segment_count++] =
                (struct segment){segment->p_offset, segment->p_filesz, segment->p_vaddr};
    }
}

/* .symtab of the file, else of its debug file, else .dynsym. Sets the file behind the index. */
static enum otp_index_result build_index(struct otp_module_entry *entry, const struct otp_located *located,
                                         size_t limit, const struct otp_elf_file **behind) {
    *behind = &located->main;
    enum otp_index_result result = OTP_INDEX_EMPTY;
    if (otp_elf_is_open(&located->main))
        result = otp_symbol_index_build(&located->main, SHT_SYMTAB, OTP_INDEX_FUNCTIONS, limit, &entry->index);
    if (result == OTP_INDEX_EMPTY && otp_elf_is_open(&located->debug)) {
        *behind = &located->debug;
        result = otp_symbol_index_build(&located->debug, SHT_SYMTAB, OTP_INDEX_FUNCTIONS, limit, &entry->index);
    }
    if (result != OTP_INDEX_OK && result != OTP_INDEX_MEMORY && otp_elf_is_open(&located->main)) {
        *behind = &located->main;
        enum otp_index_result dynamic =
            otp_symbol_index_build(&located->main, SHT_DYNSYM, OTP_INDEX_FUNCTIONS, limit, &entry->index);
        if (dynamic == OTP_INDEX_OK || result == OTP_INDEX_EMPTY)
            result = dynamic;
    }
    return result;
}

static bool keep_path(char **to, char **from, struct otp_file_id *id, const struct otp_elf_file *elf) {
    *to = *from;
    *from = NULL;
    *id = elf->id;
    return *to != NULL;
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = otp_sys.malloc(size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

/* Remembers which file has the debug information. */
static void keep_dwarf(struct otp_named_modules *modules, struct otp_module_entry *entry, struct otp_located *located) {
    entry->dwarf_state = DWARF_UNAVAILABLE;
    if (modules->options.no_dwarf)
        return;
    bool found = false;
    if (otp_elf_is_open(&located->debug) && otp_dwarf_present(&located->debug))
        found = keep_path(&entry->dwarf_path, &located->debug_path, &entry->dwarf_id, &located->debug);
    else if (otp_elf_is_open(&located->main) && otp_dwarf_present(&located->main))
        found = keep_path(&entry->dwarf_path, &located->main_path, &entry->dwarf_id, &located->main);
    if (found)
        entry->dwarf_state = DWARF_AVAILABLE;
}

static enum otp_unnamed reason_of(enum otp_index_result result) {
    switch (result) {
    case OTP_INDEX_TOO_LARGE:
        return OTP_UNNAMED_TOO_LARGE;
    case OTP_INDEX_MEMORY:
        return OTP_UNNAMED_MEMORY;
    case OTP_INDEX_BAD:
        return OTP_UNNAMED_NO_FILE;
    default:
        return OTP_UNNAMED_NO_SYMBOL;
    }
}

/* Takes over what the located files say. */
static void read_files(struct otp_named_modules *modules, struct otp_module_entry *entry, struct otp_located *located) {
    const struct otp_elf_file *behind;
    if (otp_elf_is_open(&located->main))
        keep_segments(entry, &located->main);
    enum otp_index_result result = build_index(entry, located, index_room(modules), &behind);
    if (!otp_elf_unchanged(&located->main) || !otp_elf_unchanged(&located->debug)) {
        modules->stats->files_changed++;
        entry_reset(entry);
        fail(modules, entry, OTP_UNNAMED_NO_FILE, true);
        return;
    }
    modules->stats->files_bad += result == OTP_INDEX_BAD;
    if (entry->index && otp_symbol_index_needs_file(entry->index)) {
        const char *path = behind == &located->main ? located->main_path : located->debug_path;
        entry->index_path = path ? copy_text(path) : NULL;
        entry->index_id = behind->id;
    }
    keep_dwarf(modules, entry, located);
    if (entry->index || entry->dwarf_state == DWARF_AVAILABLE)
        entry->state = ENTRY_READY;
    else
        fail(modules, entry, reason_of(result), result == OTP_INDEX_TOO_LARGE || result == OTP_INDEX_MEMORY);
}

static void open_files(struct otp_named_modules *modules, struct otp_module_entry *entry,
                       const struct otp_symbol_module *module) {
    struct otp_located located = OTP_LOCATED_NONE;
    struct otp_locate_counts counts = {0, 0, 0};
    otp_locate_main(&located, module, &counts);
    bool complete = otp_elf_is_open(&located.main) && otp_elf_section(&located.main, SHT_SYMTAB, NULL) &&
                    (modules->options.no_dwarf || otp_dwarf_present(&located.main));
    if (!complete)
        otp_locate_debug(&located, module, modules->options.debug_directory, &counts);
    modules->stats->files_changed += counts.changed;
    modules->stats->files_wrong += counts.wrong;
    modules->stats->files_bad += counts.bad;
    if (otp_elf_is_open(&located.main) || otp_elf_is_open(&located.debug))
        read_files(modules, entry, &located);
    else
        fail(modules, entry, OTP_UNNAMED_NO_FILE, true);
    otp_located_close(&located);
}

/* The vDSO has no file: its image is copied from memory. */
static void open_vdso(struct otp_named_modules *modules, struct otp_module_entry *entry,
                      const struct otp_symbol_module *module) {
    uint64_t size = module->end > module->start ? module->end - module->start : 0;
    char *image = size && size <= VDSO_MAX ? otp_sys.malloc(size) : NULL;
    struct iovec local = {image, size};
    struct iovec remote = {(void *)(uintptr_t)module->start, size};
    struct otp_located located = OTP_LOCATED_NONE;
    if (image && otp_sys.read_memory(&local, &remote) == (ssize_t)size &&
        otp_elf_from_memory(&located.main, image, size) == OTP_ELF_OK)
        read_files(modules, entry, &located);
    else
        fail(modules, entry, OTP_UNNAMED_NO_FILE, true);
    otp_located_close(&located);
    free(image);
}

/* Where an address lies in the file's own numbering. The file's segments decide; without them, the caller's bias. */
static uint64_t address_in_file(const struct otp_module_entry *entry, const struct otp_symbol_module *module,
                                uint64_t address) {
    uint64_t offset = address - module->start + module->file_offset;
    for (size_t i = 0; i < entry->segment_count; i++) {
        if (offset >= entry->segments[i].offset && offset - entry->segments[i].offset < entry->segments[i].size)
            return entry->segments[i].address + (offset - entry->segments[i].offset);
    }
    return address - module->bias;
}

/* Opens a file again, if it still is the one that was read. */
static bool reopen(struct otp_elf_file *elf, const char *path, const struct otp_file_id *id) {
    if (otp_elf_open(elf, path) != OTP_ELF_OK)
        return false;
    if (otp_file_id_equal(&elf->id, id))
        return true;
    otp_elf_close(elf);
    return false;
}

static void ask_index(struct otp_module_entry *entry, uint64_t address, struct otp_answer *answer) {
    struct otp_symbol_found found;
    answer->reason = OTP_UNNAMED_NO_SYMBOL;
    if (!entry->index || !otp_symbol_index_find(entry->index, address, &found))
        return;
    if (otp_symbol_index_needs_file(entry->index) && entry->index_path && !otp_elf_is_open(&entry->names))
        reopen(&entry->names, entry->index_path, &entry->index_id);
    const struct otp_elf_file *names = otp_elf_is_open(&entry->names) ? &entry->names : NULL;
    answer->has_symbol = otp_symbol_index_name(entry->index, names, found.name, answer->symbol, sizeof(answer->symbol));
    if (answer->has_symbol && names && !otp_elf_unchanged(names))
        answer->has_symbol = false;
    if (answer->has_symbol)
        otp_strip_version(answer->symbol);
    else
        answer->reason = OTP_UNNAMED_NO_FILE;
}

static void close_all_dwarf(struct otp_named_modules *modules) {
    for (size_t i = 0; i < modules->count; i++) {
        otp_dwarf_close(modules->entries[i]->dwarf);
        modules->entries[i]->dwarf = NULL;
    }
}

static enum otp_dwarf_result open_dwarf_within(struct otp_module_entry *entry, size_t limit) {
    struct otp_elf_file elf = OTP_ELF_NONE;
    if (!reopen(&elf, entry->dwarf_path, &entry->dwarf_id))
        return OTP_DWARF_CHANGED;
    return otp_dwarf_open(&elf, limit, &entry->dwarf);
}

/* Opens beside those that are open if there is room, else in their place. */
static bool open_dwarf(struct otp_named_modules *modules, struct otp_module_entry *entry) {
    size_t limit = modules->options.dwarf_limit;
    size_t held = dwarf_bytes(modules);
    enum otp_dwarf_result result = held < limit ? open_dwarf_within(entry, limit - held) : OTP_DWARF_TOO_LARGE;
    if (result == OTP_DWARF_TOO_LARGE && held) {
        close_all_dwarf(modules);
        result = open_dwarf_within(entry, limit);
    }
    if (result == OTP_DWARF_OK)
        return true;
    modules->stats->dwarf_too_large += result == OTP_DWARF_TOO_LARGE;
    modules->stats->dwarf_refused += result == OTP_DWARF_REFUSED;
    modules->stats->files_changed += result == OTP_DWARF_CHANGED;
    if (result != OTP_DWARF_MEMORY)
        entry->dwarf_state = DWARF_UNAVAILABLE;
    return false;
}

static void ask_dwarf_now(struct otp_named_modules *modules, struct otp_module_entry *entry, uint64_t address,
                          struct otp_answer *answer) {
    for (int attempt = 0; attempt < 2; attempt++) {
        if (!entry->dwarf && !open_dwarf(modules, entry))
            break;
        answer->frame_count = otp_dwarf_find(entry->dwarf, address, answer->frames, OTP_SYMBOL_LINES_MAX);
        if (!otp_dwarf_full(entry->dwarf) && !otp_dwarf_broken(entry->dwarf))
            return;
        if (attempt == 1)
            break;
        /* Memory went to other units or modules: start afresh with all of it. */
        close_all_dwarf(modules);
        answer->frame_count = 0;
    }
    if (entry->dwarf && otp_dwarf_broken(entry->dwarf)) {
        otp_dwarf_close(entry->dwarf);
        entry->dwarf = NULL;
        answer->frame_count = 0;
    }
    answer->provisional = entry->dwarf_state == DWARF_AVAILABLE;
}

static void ask_dwarf(struct otp_named_modules *modules, struct otp_module_entry *entry, uint64_t address,
                      struct otp_answer *answer) {
    bool limited = modules->options.dwarf_cpu_permille < 1000;
    if (entry->dwarf_state != DWARF_AVAILABLE)
        return;
    if (limited && modules->credit_ns <= 0) {
        modules->stats->dwarf_postponed++;
        answer->provisional = true;
        return;
    }
    uint64_t before = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    ask_dwarf_now(modules, entry, address, answer);
    uint64_t after = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (limited && after > before)
        modules->credit_ns -= (int64_t)(after - before);
}

void otp_named_modules_ask(struct otp_named_modules *modules, struct otp_module_entry *entry,
                           const struct otp_symbol_module *module, uint64_t address, struct otp_answer *answer) {
    answer->has_symbol = false;
    answer->provisional = false;
    answer->frame_count = 0;
    if (entry->state == ENTRY_FAILED && entry->retry && modules->window >= entry->retry)
        entry_reset(entry);
    if (entry->state == ENTRY_NEW) {
        if (module->vdso)
            open_vdso(modules, entry, module);
        else
            open_files(modules, entry, module);
    }
    if (entry->state == ENTRY_FAILED) {
        answer->reason = entry->reason;
        answer->provisional = entry->retry != 0;
        return;
    }
    uint64_t in_file = address_in_file(entry, module, address);
    ask_index(entry, in_file, answer);
    ask_dwarf(modules, entry, in_file, answer);
    bool named = answer->has_symbol;
    for (size_t i = 0; i < answer->frame_count; i++)
        named = named || answer->frames[i].name || answer->frames[i].linkage_name;
    if (named)
        answer->reason = OTP_NAMED;
}
