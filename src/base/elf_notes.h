// SPDX-License-Identifier: Apache-2.0
/* ELF notes: of a file, of a mapped object, of the kernel. */
#ifndef OTP_BASE_ELF_NOTES_H
#define OTP_BASE_ELF_NOTES_H

#include <stddef.h>
#include <stdint.h>

#define OTP_BUILD_ID_MAX 64 /* bytes; linkers write 8 to 32, and users may give their own */

/*
 * Copies the GNU build id out of notes. Returns its size; 0 if there is none, or one of more than `room` bytes. Tells
 * by itself whether the notes are padded to 4 or to 8 bytes: what the headers say about it is not always true.
 */
size_t otp_elf_notes_build_id(const void *notes, size_t size, uint8_t *id, size_t room);

#endif
