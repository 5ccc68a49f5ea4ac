// SPDX-License-Identifier: Apache-2.0
#include "symbols/clean_name.h"

#include <stdint.h>
#include <string.h>

static int continues(unsigned char byte) { return (byte & 0xc0) == 0x80; }

/* The length of the valid UTF-8 character here, 0 if there is none: table 3-7 of the Unicode standard. */
static size_t character(const unsigned char *at) {
    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7f;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        return continues(at[1]) ? 2 : 0;
    if ((at[0] & 0xf0) == 0xe0) {
        int valid = continues(at[1]) && continues(at[2]) && !(at[0] == 0xe0 && at[1] < 0xa0) &&
                    !(at[0] == 0xed && at[1] > 0x9f);
        return valid ? 3 : 0;
    }
    if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        int valid = continues(at[1]) && continues(at[2]) && continues(at[3]) && !(at[0] == 0xf0 && at[1] < 0x90) &&
                    !(at[0] == 0xf4 && at[1] > 0x8f);
        return valid ? 4 : 0;
    }
    return 0;
}

size_t otp_clean_name(const char *from, char *to, size_t size) {
    const unsigned char *at = (const unsigned char *)from;
    size_t length = 0;
    while (*at) {
        size_t bytes = character(at);
        size_t wanted = bytes ? bytes : 1;
        if (length + wanted >= size)
            break;
        if (bytes)
            memcpy(to + length, at, bytes);
        else
            to[length] = '?';
        length += wanted;
        at += wanted;
    }
    to[length] = 0;
    return length;
}

char *otp_strip_version(char *name) {
    char *at = strchr(name, '@');
    if (at && at != name)
        *at = 0;
    return name;
}
