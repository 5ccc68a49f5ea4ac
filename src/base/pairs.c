// SPDX-License-Identifier: Apache-2.0
#include "base/pairs.h"

#include <stddef.h>
#include <string.h>

#include "base/hex.h"

/* Decodes %XX in place; -1 on a bad escape or a zero byte. */
static int percent_decode(char *text) {
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = otp_hex_digit(from[1]), low = high < 0 ? -1 : otp_hex_digit(from[2]);
        if (low < 0 || !(high | low))
            return -1;
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = 0;
    return 0;
}

static char *trim(char *text) {
    while (*text == ' ' || *text == '\t')
        text++;
    size_t length = strlen(text);
    while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        text[--length] = 0;
    return text;
}

int otp_pairs_next(char **list, char **key, char **value) {
    while (*list && **list) {
        char *pair = *list, *next = strchr(pair, ',');
        *list = next ? next + 1 : pair + strlen(pair);
        if (next)
            *next = 0;
        char *equals = strchr(pair, '=');
        if (!equals) {
            if (*trim(pair))
                return -1;
            continue; /* nothing between two commas */
        }
        *equals = 0;
        *key = trim(pair);
        *value = trim(equals + 1);
        return !**key || percent_decode(*key) || percent_decode(*value) ? -1 : 1;
    }
    return 0;
}
