// SPDX-License-Identifier: Apache-2.0
/*
 * The heap profile on the profiler thread: takes in what the hooks have recorded, follows live blocks, keeps their
 * number within its limit by choosing less often, and tells the window what is live.
 */
#ifndef OTP_CORE_HEAP_KEEPER_H
#define OTP_CORE_HEAP_KEEPER_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stdint.h>

#include "record.h"

struct otp_intake;
struct otp_live_set;
struct otp_notes;
struct otp_stack_watch;

struct otp_heap_keeper {
    const struct otelprof_options *options;
    struct otp_notes *notes;
    struct otp_stack_watch *stacks;
    struct otp_live_set *set;       /* NULL: off */
    bool partial;                   /* live blocks are not followed: not all frees are seen */
    uint64_t floor;                 /* interval that the number of live blocks has made necessary; 0: none */
    uint64_t wanted;                /* interval that somebody asked for last */
    uint64_t counted_before[16];    /* the hooks' counters when this run began, by enum otp_hook_counter */
    uint64_t stops[OTP_STOP_COUNT]; /* of the records taken in */
    uint64_t with_span, lost_live, thinned;
};

/* What it is given must outlive it. */
void otp_heap_keeper_init(struct otp_heap_keeper *keeper, const struct otelprof_options *options,
                          struct otp_notes *notes, struct otp_stack_watch *stacks);

/* On: after otp_hooks_install() on the caller's thread. 0 or OTELPROF_E_MEMORY. */
int otp_heap_keeper_on(struct otp_heap_keeper *keeper);

/* Off: nothing more is recorded, but what was is still to be drained; then otp_heap_keeper_forget(). */
void otp_heap_keeper_off(struct otp_heap_keeper *keeper);

bool otp_heap_keeper_is_on(const struct otp_heap_keeper *keeper);

/* The period of a profile that begins now, in bytes; never 0. */
uint64_t otp_heap_keeper_interval(const struct otp_heap_keeper *keeper);

/* The live blocks are nobody's business any more. */
void otp_heap_keeper_forget(struct otp_heap_keeper *keeper);

/* Takes in the record of an allocation, as of `now_ns` (unix). */
void otp_heap_keeper_take(struct otp_heap_keeper *keeper, struct otp_intake *intake, const void *bytes, size_t size,
                          uint64_t now_ns);

/* After some of them: keeps within the limit. */
void otp_heap_keeper_settle(struct otp_heap_keeper *keeper);

/* Once a window, before it is closed: adds what is live. */
void otp_heap_keeper_show(struct otp_heap_keeper *keeper, struct otp_intake *intake, uint64_t now_unix_ns);

/* Adds the counters of this run. Takes a keeper that was never on. */
void otp_heap_keeper_stats(const struct otp_heap_keeper *keeper, struct otelprof_stats *stats);

#endif
