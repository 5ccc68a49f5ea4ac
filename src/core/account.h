// SPDX-License-Identifier: Apache-2.0
/*
 * The counters of one run: gathers them from where they are counted, keeps what goes out with each window, and shows
 * them to other threads. On the profiler thread, but for what says otherwise.
 */
#ifndef OTP_CORE_ACCOUNT_H
#define OTP_CORE_ACCOUNT_H

#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct otp_capture;
struct otp_heap_keeper;
struct otp_lock_keeper;
struct otp_intake;
struct otp_table_keeper;
struct otp_thread_keeper;
struct otp_window_counts;
struct otp_worker;

struct otp_account {
    uint64_t rate_hz;
    uint64_t cpu_seen_ns;           /* CPU time of the process, own threads less, at the last look */
    struct otelprof_stats live;     /* counters of the programs and of finished windows */
    struct otelprof_stats reported; /* what went out with windows */
    pthread_mutex_t lock;           /* for what follows: other threads read it */
    struct otelprof_stats shown;
    struct otp_worker *worker;
};

void otp_account_init(struct otp_account *account, uint64_t rate_hz);
void otp_account_destroy(struct otp_account *account);

/* The worker whose counters belong to the run; NULL takes it away again. Returns the one before. */
struct otp_worker *otp_account_set_worker(struct otp_account *account, struct otp_worker *worker);

/* Sampling begins now: CPU time spent before is not expected to have been seen. */
void otp_account_begin(struct otp_account *account);

/* Adds what the programs should have seen since the last look; without `sampling`, nothing. */
void otp_account_expect(struct otp_account *account, bool sampling);

/* A window goes out: keeps its counts, and says in *delta how far each counter went since the last one. */
void otp_account_window(struct otp_account *account, const struct otp_window_counts *counts,
                        struct otelprof_stats *delta);

/* Makes the counters of this moment visible to other threads. `capture` may be NULL. */
void otp_account_show(struct otp_account *account, const struct otp_capture *capture, const struct otp_intake *intake,
                      const struct otp_table_keeper *keeper, const struct otp_heap_keeper *heap,
                      const struct otp_lock_keeper *locks, const struct otp_thread_keeper *threads);

/* The counters shown last, and the worker's of this moment. Any thread. */
void otp_account_stats(struct otp_account *account, struct otelprof_stats *stats);

#endif
