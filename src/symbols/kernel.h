// SPDX-License-Identifier: Apache-2.0
/* Names of kernel functions, from /proc/kallsyms, if it shows addresses to us. Not thread-safe. */
#ifndef OTP_SYMBOLS_KERNEL_H
#define OTP_SYMBOLS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

struct otp_kernel_symbols;

/* Reads the file at the first question. `limit` is in bytes. NULL when out of memory. */
struct otp_kernel_symbols *otp_kernel_symbols_new(const char *path, size_t limit);

/* Takes NULL. */
void otp_kernel_symbols_free(struct otp_kernel_symbols *kernel);

/*
 * The function at an address: "name", or "name [module]" in a module; NULL if unknown or hidden. Valid until
 * the next call.
 */
const char *otp_kernel_symbols_find(struct otp_kernel_symbols *kernel, uint64_t address);

/*
 * Once a window: after 30 of them a failed search reads the file again, for a module may have been loaded. What was
 * found before stays valid until that search.
 */
void otp_kernel_symbols_refresh(struct otp_kernel_symbols *kernel);

/* How many functions are known. 0: not read yet, or hidden. */
size_t otp_kernel_symbols_count(const struct otp_kernel_symbols *kernel);

/* Bytes held. */
size_t otp_kernel_symbols_size(const struct otp_kernel_symbols *kernel);

#endif
