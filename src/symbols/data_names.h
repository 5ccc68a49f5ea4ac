// SPDX-License-Identifier: Apache-2.0
/*
 * Names of global variables: which one lies at an address in a module's data. What is known of a module stays, within a
 * limit; what is not found is not looked for again. Not thread-safe.
 */
#ifndef OTP_SYMBOLS_DATA_NAMES_H
#define OTP_SYMBOLS_DATA_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols/locate.h"

struct otp_data_names;
struct otp_symbol_module;

/* `debug_directory` stays the caller's. NULL when out of memory. */
struct otp_data_names *otp_data_names_new(size_t limit, const char *debug_directory);

/* Takes NULL. */
void otp_data_names_free(struct otp_data_names *names);

/* The symbol that holds the address, and how far behind its start that lies. Files not taken are counted. */
bool otp_data_names_find(struct otp_data_names *names, const struct otp_symbol_module *module, uint64_t address,
                         char *symbol, size_t size, uint64_t *offset, struct otp_locate_counts *counts);

/* Bytes held. */
size_t otp_data_names_size(const struct otp_data_names *names);

#endif
