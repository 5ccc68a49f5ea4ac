// SPDX-License-Identifier: Apache-2.0
/* Memory that is given back all at once: chunks of a bounded total. Not thread-safe. */
#ifndef OTP_BASE_ARENA_H
#define OTP_BASE_ARENA_H

#include <stddef.h>

struct otp_arena;

/* An arena that never holds more than `limit` bytes (0: no limit). NULL when out of memory. */
struct otp_arena *otp_arena_new(size_t limit);

/* Takes NULL. */
void otp_arena_free(struct otp_arena *arena);

/* Zeroed, aligned to 8. NULL when the limit or the system's memory is reached; the arena stays usable. */
void *otp_arena_alloc(struct otp_arena *arena, size_t size);

/*
 * A larger block with the contents of `block` (of `old_size` bytes), zeroed behind them. The old one is
 * released. NULL as above: `block` stays. `block` may be NULL with `old_size` 0.
 */
void *otp_arena_grow(struct otp_arena *arena, void *block, size_t old_size, size_t new_size);

/* Gives a block back to the system if it is large; a small one stays until the arena goes. Takes NULL. */
void otp_arena_release(struct otp_arena *arena, const void *block, size_t size);

/* A copy of `size` bytes with a zero after them. NULL as above. */
char *otp_arena_copy(struct otp_arena *arena, const void *bytes, size_t size);

/* Bytes held from the system. */
size_t otp_arena_size(const struct otp_arena *arena);

#endif
