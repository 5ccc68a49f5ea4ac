// SPDX-License-Identifier: Apache-2.0
/* Sums of public counters over runs. */
#ifndef OTP_CORE_STATISTICS_H
#define OTP_CORE_STATISTICS_H

#include <otelprof/otelprof.h>

#include "control.h"

/* sum += run for counters; for figures that describe a state (rows, modules, memory) the run's value counts. */
void otp_statistics_add(struct otelprof_stats *sum, const struct otelprof_stats *run);

/* Puts the programs' counters into the public ones. */
void otp_statistics_from_programs(struct otelprof_stats *stats, const struct otp_cpu_counters *counters);

#endif
