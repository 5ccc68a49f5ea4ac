// SPDX-License-Identifier: Apache-2.0
/* Common entries and encoded pointers. Linux Standard Base Core, "Exception Frames"; DWARF 5 section 6.4.1. */
#include <string.h>

#include "unwind/cfi.h"
#include "unwind/dwarf_codes.h"

#define AUGMENTATION_MAX 16

uint64_t otp_cfi_pointer(struct otp_bytes *bytes, uint8_t encoding, uint64_t address,
                         const struct otp_cfi_bases *bases) {
    uint64_t value, base;
    switch (encoding & 0x0f) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
        value = otp_bytes_u64(bytes);
        break;
    case DW_EH_PE_uleb128:
        value = otp_bytes_uleb(bytes);
        break;
    case DW_EH_PE_sleb128:
        value = (uint64_t)otp_bytes_sleb(bytes);
        break;
    case DW_EH_PE_udata2:
        value = otp_bytes_u16(bytes);
        break;
    case DW_EH_PE_sdata2:
        value = (uint64_t)(int16_t)otp_bytes_u16(bytes);
        break;
    case DW_EH_PE_udata4:
        value = otp_bytes_u32(bytes);
        break;
    case DW_EH_PE_sdata4:
        value = (uint64_t)(int32_t)otp_bytes_u32(bytes);
        break;
    default:
        bytes->bad = true;
        return 0;
    }
    switch (encoding & 0xf0) { /* the indirect bit is among them, and refused */
    case DW_EH_PE_absptr:
        base = 0 - bases->absolute;
        break;
    case DW_EH_PE_pcrel:
        base = address;
        break;
    case DW_EH_PE_datarel:
        base = bases->data;
        bytes->bad |= !bases->data;
        break;
    default:
        bytes->bad = true;
        return 0;
    }
    return value + base;
}

/* How long a pointer of that format is in a common entry's personality; 0: of variable length or unknown. */
static unsigned pointer_size(uint8_t encoding) {
    switch (encoding & 0x07) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
        return 8;
    case DW_EH_PE_udata2:
        return 2;
    case DW_EH_PE_udata4:
        return 4;
    default:
        return 0;
    }
}

/* The augmentation data that "z..." announces, letter by letter. */
static bool read_augmentation(struct otp_bytes *data, const char *letters, struct otp_cie *cie) {
    for (; *letters; letters++) {
        uint8_t encoding;
        switch (*letters) {
        case 'R':
            cie->fde_encoding = otp_bytes_u8(data);
            break;
        case 'P':
            encoding = otp_bytes_u8(data);
            if (encoding == DW_EH_PE_aligned || !pointer_size(encoding))
                return false;
            otp_bytes_take(data, pointer_size(encoding));
            break;
        case 'L':
            otp_bytes_u8(data);
            break;
        case 'S':
            cie->signal = true;
            break;
        case 'B': /* arm64: signed with the B key */
        case 'G': /* arm64: tagged frame */
            break;
        default:
            return false;
        }
    }
    return !data->bad;
}

static bool read_header(struct otp_bytes *bytes, const struct otp_cfi_machine *machine, struct otp_cie *cie) {
    uint8_t version = otp_bytes_u8(bytes);
    const char *letters = otp_bytes_string(bytes);
    if (!letters || (version != 1 && version != 3 && version != 4) ||
        strnlen(letters, AUGMENTATION_MAX) == AUGMENTATION_MAX)
        return false;
    if (version == 4 && (otp_bytes_u8(bytes) != 8 || otp_bytes_u8(bytes) != 0)) /* sizes of address and segment */
        return false;
    cie->code_align = otp_bytes_uleb(bytes);
    cie->data_align = otp_bytes_sleb(bytes);
    uint64_t ra = version == 1 ? otp_bytes_u8(bytes) : otp_bytes_uleb(bytes);
    if (bytes->bad || ra != machine->ra)
        return false;
    if (!letters[0])
        return true;
    if (letters[0] != 'z')
        return false;
    cie->sized = true;
    uint64_t size = otp_bytes_uleb(bytes);
    const uint8_t *data = otp_bytes_take(bytes, size);
    if (!data)
        return false;
    struct otp_bytes augmentation = otp_bytes(data, size);
    return read_augmentation(&augmentation, letters + 1, cie);
}

bool otp_cie_read(struct otp_bytes bytes, const struct otp_cfi_machine *machine, struct otp_cie *cie) {
    static const struct otp_cfi_bases none = {0, 0, 0};
    const uint32_t at = cie->at;
    *cie = (struct otp_cie){.at = at, .fde_encoding = DW_EH_PE_absptr};
    if (!read_header(&bytes, machine, cie))
        return false;
    struct otp_cfi_run run = {.bytes = bytes,
                              .machine = machine,
                              .bases = &none,
                              .section = bytes.at,
                              .code_align = cie->code_align,
                              .data_align = cie->data_align,
                              .fde_encoding = cie->fde_encoding};
    if (otp_cfi_next(&run) != OTP_CFI_END) /* initial instructions do not move */
        return false;
    cie->initial = run.state;
    return true;
}
