// SPDX-License-Identifier: Apache-2.0
#include "core/account.h"

#include <string.h>

#include "base/clock.h"
#include "capture/capture.h"
#include "core/heap_keeper.h"
#include "core/intake.h"
#include "core/lock_keeper.h"
#include "core/statistics.h"
#include "core/table_keeper.h"
#include "core/thread_keeper.h"
#include "export/worker.h"
#include "profile/counters.h"

#define NANOS_PER_S 1000000000u

void otp_account_init(struct otp_account *account, uint64_t rate_hz) {
    memset(account, 0, sizeof(*account));
    account->rate_hz = rate_hz;
    pthread_mutex_init(&account->lock, NULL);
}

void otp_account_destroy(struct otp_account *account) { pthread_mutex_destroy(&account->lock); }

struct otp_worker *otp_account_set_worker(struct otp_account *account, struct otp_worker *worker) {
    pthread_mutex_lock(&account->lock);
    struct otp_worker *before = account->worker;
    account->worker = worker;
    pthread_mutex_unlock(&account->lock);
    return before;
}

static uint64_t process_cpu_without_own(const struct otp_account *account) {
    struct otelprof_stats worker = {.size = sizeof(worker)};
    if (account->worker)
        otp_worker_stats(account->worker, &worker);
    uint64_t all = otp_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t own = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID) + worker.own_cpu_ns;
    return all > own ? all - own : 0;
}

void otp_account_begin(struct otp_account *account) { account->cpu_seen_ns = process_cpu_without_own(account); }

void otp_account_expect(struct otp_account *account, bool sampling) {
    uint64_t now = process_cpu_without_own(account), spent = now - account->cpu_seen_ns;
    if (now < account->cpu_seen_ns)
        return;
    if (!sampling) {
        account->cpu_seen_ns = now;
        return;
    }
    account->live.samples_expected += spent * account->rate_hz / NANOS_PER_S;
    /* What is less than one sample stays for the next look. */
    account->cpu_seen_ns = now - spent % (NANOS_PER_S / account->rate_hz);
}

void otp_account_window(struct otp_account *account, const struct otp_window_counts *counts,
                        struct otelprof_stats *delta) {
    otp_counters_delta(delta, &account->shown, &account->reported);
    account->reported = account->shown;
    account->live.lost_memory += counts->lost_memory;
    account->live.detail_lowered += counts->detail_lowered;
    account->live.stacks_cut += counts->stacks_cut;
}

static void add_intake(struct otelprof_stats *stats, const struct otp_intake *intake) {
    stats->lost_decode += intake->lost_decode;
    stats->lost_memory += intake->lost_memory;
    if (!intake->window)
        return;
    const struct otp_window_counts *counts = otp_window_counts(intake->window);
    stats->lost_memory += counts->lost_memory;
    stats->detail_lowered += counts->detail_lowered;
    stats->stacks_cut += counts->stacks_cut;
}

void otp_account_show(struct otp_account *account, const struct otp_capture *capture, const struct otp_intake *intake,
                      const struct otp_table_keeper *keeper, const struct otp_heap_keeper *heap,
                      const struct otp_lock_keeper *locks, const struct otp_thread_keeper *threads) {
    if (capture) {
        struct otp_cpu_counters counters;
        otp_capture_counters(capture, &counters);
        otp_statistics_from_programs(&account->live, &counters);
        account->live.kernel_memory_bytes = otp_capture_kernel_bytes(capture);
        account->live.table_builds = otp_capture_sets(capture); /* all of them stay when the capture goes */
    }
    struct otelprof_stats stats = account->live;
    add_intake(&stats, intake);
    otp_table_keeper_stats(keeper, &stats);
    otp_heap_keeper_stats(heap, &stats);
    otp_lock_keeper_stats(locks, &stats);
    otp_thread_keeper_stats(threads, &stats);
    stats.own_cpu_ns = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    otp_context_stats(&stats);
    pthread_mutex_lock(&account->lock);
    account->shown = stats;
    pthread_mutex_unlock(&account->lock);
}

void otp_account_stats(struct otp_account *account, struct otelprof_stats *stats) {
    pthread_mutex_lock(&account->lock);
    *stats = account->shown;
    struct otp_worker *worker = account->worker;
    pthread_mutex_unlock(&account->lock);
    stats->size = sizeof(*stats);
    if (worker)
        otp_worker_stats(worker, stats);
}
