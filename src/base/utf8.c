// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the character at `at` (1 to 4), or 0 if there is none. Unicode 15, table 3-7. */
static size_t character(const uint8_t *at, size_t left) {
    uint8_t first = at[0], low = 0x80, high = 0xbf;
    size_t length;
    if (first < 0x80)
        return first != 0;
    if (first >= 0xc2 && first <= 0xdf) {
        length = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
        length = 3;
        low = first == 0xe0 ? 0xa0 : low;
        high = first == 0xed ? 0x9f : high;
    } else if (first >= 0xf0 && first <= 0xf4) {
        length = 4;
        low = first == 0xf0 ? 0x90 : low;
        high = first == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (left < length || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool otp_utf8_valid(const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    while (size) {
        size_t length = character(at, size);
        if (!length)
            return false;
        at += length;
        size -= length;
    }
    return true;
}

size_t otp_utf8_clean(char *to, size_t room, const void *from, size_t size) {
    static const char replacement[] = "\xef\xbf\xbd";
    const uint8_t *at = from;
    size_t used = 0;
    while (size) {
        size_t length = character(at, size);
        const void *source = length ? (const void *)at : replacement;
        size_t add = length ? length : 3;
        if (used + add >= room)
            break;
        memcpy(to + used, source, add);
        used += add;
        at += length ? length : 1;
        size -= length ? length : 1;
    }
    to[used] = 0;
    return used;
}
