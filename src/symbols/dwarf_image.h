// SPDX-License-Identifier: Apache-2.0
/*
 * The debug sections that names need, unpacked into one ELF image in pages of our own, for libdw to look at. libelf
 * would copy every section to the host's heap and keep a packed one beside its unpacked form; here nothing of a
 * file stays in the host's allocator, and what is not needed (.debug_loclists, .debug_macro) is not read.
 */
#ifndef OTP_SYMBOLS_DWARF_IMAGE_H
#define OTP_SYMBOLS_DWARF_IMAGE_H

#include <stddef.h>

#include "symbols/dwarf_lines.h"

struct otp_elf_file;

struct otp_dwarf_image {
    char *bytes; /* NULL: none */
    size_t size;
};

/* Makes the image, at most `limit` bytes. OTP_DWARF_OK, or why not. */
enum otp_dwarf_result otp_dwarf_image_make(struct otp_dwarf_image *image, const struct otp_elf_file *elf, size_t limit);

/* Takes one that holds nothing. */
void otp_dwarf_image_free(struct otp_dwarf_image *image);

#endif
