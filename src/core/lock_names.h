// SPDX-License-Identifier: Apache-2.0
/* The names that the program gives its locks. A lock of its own, held for a copy; any thread. */
#ifndef OTP_CORE_LOCK_NAMES_H
#define OTP_CORE_LOCK_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTP_LOCK_NAMES_MAX 1024
#define OTP_LOCK_NAME_MAX 63 /* bytes; the rest is cut off */

/* Sets the name of the lock at that address, or takes it back (NULL or ""). False: OTP_LOCK_NAMES_MAX have one. */
bool otp_lock_names_set(uint64_t lock, const char *name);

/* Copies the name, "" if it has none. */
void otp_lock_names_get(uint64_t lock, char name[OTP_LOCK_NAME_MAX + 1]);

#endif
