// SPDX-License-Identifier: Apache-2.0
#include "base/elf_notes.h"

#include <elf.h>
#include <string.h>

#include "base/bytes.h"

/* The last note need not be padded. */
static void skip_padding(struct otp_bytes *bytes, const uint8_t *start, size_t padding) {
    size_t skip = (size_t)(start - bytes->at) & (padding - 1), left = otp_bytes_left(bytes);
    otp_bytes_take(bytes, skip < left ? skip : left);
}

static size_t padded_to(size_t padding, const void *notes, size_t size, uint8_t *id, size_t room) {
    struct otp_bytes bytes = otp_bytes(notes, size);
    while (otp_bytes_left(&bytes) >= sizeof(Elf64_Nhdr)) {
        uint32_t name_size = otp_bytes_u32(&bytes), body_size = otp_bytes_u32(&bytes), type = otp_bytes_u32(&bytes);
        const uint8_t *name = otp_bytes_take(&bytes, name_size);
        skip_padding(&bytes, notes, padding);
        const uint8_t *body = otp_bytes_take(&bytes, body_size);
        skip_padding(&bytes, notes, padding);
        if (!name || !body)
            return 0;
        if (type == NT_GNU_BUILD_ID && name_size == 4 && !memcmp(name, "GNU", 4) && body_size && body_size <= room) {
            memcpy(id, body, body_size);
            return body_size;
        }
    }
    return 0;
}

size_t otp_elf_notes_build_id(const void *notes, size_t size, uint8_t *id, size_t room) {
    size_t found = padded_to(4, notes, size, id, room);
    return found ? found : padded_to(8, notes, size, id, room);
}
