// SPDX-License-Identifier: Apache-2.0
/*
 * The names of span attributes, numbered in the order of their first use, 0 to 255, for the life of the process. The
 * order is the key map that OTEP 4947 publishes: nothing is ever removed or moved.
 *
 * Lock-free: readers never wait, and two threads that add the same new name get the same number.
 */
#ifndef OTP_CONTEXT_ATTRIBUTE_KEYS_H
#define OTP_CONTEXT_ATTRIBUTE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTP_ATTRIBUTE_KEYS_MAX 256
#define OTP_ATTRIBUTE_NAME_MAX 128 /* bytes, without the terminator */

/* The number of `name`, made if new. Errors as otelprof_attribute_key(), and OTELPROF_E_MEMORY. */
int otp_attribute_key(const char *name);

/* How many keys there are: they are numbered 0 to this less 1. */
uint32_t otp_attribute_keys_count(void);

/* The name of a key, valid for ever; NULL if there is no such key. Async-signal-safe. */
const char *otp_attribute_key_name(uint32_t key);

/* False if the allow list leaves this key out: its values are then not kept, silently. */
bool otp_attribute_key_allowed(uint32_t key);

/*
 * Keeps values of the keys in `list` only ("http.route, user.tier"); NULL or "" allows all, which is the default.
 * Holds for keys that exist and for those to come. One caller at a time. 0 or OTELPROF_E_MEMORY.
 */
int otp_attribute_keys_allow(const char *list);

#endif
