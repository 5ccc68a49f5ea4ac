// SPDX-License-Identifier: Apache-2.0
/*
 * The profile files of a directory, oldest first, whoever wrote them: this run, runs before it, other processes with
 * the same directory. Bounds their number and bytes by removing the oldest.
 *
 * What others write is looked up now and then, so that for a while a directory may hold as many files too many as
 * they wrote since.
 */
#ifndef OTP_EXPORT_FILE_POOL_H
#define OTP_EXPORT_FILE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define OTP_FILE_NAME_ROOM 96 /* three numbers of 20 digits at most and what stands around them */

/* What a file's name says: otelprof-PID-START_MS-NUMBER.otlp. */
struct otp_file_name {
    uint64_t start_unix_ms;
    uint64_t number;
    uint32_t pid;
};

struct otp_file_pool;

/* `directory` stays the caller's and outlives the pool. NULL when out of memory. */
struct otp_file_pool *otp_file_pool_new(const char *directory, uint64_t max_bytes, uint32_t max_files);

/* Takes NULL. */
void otp_file_pool_free(struct otp_file_pool *pool);

/*
 * Removes the oldest files until one of `size` bytes more is within the bounds, and temporary files that a run left
 * behind. Returns how many profiles it removed.
 */
uint32_t otp_file_pool_make_room(struct otp_file_pool *pool, uint64_t size);

/* A file has been written. Out of memory: it is found by the next look at the directory. */
void otp_file_pool_add(struct otp_file_pool *pool, const struct otp_file_name *name, uint64_t size);

/* The name without directory; under its temporary name while it is not complete. `text`: OTP_FILE_NAME_ROOM. */
void otp_file_name_print(const struct otp_file_name *name, char *text);
void otp_file_name_print_temporary(const struct otp_file_name *name, char *text);

#endif
