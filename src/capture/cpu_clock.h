// SPDX-License-Identifier: Apache-2.0
/* One cpu-clock event for each online CPU, with the CPU program behind it. */
#ifndef OTP_CAPTURE_CPU_CLOCK_H
#define OTP_CAPTURE_CPU_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct otp_cpu_clock;

/*
 * Opens the events, disabled, at one event each `interval_ns`, and puts the program `program_fd` behind each.
 * 0 or a negative enum otelprof_error with a sentence.
 */
int otp_cpu_clock_open(struct otp_cpu_clock **out, uint64_t interval_ns, int program_fd);

struct otp_descriptor;

/* One event, running, on the calling thread alone: for the self-check. 0 or a negative enum otelprof_error. */
int otp_cpu_clock_open_own(struct otp_descriptor *event, uint64_t interval_ns, int program_fd);

/* Takes NULL. */
void otp_cpu_clock_close(struct otp_cpu_clock *clock);

/* Starts or stops all events that are still ours. 0, or a negative enum otelprof_error if it failed for one. */
int otp_cpu_clock_enable(struct otp_cpu_clock *clock);
int otp_cpu_clock_disable(struct otp_cpu_clock *clock);

/*
 * Opens events for CPUs that came online since, and closes those of CPUs that are gone. Returns how many changed, or
 * a negative enum otelprof_error.
 */
int otp_cpu_clock_follow_cpus(struct otp_cpu_clock *clock, int program_fd);

/* True when every event is still what was opened. */
bool otp_cpu_clock_intact(const struct otp_cpu_clock *clock);

/* How many CPUs have an event. */
unsigned otp_cpu_clock_count(const struct otp_cpu_clock *clock);

/* Async-signal-safe: closes the descriptors in a forked child. */
void otp_cpu_clock_forked_child(struct otp_cpu_clock *clock);

#endif
