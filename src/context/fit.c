// SPDX-License-Identifier: Apache-2.0
#include "context/fit.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define CHARACTER_MAX 4

/* True if there are only ASCII characters and no zero bytes: nearly every attribute. Eight at a time. */
static bool plain(const char *text, size_t length) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t bad = 0;
    size_t at = 0;
    for (; at + 8 <= length; at += 8) {
        uint64_t word;
        memcpy(&word, text + at, sizeof(word));
        bad |= (word - ones) | word; /* the highest bit of a byte shows that it is 0 or above 0x7f */
    }
    for (; at < length; at++)
        bad |= (uint64_t)((unsigned char)(text[at] - 1) > 0x7e) << 7;
    return !(bad & (ones << 7));
}

size_t otp_fit(char *to, size_t limit, const char *from, size_t length, bool *cut) {
    if (length <= limit && plain(from, length)) {
        memcpy(to, from, length);
        *cut = false;
        return length;
    }
    /* A little more than the limit, so that a character across it is seen whole and left out whole. */
    char clean[OTP_UTF8_ROOM(OTP_FIT_MAX + CHARACTER_MAX)];
    size_t take = length < limit + CHARACTER_MAX ? length : limit + CHARACTER_MAX;
    size_t size = otp_utf8_clean(clean, sizeof(clean), from, take);
    *cut = length > limit || size > limit;
    if (size > limit)
        for (size = limit; size > 0 && ((unsigned char)clean[size] & 0xc0) == 0x80;)
            size--;
    memcpy(to, clean, size);
    return size;
}
