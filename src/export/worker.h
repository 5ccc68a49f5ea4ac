// SPDX-License-Identifier: Apache-2.0
/*
 * The thread "otelprof-export": takes closed windows from a bounded queue, encodes them, and sends them. The profiler
 * thread hands windows over under a short lock and never waits for what happens to them.
 *
 * Deadlines are instants of CLOCK_MONOTONIC in ns.
 */
#ifndef OTP_EXPORT_WORKER_H
#define OTP_EXPORT_WORKER_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encode/otlp.h"
#include "export/exporter.h"
#include "export/sender.h"

struct otp_worker;

struct otp_worker_config {
    struct otp_exporter *exporter;       /* the worker's from now on, also when the start fails */
    const struct otp_resource *resource; /* stays the caller's; valid until otp_worker_stop() returned 0. May be NULL */
    struct otp_symbolizer symbolizer;    /* its user: likewise */
    struct otp_otlp_options options;
    struct otp_sender_limits limits;
    size_t queue_bytes; /* windows waiting; 0: 8 MiB */
    /* Called first on the new thread (it says who it is to the programs), before each window, and last. May be NULL. */
    void (*on_start)(void *user);
    void (*on_window)(void *user);
    void (*on_end)(void *user);
    void *user;
};

/* Starts the thread; does not wait for it. 0, OTELPROF_E_MEMORY, OTELPROF_E_SYSTEM. */
int otp_worker_start(const struct otp_worker_config *config, struct otp_worker **out);

/* Hands over a closed window, the worker's from now on. Older windows that must make room are dropped and counted. */
void otp_worker_put(struct otp_worker *worker, struct otp_window *window);

/* True if a window of so many bytes could be put now without pushing out another. Any thread. */
bool otp_worker_has_room(struct otp_worker *worker, size_t bytes);

/*
 * Waits until every window put before has been exported. 0; OTELPROF_E_EXPORT one of them was lost, in part or in
 * whole; OTELPROF_E_TIMEOUT; OTELPROF_E_STATE when the worker is stopping. From any thread but the worker's own.
 */
int otp_worker_flush(struct otp_worker *worker, uint64_t deadline_ns);

/*
 * Exports what is queued, until the deadline, and ends the thread. 0: everything was delivered (or lost and counted
 * before), the thread is gone and `worker` is freed. OTELPROF_E_EXPORT: likewise, but a window was lost meanwhile.
 * OTELPROF_E_TIMEOUT: what was not sent is counted in lost_shutdown, and the thread, still inside a send, is left
 * behind: `worker`, exporter, resource and symbolizer must stay for good. Once only; no other call may run.
 */
int otp_worker_stop(struct otp_worker *worker, uint64_t deadline_ns, struct otelprof_stats *stats);

/*
 * Adds the worker's counters to `stats`: samples_exported, lost_window_dropped, lost_export_failed, lost_rejected,
 * lost_shutdown, delivery_unknown, profiles_rejected, export_retries, bytes_sent, windows_exported, windows_dropped,
 * bytes_exported, files_removed, symbols_resolved, symbols_missing, own_cpu_ns.
 */
void otp_worker_stats(struct otp_worker *worker, struct otelprof_stats *stats);

/* In a forked child: nothing of the worker is touched again; its memory stays as it is. Async-signal-safe. */
void otp_worker_forked_child(struct otp_worker *worker);

#endif
