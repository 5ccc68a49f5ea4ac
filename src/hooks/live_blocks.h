// SPDX-License-Identifier: Apache-2.0
/*
 * The chosen blocks that have not been freed: one 64-bit word each, in a table of buckets, each of 8 words in a cache
 * line. A block lies in one of two buckets by its address. Allocating threads put words in, freeing threads take them
 * out, by compare-and-swap; the profiler thread sees by the word alone whether the block that it knows is still there.
 *
 * A free must find out quickly that its block was not chosen: a byte by the address says how many chosen blocks may be
 * meant. otp_live_maybe() is all that nearly every free pays.
 *
 * In a forked child everything is empty. Any thread, without locks; but for what says otherwise.
 */
#ifndef OTP_HOOKS_LIVE_BLOCKS_H
#define OTP_HOOKS_LIVE_BLOCKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OTP_LIVE_FILTER 65536u
#define OTP_LIVE_NOWHERE UINT32_MAX /* place of a block that is not in the table */

/* Never NULL. */
extern _Atomic(_Atomic uint8_t *) otp_live_filter __attribute__((visibility("hidden")));

/* Neighbours in memory share cache lines of the filter; large blocks, which all start alike in a page, do not collide.
 */
static inline uint32_t otp_live_filter_place(const void *block) {
    uintptr_t address = (uintptr_t)block;
    return (uint32_t)((address >> 4) ^ (address >> 18)) & (OTP_LIVE_FILTER - 1);
}

/* False: the block is surely not in the table. */
static inline bool otp_live_maybe(const void *block) {
    _Atomic uint8_t *filter = atomic_load_explicit(&otp_live_filter, memory_order_relaxed);
    return atomic_load_explicit(&filter[otp_live_filter_place(block)], memory_order_relaxed) != 0;
}

/*
 * Room for `max` blocks. 0, OTELPROF_E_MEMORY, OTELPROF_E_KERNEL. One caller at a time, while nothing is put in; a
 * table that is large enough stays.
 */
int otp_live_make(uint32_t max);

/* How many places the table has: for arrays beside it. */
uint32_t otp_live_places(void);

/*
 * Puts a block in, and gives its place and its word, which no block had at that place before (for 2^18 insertions). A
 * block of the same address that is there already is replaced: *lost_free. OTP_LIVE_NOWHERE: no room.
 */
uint32_t otp_live_put(const void *block, uint64_t *word, bool *lost_free);

/* Takes a block out. False: it was not there. */
bool otp_live_remove(const void *block);

/*
 * Before a reallocation: the block can no longer be found, but its word stays at the place that is returned; or
 * OTP_LIVE_NOWHERE. Then otp_live_forget() when it is gone, or otp_live_restore() when nothing has changed.
 */
uint32_t otp_live_hold(const void *block, uint64_t *word);
void otp_live_restore(uint32_t place, uint64_t word);

/* True if the word is still at its place. */
bool otp_live_is(uint32_t place, uint64_t word);

/* Takes out the word, if it is still there: a block that is gone, or not to be followed any more. */
void otp_live_forget(uint32_t place, uint64_t word);

/* Takes everything out. Blocks put in meanwhile may stay. */
void otp_live_clear(void);

/* How many blocks there are. */
uint32_t otp_live_count(void);

#endif
