// SPDX-License-Identifier: Apache-2.0
#include "core/heap_keeper.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "core/intake.h"
#include "core/live_set.h"
#include "core/notes.h"
#include "core/stack_watch.h"
#include "hooks/heap.h"
#include "hooks/hook_state.h"
#include "hooks/live_blocks.h"
#include "hooks/patch.h"

#define HOOKS_PATIENCE_NS 100000000u /* for hooks that are at work */

_Static_assert(OTP_HOOK_COUNTERS <= sizeof(((struct otp_heap_keeper *)0)->counted_before) / sizeof(uint64_t),
               "room for the counters of before");

void otp_heap_keeper_init(struct otp_heap_keeper *keeper, const struct otelprof_options *options,
                          struct otp_notes *notes, struct otp_stack_watch *stacks) {
    memset(keeper, 0, sizeof(*keeper));
    keeper->options = options;
    keeper->notes = notes;
    keeper->stacks = stacks;
    for (int i = 0; i < OTP_HOOK_COUNTERS; i++)
        keeper->counted_before[i] = otp_hook_counted((enum otp_hook_counter)i);
}

static uint64_t counted(const struct otp_heap_keeper *keeper, enum otp_hook_counter counter) {
    return otp_hook_counted(counter) - keeper->counted_before[counter];
}

static uint64_t soon(void) { return otp_clock_ns(CLOCK_MONOTONIC) + HOOKS_PATIENCE_NS; }

/* ------------------------------------------------------------------------------------------------ on and off */

int otp_heap_keeper_on(struct otp_heap_keeper *keeper) {
    uint32_t max = (uint32_t)keeper->options->heap_live_max;
    keeper->set = otp_live_set_new(max, otp_live_places(), otp_clock_ns(CLOCK_REALTIME));
    if (!keeper->set)
        return otp_error(OTELPROF_E_MEMORY, "no memory to follow %u live blocks", max);
    keeper->partial = otp_patch_reach() == OTP_REACH_LIBRARIES;
    if (keeper->partial)
        otp_notes_add(keeper->notes, "heap: partial: the program brings an allocator of its own and calls it directly: "
                                     "only allocations of libraries are seen, and live memory is not");
    if (!keeper->wanted)
        keeper->wanted = (uint64_t)keeper->options->heap_interval_bytes;
    keeper->floor = 0;
    otp_stack_watch_begin(keeper->stacks);
    otp_heap_enable(keeper->wanted);
    return 0;
}

void otp_heap_keeper_off(struct otp_heap_keeper *keeper) {
    if (keeper->set && !otp_heap_disable(soon()))
        otp_log(OTELPROF_LOG_DEBUG, "otelprof: an allocation is still being recorded while the heap profile ends");
}

bool otp_heap_keeper_is_on(const struct otp_heap_keeper *keeper) { return keeper->set != NULL; }

uint64_t otp_heap_keeper_interval(const struct otp_heap_keeper *keeper) {
    return keeper->set ? otp_heap_interval() : (uint64_t)keeper->options->heap_interval_bytes;
}

void otp_heap_keeper_forget(struct otp_heap_keeper *keeper) {
    if (!keeper->set)
        return;
    struct otp_live_counts counts = otp_live_set_counts(keeper->set);
    keeper->lost_live += counts.lost_memory;
    keeper->thinned += counts.thinned;
    otp_live_set_free(keeper->set);
    keeper->set = NULL;
    otp_live_clear();
    otp_stack_watch_end(keeper->stacks);
}

/* --------------------------------------------------------------------------------------------- records */

static void follow(struct otp_heap_keeper *keeper, const struct otp_intake *intake, const struct otp_record *record,
                   const struct otp_sample *sample, uint64_t now_ns) {
    const struct otp_live_block block = {
        .word = record->block,
        .size = record->weight,
        .interval = record->interval,
        .time_ns = now_ns,
        .place = record->place,
    };
    if (keeper->partial || !sample)
        otp_live_forget(block.place, block.word);
    else
        otp_live_set_add(keeper->set, &block, sample, intake->window);
}

void otp_heap_keeper_take(struct otp_heap_keeper *keeper, struct otp_intake *intake, const void *bytes, size_t size,
                          uint64_t now_ns) {
    struct otp_record record;
    struct otp_sample sample;
    bool good = otp_intake_heap(intake, bytes, size, now_ns, &record, &sample);
    if (!good && !record.interval)
        return;
    keeper->stops[record.stop]++;
    keeper->with_span += record.context_size != 0;
    if (keeper->set && record.place != OTP_LIVE_NOWHERE)
        follow(keeper, intake, &record, good ? &sample : NULL, now_ns);
}

/* Three quarters full: samples twice as far apart from now on, and about half of those that are there go. */
static void keep_within_limit(struct otp_heap_keeper *keeper) {
    uint32_t max = (uint32_t)keeper->options->heap_live_max;
    uint64_t in_force = otp_heap_interval();
    if (keeper->floor && in_force != keeper->floor) { /* somebody has set another since */
        keeper->wanted = in_force;
        keeper->floor = 0;
        otp_live_set_thin(keeper->set, 1); /* leaves all in, and lets those in that come by a shorter one */
    }
    if (otp_live_count() < max / 4 * 3)
        return;
    otp_live_set_sweep(keeper->set);
    if (otp_live_count() < max / 4 * 3)
        return;
    keeper->floor = in_force * 2;
    otp_heap_set_interval(keeper->floor);
    otp_live_set_thin(keeper->set, keeper->floor);
    otp_log(OTELPROF_LOG_INFO,
            "otelprof: heap: over %u live blocks are followed: samples are %llu KiB apart from now on", max / 4 * 3,
            (unsigned long long)keeper->floor / 1024);
}

void otp_heap_keeper_settle(struct otp_heap_keeper *keeper) {
    if (keeper->set)
        keep_within_limit(keeper);
}

void otp_heap_keeper_show(struct otp_heap_keeper *keeper, struct otp_intake *intake, uint64_t now_unix_ns) {
    if (!keeper->set)
        return;
    otp_live_set_sweep(keeper->set);
    if (intake->window)
        otp_live_set_show(keeper->set, intake->window, now_unix_ns);
}

void otp_heap_keeper_stats(const struct otp_heap_keeper *keeper, struct otelprof_stats *stats) {
    struct otp_live_counts counts = {0, 0};
    if (keeper->set)
        counts = otp_live_set_counts(keeper->set);
    stats->heap_samples = counted(keeper, OTP_HOOK_CHOSEN);
    stats->samples_fired += stats->heap_samples;
    stats->samples_with_span += keeper->with_span;
    stats->lost_ring_full += counted(keeper, OTP_HOOK_RING_FULL);
    for (int i = 0; i < OTP_STOP_COUNT; i++)
        stats->stack_stops[i] += keeper->stops[i];
    stats->heap_live_lost = counted(keeper, OTP_HOOK_UNTRACKED) + keeper->lost_live + counts.lost_memory;
    stats->heap_live_thinned = keeper->thinned + counts.thinned;
    stats->heap_lost_frees = counted(keeper, OTP_HOOK_LOST_FREE);
    stats->heap_reentered = counted(keeper, OTP_HOOK_REENTERED);
    stats->heap_stacks_unbounded = counted(keeper, OTP_HOOK_UNBOUNDED);
    stats->heap_live_blocks = keeper->set ? otp_live_set_count(keeper->set) : 0;
    stats->heap_interval_bytes = keeper->set ? otp_heap_interval() : 0;
}
