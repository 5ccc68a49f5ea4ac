// SPDX-License-Identifier: Apache-2.0
/*
 * A set of byte strings that numbers them: equal keys get equal numbers, 0, 1, 2, ... in order of appearance.
 * The keys live in an arena of the caller's. Not thread-safe.
 */
#ifndef OTP_BASE_INTERN_H
#define OTP_BASE_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct otp_arena;
struct otp_intern;

#define OTP_INTERN_NONE UINT32_MAX

/* NULL when out of memory. */
struct otp_intern *otp_intern_new(struct otp_arena *arena);

/* The number of `key`, made if new. OTP_INTERN_NONE when out of memory; nothing is changed then. */
uint32_t otp_intern(struct otp_intern *set, const void *key, size_t size);

/* The number of `key`, or OTP_INTERN_NONE. */
uint32_t otp_intern_find(const struct otp_intern *set, const void *key, size_t size);

/* The key of a number; its size goes to `size` if that is not NULL. Aligned to 8. */
const void *otp_intern_key(const struct otp_intern *set, uint32_t number, size_t *size);

/* How many keys there are. */
uint32_t otp_intern_count(const struct otp_intern *set);

#endif
