// SPDX-License-Identifier: Apache-2.0
/* Names of kernel functions, from /proc/kallsyms, if it shows addresses to us. Not thread-safe. */
#ifndef OTP_SYMBOLS_KERNEL_H
#define OTP_SYMBOLS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

struct otp_kernel_symbols;

/* `limit`, in bytes, is for the functions that stay. NULL when out of memory. */
struct otp_kernel_symbols *otp_kernel_symbols_new(const char *path, size_t limit);

/* Takes NULL. */
void otp_kernel_symbols_free(struct otp_kernel_symbols *kernel);

/*
 * The function at an address: "name", or "name [module]" in a module; NULL if unknown or hidden. Valid until
 * the next call.
 */
const char *otp_kernel_symbols_find(struct otp_kernel_symbols *kernel, uint64_t address);

/*
 * Around the questions of a window. A window in which an unknown address turns up reads the file, if enough windows
 * have passed since the last time (1, 2, 4, up to 32).
 */
void otp_kernel_symbols_begin_window(struct otp_kernel_symbols *kernel);
void otp_kernel_symbols_end_window(struct otp_kernel_symbols *kernel);

/* How many functions were asked for and found. */
size_t otp_kernel_symbols_count(const struct otp_kernel_symbols *kernel);

/* Bytes held. */
size_t otp_kernel_symbols_size(const struct otp_kernel_symbols *kernel);

#endif
