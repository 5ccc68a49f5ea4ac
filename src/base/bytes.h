// SPDX-License-Identifier: Apache-2.0
/*
 * A bounded reader for bytes that nobody vouches for: ELF, DWARF, notes, maps. Reading past the end gives zeroes and
 * sets `bad`, once and for all, so that a parser may read on and look at the end.
 */
#ifndef OTP_BASE_BYTES_H
#define OTP_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct otp_bytes {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static inline struct otp_bytes otp_bytes(const void *data, size_t size) {
    return (struct otp_bytes){data, (const uint8_t *)data + size, false};
}

static inline size_t otp_bytes_left(const struct otp_bytes *bytes) { return (size_t)(bytes->end - bytes->at); }

/* `size` bytes from here, or NULL with `bad` set. */
static inline const uint8_t *otp_bytes_take(struct otp_bytes *bytes, uint64_t size) {
    if (bytes->bad || size > otp_bytes_left(bytes)) {
        bytes->bad = true;
        bytes->at = bytes->end;
        return NULL;
    }
    const uint8_t *from = bytes->at;
    bytes->at += size;
    return from;
}

#define OTP_BYTES_FIXED(name, type)                                                                                    \
    static inline type otp_bytes_##name(struct otp_bytes *bytes) {                                                     \
        type value = 0;                                                                                                \
        const uint8_t *from = otp_bytes_take(bytes, sizeof(value));                                                    \
        if (from)                                                                                                      \
            memcpy(&value, from, sizeof(value));                                                                       \
        return value;                                                                                                  \
    }
OTP_BYTES_FIXED(u8, uint8_t)
OTP_BYTES_FIXED(u16, uint16_t)
OTP_BYTES_FIXED(u32, uint32_t)
OTP_BYTES_FIXED(u64, uint64_t)

/* Bits past the 64th are dropped. */
static inline uint64_t otp_bytes_uleb(struct otp_bytes *bytes) {
    uint64_t value = 0;
    /* Nearly all have one byte. NOLINTNEXTLINE(clang-analyzer-core.NullDereference): NULL is never before an end. */
    if (bytes->at < bytes->end && !(*bytes->at & 0x80))
        return *bytes->at++;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = otp_bytes_u8(bytes);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

static inline int64_t otp_bytes_sleb(struct otp_bytes *bytes) {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = otp_bytes_u8(bytes);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (shift < 64 && (byte & 0x40))
        value |= ~(uint64_t)0 << shift;
    return (int64_t)value;
}

/* A string with its terminator, or NULL with `bad` set. */
static inline const char *otp_bytes_string(struct otp_bytes *bytes) {
    const uint8_t *nul = bytes->bad ? NULL : memchr(bytes->at, 0, otp_bytes_left(bytes));
    if (!nul) {
        bytes->bad = true;
        return NULL;
    }
    return (const char *)otp_bytes_take(bytes, (uint64_t)(nul - bytes->at) + 1);
}

#endif
