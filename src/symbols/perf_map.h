// SPDX-License-Identifier: Apache-2.0
/*
 * Names of code made at run time, from the file perf-PID.map that a just-in-time compiler keeps (lines "START SIZE
 * NAME", hexadecimal). It counts only if it is a regular file of our own user, and never in a process that runs with
 * more rights than its caller (AT_SECURE). Not thread-safe.
 */
#ifndef OTP_SYMBOLS_PERF_MAP_H
#define OTP_SYMBOLS_PERF_MAP_H

#include <stddef.h>
#include <stdint.h>

struct otp_perf_map;

/* `limit` in bytes. The file's name has the process id as this process sees it. NULL when out of memory. */
struct otp_perf_map *otp_perf_map_new(const char *directory, size_t limit);

/* Takes NULL. */
void otp_perf_map_free(struct otp_perf_map *map);

/* Once a window: reads the file if it has changed since. */
void otp_perf_map_refresh(struct otp_perf_map *map);

/* The name at an address, or NULL. Valid until the next refresh. */
const char *otp_perf_map_find(struct otp_perf_map *map, uint64_t address);

/* Changes whenever the file was read again: names found under another number are out of date. */
uint32_t otp_perf_map_generation(const struct otp_perf_map *map);

/* Bytes held. */
size_t otp_perf_map_size(const struct otp_perf_map *map);

#endif
