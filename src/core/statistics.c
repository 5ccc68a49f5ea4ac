// SPDX-License-Identifier: Apache-2.0
#include "core/statistics.h"

#include <stddef.h>
#include <string.h>

#include "record.h"

_Static_assert((int)OTP_STOP_NO_TABLES == (int)OTELPROF_STOP_NO_TABLES, "the public reasons are the programs' reasons");
_Static_assert((int)OTP_STOP_NOT_WALKED == (int)OTELPROF_STOP_NOT_WALKED,
               "the public reasons are the programs' reasons");
_Static_assert((int)OTP_STOP_DEPTH == (int)OTELPROF_STOP_DEPTH, "the public reasons are the programs' reasons");

/* Figures that describe a state rather than count events. */
static const size_t states[] = {
    offsetof(struct otelprof_stats, modules_known),       offsetof(struct otelprof_stats, modules_uncovered),
    offsetof(struct otelprof_stats, table_rows),          offsetof(struct otelprof_stats, table_rows_capacity),
    offsetof(struct otelprof_stats, kernel_memory_bytes), offsetof(struct otelprof_stats, heap_live_blocks),
    offsetof(struct otelprof_stats, heap_interval_bytes), offsetof(struct otelprof_stats, hook_words),
    offsetof(struct otelprof_stats, lock_interval_ns),    offsetof(struct otelprof_stats, lock_work_interval_ns),
    offsetof(struct otelprof_stats, wall_interval_ns),    offsetof(struct otelprof_stats, thread_count),
};

static int is_state(size_t offset) {
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (states[i] == offset)
            return 1;
    }
    return 0;
}

void otp_statistics_add(struct otelprof_stats *sum, const struct otelprof_stats *run) {
    for (size_t at = offsetof(struct otelprof_stats, samples_fired); at < sizeof(*sum); at += sizeof(uint64_t)) {
        uint64_t *to = (uint64_t *)(void *)((char *)sum + at);
        uint64_t from = *(const uint64_t *)(const void *)((const char *)run + at);
        *to = is_state(at) ? from : *to + from;
    }
}

void otp_statistics_from_programs(struct otelprof_stats *stats, const struct otp_cpu_counters *counters) {
    stats->samples_fired = counters->fired;
    stats->samples_own_thread = counters->own_thread;
    stats->samples_with_span = counters->with_span;
    stats->lost_ring_full = counters->ring_full;
    stats->lost_scratch = counters->scratch;
    stats->frames_unwound = counters->frames;
    stats->kernel_stacks_missing = counters->kernel_stack_missing;
    stats->thread_samples_lost = counters->wall_only_ring_full;
    for (int i = 0; i < OTELPROF_STOP_COUNT; i++)
        stats->stack_stops[i] = counters->stops[i];
}
