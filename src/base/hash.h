// SPDX-License-Identifier: Apache-2.0
/* A quick hash of bytes for tables of our own; not for keys that an attacker chooses. */
#ifndef OTP_BASE_HASH_H
#define OTP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t otp_hash_mix(uint64_t value) {
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    return value ^ (value >> 32);
}

static inline uint32_t otp_hash(const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    uint64_t hash = size * 0x9e3779b97f4a7c15ull;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = otp_hash_mix(hash ^ word);
    }
    if (size) {
        uint64_t word = 0;
        memcpy(&word, at, size);
        hash = otp_hash_mix(hash ^ word);
    }
    return (uint32_t)otp_hash_mix(hash);
}

#endif
