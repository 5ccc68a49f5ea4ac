// SPDX-License-Identifier: Apache-2.0
/*
 * Address -> function, file, line and inlined callers.
 *
 * One thread: all calls on one `struct otp_symbols` come from the same thread (the export thread). Files are read,
 * never mapped. What cannot be named is left unnamed and counted; a wrong name is never given knowingly: a file counts
 * only if its build id is the module's (or, where there is none, if its text equals what is mapped).
 *
 *     otp_symbols_begin_window(symbols);
 *     n = otp_symbols_resolve(symbols, &module, address, lines, OTP_SYMBOL_LINES_MAX);      as often as needed
 *     otp_symbols_end_window(symbols);
 *     ... the strings are used ...
 */
#ifndef OTP_SYMBOLS_SYMBOLS_H
#define OTP_SYMBOLS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_symbols;

/* Inline chains deeper than this lose their middle, never the innermost and the outermost function. */
#define OTP_SYMBOL_LINES_MAX 32

/* Of __cxa_demangle: returns malloc'ed memory, or NULL. */
typedef char *(*otp_demangle_fn)(const char *mangled, char *buffer, size_t *size, int *status);

/* Zero or NULL in a field means its default. */
struct otp_symbols_options {
    size_t memory_limit_bytes;   /* names, symbol indexes and results that stay; default 16 MiB */
    size_t dwarf_limit_bytes;    /* debug sections and line tables while a window is worked on; default 64 MiB */
    unsigned dwarf_cpu_permille; /* share of one CPU for debug information, after a first 2 s; default 10; 1000: all */
    bool no_dwarf;               /* symbol tables only; always so without libdw */
    otp_demangle_fn demangle;    /* default: C++ names stay mangled */
    const char *debug_directory; /* default /usr/lib/debug; copied */
    const char *kallsyms_path;   /* default /proc/kallsyms; copied */
    const char *perf_map_directory; /* default /tmp; copied */
};

/* What an address lies in: a mapping, as the sampler knew it. Used during a call only. */
struct otp_symbol_module {
    uint32_t number;      /* of the module, never given to another one in this process */
    const char *path;     /* without " (deleted)"; NULL or "" if there is none */
    uint64_t start, end;  /* of the mapping */
    uint64_t file_offset; /* of `start` in the file */
    uint64_t bias;        /* address - bias = address in the ELF file; used where the file cannot tell */
    const uint8_t *build_id;
    size_t build_id_size; /* 0: none */
    bool vdso, kernel, deleted, anonymous;
};

/* One function at an address. Strings are UTF-8, at most 4,096 bytes, valid until the next otp_symbols_begin_window().
 */
struct otp_symbol_line {
    const char *function;    /* demangled where possible; never NULL */
    const char *system_name; /* as the linker or the compiler wrote it; never NULL */
    const char *file;        /* source file with directory; NULL: not known */
    uint32_t line;           /* 1-based; 0: not known */
    uint32_t start_line;     /* of the function; 0: not known */
};

/* All counters only grow. */
struct otp_symbols_stats {
    uint64_t resolved;          /* calls that gave a name */
    uint64_t unnamed;           /* calls that gave none: the sum of the reasons unnamed_* */
    uint64_t cache_hits;        /* of both */
    uint64_t with_line;         /* of resolved: with file and line */
    uint64_t unnamed_no_file;   /* no file, or none that is the module's */
    uint64_t unnamed_no_symbol; /* the file has no symbol there */
    uint64_t unnamed_too_large; /* symbol table over the limit */
    uint64_t unnamed_memory;    /* no room in the cache during this window, or out of memory */
    uint64_t unnamed_no_module; /* anonymous memory and no perf map, or kernel addresses that stay hidden */
    uint64_t files_changed;     /* discarded: changed while being read */
    uint64_t files_wrong;       /* refused: another build id, checksum or text */
    uint64_t files_bad;         /* refused: not ELF, or damaged */
    uint64_t dwarf_too_large;   /* modules without lines: debug sections over the limit */
    uint64_t dwarf_refused;     /* modules without lines: split or shared (dwz) debug information, or damaged */
    uint64_t dwarf_postponed;   /* calls without lines: share of CPU used up; asked again in a later window */
    uint64_t modules_evicted;   /* indexes given up for memory */
};

/* NULL when out of memory. `options` may be NULL: all defaults. */
struct otp_symbols *otp_symbols_new(const struct otp_symbols_options *options);

/* Takes NULL. */
void otp_symbols_free(struct otp_symbols *symbols);

/* Before the first address of a window. Trims the caches: strings given before are gone. */
void otp_symbols_begin_window(struct otp_symbols *symbols);

/* After the last address of a window: closes files and gives debug information back. Strings stay. */
void otp_symbols_end_window(struct otp_symbols *symbols);

/*
 * Names the code at `address`, which lies inside the instruction that ran (return address - 1 in a caller). Fills up to
 * `max` lines, the innermost inlined function first, the function that physically contains the address last, and
 * returns their number. 0: unnamed. Cached by build id and file offset; a hit touches no file.
 */
size_t otp_symbols_resolve(struct otp_symbols *symbols, const struct otp_symbol_module *module, uint64_t address,
                           struct otp_symbol_line *lines, size_t max);

/*
 * The name of the global variable that holds `address`, and how far behind its start that lies; NULL: there is none.
 * `module` is a mapping of the file that brings the variable. The string lives as those of otp_symbols_resolve().
 */
const char *otp_symbols_data(struct otp_symbols *symbols, const struct otp_symbol_module *module, uint64_t address,
                             uint64_t *offset);

/* Copies the counters. */
void otp_symbols_stats(const struct otp_symbols *symbols, struct otp_symbols_stats *stats);

/* Bytes held now: caches, indexes, open debug information (the part of libdw estimated). */
size_t otp_symbols_memory(const struct otp_symbols *symbols);

#endif
