// SPDX-License-Identifier: Apache-2.0
/* The counters of struct otelprof_stats that travel with a profile: their names as attributes, and sums of them. */
#ifndef OTP_PROFILE_COUNTERS_H
#define OTP_PROFILE_COUNTERS_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stddef.h>

struct otp_counter {
    const char *name; /* attribute of the Profile, an integer */
    size_t offset;    /* in struct otelprof_stats */
    bool always;      /* sent when zero too */
};

extern const struct otp_counter otp_counters[];
extern const size_t otp_counters_count;

static inline uint64_t otp_counter_value(const struct otp_counter *counter, const struct otelprof_stats *stats) {
    return *(const uint64_t *)(const void *)((const char *)stats + counter->offset);
}

/* sum += delta, for the counters of the table only. */
void otp_counters_add(struct otelprof_stats *sum, const struct otelprof_stats *delta);

/* delta = now - before, for the counters of the table only; the others become 0. */
void otp_counters_delta(struct otelprof_stats *delta, const struct otelprof_stats *now,
                        const struct otelprof_stats *before);

#endif
