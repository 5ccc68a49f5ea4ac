// SPDX-License-Identifier: Apache-2.0
/*
 * The lock profile on the profiler thread: takes in what the hooks have recorded, credits each wait to the release that
 * ended it, says which lock it was, and keeps the number of samples within bounds by choosing less often.
 */
#ifndef OTP_CORE_LOCK_KEEPER_H
#define OTP_CORE_LOCK_KEEPER_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stdint.h>

#include "hooks/lock_wait.h"
#include "record.h"

struct otp_intake;
struct otp_lock_book;
struct otp_lock_pairs;
struct otp_stack_watch;

/* How fast samples come, and the interval that this has made necessary. */
struct otp_lock_pace {
    uint64_t records, since_ns; /* CLOCK_MONOTONIC */
    uint64_t wanted, set;       /* interval: what somebody asked for last, and what is in force by us */
};

struct otp_lock_keeper {
    const struct otelprof_options *options;
    struct otp_stack_watch *stacks;
    struct otp_lock_pairs *pairs; /* NULL: off */
    struct otp_lock_book *book;
    struct otp_lock_pace pace[OTP_WAIT_CLASSES], releases; /* the last counts records only */
    uint64_t counted_before[16];    /* the hooks' counters when this run began, by enum otp_hook_counter */
    uint64_t stops[OTP_STOP_COUNT]; /* of the records taken in */
    uint64_t with_span, holders, unseen, by_leaf;
};

/* What it is given must outlive it. */
void otp_lock_keeper_init(struct otp_lock_keeper *keeper, const struct otelprof_options *options,
                          struct otp_stack_watch *stacks);

/* On: after otp_hooks_install() on the caller's thread. 0 or OTELPROF_E_MEMORY. */
int otp_lock_keeper_on(struct otp_lock_keeper *keeper);

/* Off: nothing more is recorded, but what was is still to be drained; then otp_lock_keeper_forget(). */
void otp_lock_keeper_off(struct otp_lock_keeper *keeper);

bool otp_lock_keeper_is_on(const struct otp_lock_keeper *keeper);

/* The period of a profile that begins now, in ns; never 0. */
uint64_t otp_lock_keeper_interval(const struct otp_lock_keeper *keeper);

/* Waits and releases without a partner are given up. */
void otp_lock_keeper_forget(struct otp_lock_keeper *keeper);

/* Takes in the record of a wait or of a release, as of `now_ns` (unix). */
void otp_lock_keeper_take(struct otp_lock_keeper *keeper, struct otp_intake *intake, const void *bytes, size_t size,
                          uint64_t now_ns);

/* After some of them: keeps within bounds. */
void otp_lock_keeper_settle(struct otp_lock_keeper *keeper);

/* Once a window. */
void otp_lock_keeper_end_window(struct otp_lock_keeper *keeper);

/* Adds the counters of this run. Takes a keeper that was never on. */
void otp_lock_keeper_stats(const struct otp_lock_keeper *keeper, struct otelprof_stats *stats);

#endif
