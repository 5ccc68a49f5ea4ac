// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of each module: its symbol index, which stays, and its debug information, which is open during a
 * window only. Indexes are given up by least recent use, debug information by a limit on memory and one on CPU time.
 * Not thread-safe.
 */
#ifndef OTP_SYMBOLS_NAMED_MODULES_H
#define OTP_SYMBOLS_NAMED_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols/dwarf_lines.h"
#include "symbols/symbols.h"

#define OTP_NAME_MAX 4096

struct otp_named_modules;
struct otp_module_entry;

/* Why an address has no name. */
enum otp_unnamed {
    OTP_NAMED = 0,
    OTP_UNNAMED_NO_FILE,
    OTP_UNNAMED_NO_SYMBOL,
    OTP_UNNAMED_TOO_LARGE,
    OTP_UNNAMED_MEMORY,
    OTP_UNNAMED_NO_MODULE,
};

struct otp_named_modules_options {
    size_t index_limit; /* bytes of all indexes */
    size_t dwarf_limit; /* bytes of all open debug information */
    unsigned dwarf_cpu_permille;
    bool no_dwarf;
    const char *debug_directory; /* stays the caller's */
};

/* `stats`, for the counters files_*, dwarf_* and modules_*, must outlive the modules. NULL when out of memory. */
struct otp_named_modules *otp_named_modules_new(const struct otp_named_modules_options *options,
                                                struct otp_symbols_stats *stats);

/* Takes NULL. */
void otp_named_modules_free(struct otp_named_modules *modules);

void otp_named_modules_begin_window(struct otp_named_modules *modules);
void otp_named_modules_end_window(struct otp_named_modules *modules);

/* The entry of a module, made if new. NULL when out of memory, or for a build id over 64 bytes. Opens no file. */
struct otp_module_entry *otp_named_modules_entry(struct otp_named_modules *modules,
                                                 const struct otp_symbol_module *module);

/* Never given to another module: for use as a key. */
uint32_t otp_module_entry_id(const struct otp_module_entry *entry);

/* What the files say about one address. */
struct otp_answer {
    enum otp_unnamed reason;
    bool provisional; /* a later window may know more */
    bool has_symbol;
    char symbol[OTP_NAME_MAX + 1]; /* of the symbol table */
    size_t frame_count;            /* of DWARF; strings live until the next call */
    struct otp_dwarf_frame frames[OTP_SYMBOL_LINES_MAX];
};

void otp_named_modules_ask(struct otp_named_modules *modules, struct otp_module_entry *entry,
                           const struct otp_symbol_module *module, uint64_t address, struct otp_answer *answer);

/* Bytes held. */
size_t otp_named_modules_size(const struct otp_named_modules *modules);

#endif
