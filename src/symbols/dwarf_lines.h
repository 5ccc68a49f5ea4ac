// SPDX-License-Identifier: Apache-2.0
/*
 * Source lines and inlined callers from the DWARF of one file, by libdw on a copy of its debug sections in memory (see
 * dwarf_image.h). Split DWARF (.dwo files, which libdw would map) and
 * shared DWARF (dwz, likewise) are refused. libdw is not thread-safe: one thread for one file. In a build without libdw
 * dwarf_none.c answers, and no file has debug information.
 */
#ifndef OTP_SYMBOLS_DWARF_LINES_H
#define OTP_SYMBOLS_DWARF_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_dwarf;
struct otp_elf_file;

enum otp_dwarf_result {
    OTP_DWARF_OK = 0,
    OTP_DWARF_NONE,      /* the file has no debug information */
    OTP_DWARF_TOO_LARGE, /* over the limit */
    OTP_DWARF_REFUSED,   /* split or shared debug information, or damaged */
    OTP_DWARF_CHANGED,   /* the file changed while it was read */
    OTP_DWARF_MEMORY,    /* out of memory */
};

/* One function at an address. Strings live until otp_dwarf_close(); NULL if not known. */
struct otp_dwarf_frame {
    const char *name;
    const char *linkage_name;
    const char *directory; /* of the compilation: relative files start there */
    const char *file;
    uint32_t line;
    uint32_t start_line;
};

/* The version of libdw, such as "0.188"; NULL: built without it. Any thread. */
const char *otp_dwarf_version(void);

/* Whether the file has debug information that otp_dwarf_open() would look at. */
bool otp_dwarf_present(const struct otp_elf_file *elf);

/* Takes the open file over, whatever the answer (`elf` is closed afterwards for the caller). `limit` in bytes. */
enum otp_dwarf_result otp_dwarf_open(struct otp_elf_file *elf, size_t limit, struct otp_dwarf **dwarf);

/* Takes NULL. */
void otp_dwarf_close(struct otp_dwarf *dwarf);

/*
 * The functions at an address in the file's numbering, the innermost inlined one first, at most `max` (at least 2).
 * A single frame without a name means: a line is known, a function is not. 0: nothing is known.
 */
size_t otp_dwarf_find(struct otp_dwarf *dwarf, uint64_t address, struct otp_dwarf_frame *frames, size_t max);

/* True once an answer went without lines because memory was used up by others: close, open and ask again. */
bool otp_dwarf_full(const struct otp_dwarf *dwarf);

/* True once libdw ran out of memory: only otp_dwarf_close() is left. */
bool otp_dwarf_broken(const struct otp_dwarf *dwarf);

/* Bytes held, libdw's own estimated. */
size_t otp_dwarf_size(const struct otp_dwarf *dwarf);

#endif
