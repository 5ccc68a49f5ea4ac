// SPDX-License-Identifier: Apache-2.0
/* SHA-256 (FIPS 180-4), for the identity of files. Small rather than fast. */
#ifndef OTP_BASE_SHA256_H
#define OTP_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define OTP_SHA256_SIZE 32

struct otp_sha256 {
    uint32_t state[8];
    uint64_t size; /* bytes taken so far */
    uint8_t block[64];
};

void otp_sha256_init(struct otp_sha256 *hash);
void otp_sha256_add(struct otp_sha256 *hash, const void *bytes, size_t size);

/* Ends it; `hash` needs a new init afterwards. */
void otp_sha256_final(struct otp_sha256 *hash, uint8_t digest[OTP_SHA256_SIZE]);

#endif
