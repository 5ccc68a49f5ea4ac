// SPDX-License-Identifier: Apache-2.0
#include "symbols/clean_name.h"

#include <string.h>

#include "base/utf8.h"

size_t otp_clean_name(const char *from, char *to, size_t size) {
    /* Every byte gives one byte at least, so that more than `size` need not be looked at. */
    size_t length = otp_utf8_clean(to, size, from, strnlen(from, size));
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)to[i] < 0x20 || to[i] == 0x7f)
            to[i] = '?';
    }
    return length;
}

char *otp_strip_version(char *name) {
    char *at = strchr(name, '@');
    if (at && at != name)
        *at = 0;
    return name;
}
