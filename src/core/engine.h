// SPDX-License-Identifier: Apache-2.0
/*
 * What the profiler thread does: ties capture, unwind tables, windows and the export worker together. All calls on the
 * profiler thread, but for those that say otherwise.
 */
#ifndef OTP_CORE_ENGINE_H
#define OTP_CORE_ENGINE_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_engine;
struct otp_network;
struct otp_settings;

/*
 * Caller's thread. `settings` stays the caller's and must outlive the engine; `network` is there if
 * settings.to_network. NULL when out of memory.
 */
struct otp_engine *otp_engine_new(const struct otp_settings *settings, void *demangle,
                                  const struct otp_network *network);

/* Caller's thread, after quit and stop_worker. Takes NULL. */
void otp_engine_free(struct otp_engine *engine);

/* From nothing to sampling. 0 or a negative enum otelprof_error with a sentence; then call otp_engine_quit(). */
int otp_engine_start(struct otp_engine *engine);

/* Ends sampling, hands the last window over, and gives the kernel's objects back. The worker goes on. */
void otp_engine_quit(struct otp_engine *engine);

/* The types that are taken from now on. 0 or a negative enum otelprof_error. */
int otp_engine_switch(struct otp_engine *engine, uint32_t types);

/*
 * Does what is due: looks at the threads, takes in what the rings hold, follows loaded modules, ends the window.
 * `woken`: the ring is looked at in any case.
 */
void otp_engine_work(struct otp_engine *engine, bool woken);

/* Takes in what the ring holds, and hands the window over. */
void otp_engine_end_window(struct otp_engine *engine);

/* Readable when work is urgent; and how long work can wait otherwise. */
int otp_engine_wake_fd(const struct otp_engine *engine);
uint64_t otp_engine_patience_ns(const struct otp_engine *engine);

/* True if something that was asked for is not possible; the reasons are in the notes. */
bool otp_engine_degraded(const struct otp_engine *engine);

/* Any thread: waits for the export of all windows handed over so far; stops the worker; counters; notes. */
int otp_engine_wait_exported(struct otp_engine *engine, uint64_t deadline_ns);
int otp_engine_stop_worker(struct otp_engine *engine, uint64_t deadline_ns, struct otelprof_stats *stats);
void otp_engine_stats(struct otp_engine *engine, struct otelprof_stats *stats);
void otp_engine_notes(struct otp_engine *engine, char *text, size_t size);

/* Async-signal-safe, in a forked child. */
void otp_engine_forked_child(struct otp_engine *engine);

#endif
