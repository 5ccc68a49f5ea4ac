// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of each live block that was chosen: size, stack, and the span that allocated it, from its record until
 * its word has gone from the table of live blocks (hooks/live_blocks.h). On the profiler thread.
 *
 * Each block stands for others: it was chosen with probability p = 1 - exp(-size / interval), so it counts 1 / p blocks
 * and size / p bytes. Where there are too many, otp_live_set_thin() keeps each with the probability that a longer
 * interval would have given it less often, and its weight grows by as much.
 */
#ifndef OTP_CORE_LIVE_SET_H
#define OTP_CORE_LIVE_SET_H

#include <stddef.h>
#include <stdint.h>

#include "profile/window.h"

struct otp_live_set;

/* A block and its place in the table of live blocks. */
struct otp_live_block {
    uint64_t word;
    uint64_t size;     /* bytes that were asked for */
    uint64_t interval; /* by which it was chosen */
    uint64_t time_ns;  /* unix, of its record */
    uint32_t place;
};

struct otp_live_counts {
    uint64_t lost_memory; /* no memory to follow the block */
    uint64_t thinned;     /* left out for a longer interval */
};

/* Memory that a set takes for each block that it may hold, at most. */
#define OTP_LIVE_BYTES_A_BLOCK 320u

/*
 * For `max` blocks at once, in a table of `places`; `seed` makes the choices of thinning differ. NULL when out of
 * memory.
 */
struct otp_live_set *otp_live_set_new(uint32_t max, uint32_t places, uint64_t seed);

/* Takes NULL. */
void otp_live_set_free(struct otp_live_set *set);

/*
 * Follows a block. `sample` has its stack and context; mappings are numbers of `window`, and copied. A block that was
 * known at that place has ended. One that cannot be followed is forgotten in the table too, and counted.
 */
void otp_live_set_add(struct otp_live_set *set, const struct otp_live_block *block, const struct otp_sample *sample,
                      const struct otp_window *window);

/* Drops blocks that are not in the table any more. Returns how many are left. */
uint32_t otp_live_set_sweep(struct otp_live_set *set);

/*
 * From now on all blocks are as if chosen by `interval` at least, those that are there and those that come with less.
 * Those left out are forgotten in the table too. Without blocks to leave out, the interval may become shorter.
 */
void otp_live_set_thin(struct otp_live_set *set, uint64_t interval);

/*
 * Adds what is live to the window, as of `now_ns` (unix): merged by stack, attributes and age. The oldest blocks keep
 * the link to their span: those of a leak are among them, and a link for each block would be most of the bytes.
 */
void otp_live_set_show(struct otp_live_set *set, struct otp_window *window, uint64_t now_ns);

uint32_t otp_live_set_count(const struct otp_live_set *set);
struct otp_live_counts otp_live_set_counts(const struct otp_live_set *set);

#endif
