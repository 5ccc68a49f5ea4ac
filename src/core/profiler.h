// SPDX-License-Identifier: Apache-2.0
/*
 * The thread "otelprof": owns capture, unwind tables, windows and the export worker. Others talk to it through the
 * calls here, which wait for it with a deadline and never for the export thread, unless they say so.
 */
#ifndef OTP_CORE_PROFILER_H
#define OTP_CORE_PROFILER_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"

struct otp_network;
struct otp_profiler;

/* Called on the profiler thread when it is up (RUNNING, DEGRADED), down again, or failed (OFF). */
typedef void (*otp_profiler_state_fn)(enum otelprof_state state);

struct otp_profiler_options {
    struct otp_settings settings;      /* owned by the profiler from now on, also on failure */
    void *demangle;                    /* __cxa_demangle of the process, or NULL */
    const struct otp_network *network; /* set if settings.to_network */
    otp_profiler_state_fn on_state;
};

/* Starts the thread; does not wait. 0, OTELPROF_E_MEMORY, OTELPROF_E_SYSTEM. */
int otp_profiler_start(struct otp_profiler **out, const struct otp_profiler_options *options);

/*
 * Waits until the start has ended: 0, its error (with its sentence for the calling thread), or OTELPROF_E_TIMEOUT.
 * Deadlines are instants of CLOCK_MONOTONIC in ns.
 */
int otp_profiler_wait_started(struct otp_profiler *profiler, uint64_t deadline_ns);

/* Changes the profile types that are taken; done when it returns 0. OTELPROF_E_TIMEOUT, OTELPROF_E_STATE. */
int otp_profiler_switch(struct otp_profiler *profiler, uint32_t on, uint32_t off, uint64_t deadline_ns);

/* Ends the window, and waits for its export. 0, OTELPROF_E_TIMEOUT, OTELPROF_E_EXPORT, OTELPROF_E_STATE. */
int otp_profiler_flush(struct otp_profiler *profiler, uint64_t deadline_ns);

/*
 * Ends everything: sampling at once, then the last window's export until the deadline. Returns the final counters.
 * 0: no thread is left and `profiler` is freed. OTELPROF_E_TIMEOUT: a thread is left behind, and `profiler` with it.
 * OTELPROF_E_EXPORT: no thread is left, but something could not be delivered.
 */
int otp_profiler_stop(struct otp_profiler *profiler, uint64_t deadline_ns, struct otelprof_stats *stats);

/* The counters of this run. Any thread. */
void otp_profiler_stats(struct otp_profiler *profiler, struct otelprof_stats *stats);

/* What is not as it was asked for, a line each; "" if nothing. Or why the start failed. Any thread. */
void otp_profiler_notes(struct otp_profiler *profiler, char *text, size_t size);

/* Async-signal-safe, in a forked child: closes descriptors; the profiler's memory is abandoned. */
void otp_profiler_forked_child(struct otp_profiler *profiler);

#endif
