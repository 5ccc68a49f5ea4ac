// SPDX-License-Identifier: Apache-2.0
#include "profile/counters.h"

#define COUNTER(name, member, always)                                                                                  \
    { name, offsetof(struct otelprof_stats, member), always }

const struct otp_counter otp_counters[] = {
    COUNTER("otelprof.samples.fired", samples_fired, true),
    COUNTER("otelprof.samples.expected", samples_expected, true),
    COUNTER("otelprof.samples.own_thread", samples_own_thread, false),
    COUNTER("otelprof.samples.with_span", samples_with_span, false),
    COUNTER("otelprof.samples.lost.ring_full", lost_ring_full, true),
    COUNTER("otelprof.samples.lost.decode", lost_decode, true),
    COUNTER("otelprof.samples.lost.memory", lost_memory, true),
    COUNTER("otelprof.samples.lost.window_dropped", lost_window_dropped, true),
    COUNTER("otelprof.samples.lost.export_failed", lost_export_failed, true),
    COUNTER("otelprof.samples.lost.rejected", lost_rejected, false),
    COUNTER("otelprof.samples.delivery_unknown", delivery_unknown, false),
    COUNTER("otelprof.samples.lost.shutdown", lost_shutdown, true),
    COUNTER("otelprof.samples.lost.scratch", lost_scratch, true),
    COUNTER("otelprof.samples.detail_lowered", detail_lowered, false),
    COUNTER("otelprof.stacks.cut", stacks_cut, false),
    COUNTER("otelprof.stacks.kernel_missing", kernel_stacks_missing, false),
    COUNTER("otelprof.stacks.stop.complete", stack_stops[OTELPROF_STOP_COMPLETE], false),
    COUNTER("otelprof.stacks.stop.unknown_module", stack_stops[OTELPROF_STOP_UNKNOWN_MODULE], false),
    COUNTER("otelprof.stacks.stop.no_rows", stack_stops[OTELPROF_STOP_NO_ROWS], false),
    COUNTER("otelprof.stacks.stop.unsupported", stack_stops[OTELPROF_STOP_UNSUPPORTED], false),
    COUNTER("otelprof.stacks.stop.read_fault", stack_stops[OTELPROF_STOP_READ_FAULT], false),
    COUNTER("otelprof.stacks.stop.bad_frame", stack_stops[OTELPROF_STOP_BAD_FRAME], false),
    COUNTER("otelprof.stacks.stop.depth", stack_stops[OTELPROF_STOP_DEPTH], false),
    COUNTER("otelprof.stacks.stop.exiting", stack_stops[OTELPROF_STOP_EXITING], false),
    COUNTER("otelprof.stacks.stop.no_tables", stack_stops[OTELPROF_STOP_NO_TABLES], false),
    COUNTER("otelprof.stacks.stop.not_walked", stack_stops[OTELPROF_STOP_NOT_WALKED], false),
    COUNTER("otelprof.threads.without_slot", threads_without_slot, false),
    COUNTER("otelprof.spans.invalid", spans_invalid, false),
    COUNTER("otelprof.spans.out_of_order", spans_out_of_order, false),
    COUNTER("otelprof.spans.too_deep", spans_too_deep, false),
    COUNTER("otelprof.attributes.dropped", attributes_dropped, false),
    COUNTER("otelprof.attributes.cut", attributes_cut, false),
    COUNTER("otelprof.modules.uncovered", modules_uncovered, false),
    COUNTER("otelprof.windows.dropped", windows_dropped, false),
    COUNTER("otelprof.profiles.rejected", profiles_rejected, false),
    COUNTER("otelprof.heap.samples", heap_samples, false),
    COUNTER("otelprof.heap.live.lost", heap_live_lost, false),
    COUNTER("otelprof.heap.live.thinned", heap_live_thinned, false),
    COUNTER("otelprof.heap.lost_frees", heap_lost_frees, false),
    COUNTER("otelprof.heap.reentered", heap_reentered, false),
    COUNTER("otelprof.lock.samples", lock_samples, false),
    COUNTER("otelprof.lock.holders", lock_holders, false),
    COUNTER("otelprof.lock.holders.unseen", lock_holders_unseen, false),
    COUNTER("otelprof.lock.holders.leaf", lock_holders_leaf, false),
    COUNTER("otelprof.lock.holders.lost", lock_holders_lost, false),
    COUNTER("otelprof.lock.unpublished", lock_unpublished, false),
    COUNTER("otelprof.wall.ticks", wall_ticks, false),
    COUNTER("otelprof.threads.looks", thread_looks, false),
    COUNTER("otelprof.threads.moved", thread_moved, false),
    COUNTER("otelprof.threads.untracked", thread_untracked, false),
    COUNTER("otelprof.threads.passes_failed", thread_passes_failed, false),
    COUNTER("otelprof.threads.samples_lost", thread_samples_lost, false),
    COUNTER("otelprof.threads.deadlocks", deadlocks, false),
    COUNTER("otelprof.heap.stacks_unbounded", heap_stacks_unbounded, false),
};

const size_t otp_counters_count = sizeof(otp_counters) / sizeof(otp_counters[0]);

static uint64_t *slot(const struct otp_counter *counter, struct otelprof_stats *stats) {
    return (uint64_t *)(void *)((char *)stats + counter->offset);
}

void otp_counters_add(struct otelprof_stats *sum, const struct otelprof_stats *delta) {
    for (size_t i = 0; i < otp_counters_count; i++)
        *slot(&otp_counters[i], sum) += otp_counter_value(&otp_counters[i], delta);
}

void otp_counters_delta(struct otelprof_stats *delta, const struct otelprof_stats *now,
                        const struct otelprof_stats *before) {
    *delta = (struct otelprof_stats){.size = sizeof(*delta)};
    for (size_t i = 0; i < otp_counters_count; i++) {
        uint64_t new_value = otp_counter_value(&otp_counters[i], now);
        uint64_t old_value = otp_counter_value(&otp_counters[i], before);
        *slot(&otp_counters[i], delta) = new_value > old_value ? new_value - old_value : 0;
    }
}
