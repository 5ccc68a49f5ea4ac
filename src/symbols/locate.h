// SPDX-License-Identifier: Apache-2.0
/*
 * Finds the files that speak for a module: the one that is mapped, and a separate debug file. Each must prove that it
 * is the module's: by build id, by the checksum of .gnu_debuglink, or, where there is none, by the mapped text.
 */
#ifndef OTP_SYMBOLS_LOCATE_H
#define OTP_SYMBOLS_LOCATE_H

#include <stddef.h>

#include "symbols/elf_file.h"

struct otp_symbol_module;

/* Files met that were not taken. */
struct otp_locate_counts {
    uint64_t changed, wrong, bad;
};

struct otp_located {
    struct otp_elf_file main;  /* not open: not found */
    struct otp_elf_file debug; /* not open: not found, or not looked for */
    char *debug_path;          /* where `debug` was found; malloc'ed */
    char *main_path;           /* where `main` was found; malloc'ed */
};

/* Opens the module's file: by its path, by its mapping, or as the executable. Sets main, main_path. */
void otp_locate_main(struct otp_located *located, const struct otp_symbol_module *module,
                     struct otp_locate_counts *counts);

/* Looks for the separate debug file in `debug_directory` and beside the module. Sets debug, debug_path. */
void otp_locate_debug(struct otp_located *located, const struct otp_symbol_module *module, const char *debug_directory,
                      struct otp_locate_counts *counts);

#define OTP_LOCATED_NONE ((struct otp_located){OTP_ELF_NONE, OTP_ELF_NONE, NULL, NULL})

/* Closes both files. A large debug file's pages leave the page cache, which counts as the host's memory. */
void otp_located_close(struct otp_located *located);

#endif
