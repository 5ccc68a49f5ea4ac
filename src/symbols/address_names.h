// SPDX-License-Identifier: Apache-2.0
/* A growing table address -> name under a memory limit, sorted once, then searched: kernel symbols and perf maps. */
#ifndef OTP_SYMBOLS_ADDRESS_NAMES_H
#define OTP_SYMBOLS_ADDRESS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_address_name {
    uint64_t start;
    uint32_t size; /* 0 before sorting: up to the next one */
    uint32_t name; /* offset in names */
};

struct otp_address_names {
    struct otp_address_name *entries;
    size_t count, capacity;
    char *names;
    size_t names_size, names_capacity;
    size_t limit; /* bytes of both together */
};

void otp_address_names_init(struct otp_address_names *table, size_t limit);
void otp_address_names_clear(struct otp_address_names *table);

/* False: over the limit, or out of memory. The table stays as it was. */
bool otp_address_names_add(struct otp_address_names *table, uint64_t start, uint32_t size, const char *name,
                           size_t length);

/* Sorts; of equal starts the one added last stays. Entries of size 0 end at the next one, but after `size_max` bytes.
 */
void otp_address_names_sort(struct otp_address_names *table, uint32_t size_max);

/* The entry that contains the address, or NULL. */
const struct otp_address_name *otp_address_names_entry(const struct otp_address_names *table, uint64_t address);

/* The name of the entry that contains the address, or NULL. Its start goes to `start`. */
const char *otp_address_names_find(const struct otp_address_names *table, uint64_t address, uint64_t *start);

/* Bytes held. */
size_t otp_address_names_size(const struct otp_address_names *table);

#endif
