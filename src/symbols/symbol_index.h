// SPDX-License-Identifier: Apache-2.0
/*
 * The functions, or the data objects, of one ELF file, sorted by address: 16 bytes each, and their names where those
 * fit. Built by reading .symtab (or .dynsym) once, in pieces; the file need not stay open. Not thread-safe.
 */
#ifndef OTP_SYMBOLS_SYMBOL_INDEX_H
#define OTP_SYMBOLS_SYMBOL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_elf_file;
struct otp_symbol_index;

enum otp_index_result {
    OTP_INDEX_OK = 0,
    OTP_INDEX_EMPTY,     /* the file has no such table, or nothing of the kind in it */
    OTP_INDEX_TOO_LARGE, /* over the limit */
    OTP_INDEX_BAD,       /* damaged */
    OTP_INDEX_MEMORY,    /* out of memory */
};

enum otp_index_content { OTP_INDEX_FUNCTIONS, OTP_INDEX_OBJECTS };

/* Reads the table of type SHT_SYMTAB or SHT_DYNSYM. `limit` is in bytes and holds for what stays. */
enum otp_index_result otp_symbol_index_build(const struct otp_elf_file *elf, uint32_t table_type,
                                             enum otp_index_content content, size_t limit,
                                             struct otp_symbol_index **index);

/* Takes NULL. */
void otp_symbol_index_free(struct otp_symbol_index *index);

/* Bytes held. */
size_t otp_symbol_index_size(const struct otp_symbol_index *index);

/* How many it knows. */
size_t otp_symbol_index_count(const struct otp_symbol_index *index);

struct otp_symbol_found {
    uint64_t start; /* address in the file's numbering */
    uint64_t size;
    uint32_t name; /* for otp_symbol_index_name() */
    bool guessed;  /* the symbol has no size: it ends where the next one starts */
};

/* What contains `address`. False: nothing does. */
bool otp_symbol_index_find(const struct otp_symbol_index *index, uint64_t address, struct otp_symbol_found *found);

/* True if names were not kept, so that otp_symbol_index_name() needs the open file. */
bool otp_symbol_index_needs_file(const struct otp_symbol_index *index);

/* Copies a name, cut to `size` with its terminator. `elf` may be NULL if the names were kept. False: not readable. */
bool otp_symbol_index_name(const struct otp_symbol_index *index, const struct otp_elf_file *elf, uint32_t name,
                           char *buffer, size_t size);

#endif
