// SPDX-License-Identifier: Apache-2.0
#include "export/worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "base/thread.h"
#include "export/queue.h"
#include "export/sender.h"
#include "profile/counters.h"

#define QUEUE_BYTES ((size_t)8 << 20)
/* A send that must end for a stop ends so much earlier, for what is left to do: a tenth of the time, within these. */
#define STOP_MARGIN_MIN_NS ((uint64_t)40 * 1000000)
#define STOP_MARGIN_MAX_NS ((uint64_t)100 * 1000000)

/* Someone who waits for windows up to a ticket; lives on the stack of that thread. */
struct waiter {
    struct waiter *next;
    uint64_t target;
    bool lost; /* one of them was */
};

/* The window that is being exported. */
struct job {
    struct otp_worker *worker;
    uint64_t ticket;       /* 0: none */
    uint64_t samples_left; /* of the window, not yet delivered nor lost */
    bool counters_sent;
    bool delivered; /* some request was */
    bool lost;      /* some sample was */
};

struct otp_worker {
    struct otp_worker_config config;
    pthread_t thread;
    atomic_bool forked;       /* this is a child: nothing may be touched */
    struct otp_sender sender; /* the thread's own */

    pthread_mutex_t lock; /* covers all below */
    pthread_cond_t work;  /* for the worker: a window came, or it is to stop */
    pthread_cond_t done;  /* for those who wait */
    struct otp_queue queue;
    struct job job;
    struct waiter *waiters;
    uint64_t last_ticket;
    uint64_t last_lost_ticket;
    bool stopping;
    bool ended;
    bool abandoned; /* the thread must not count any more */
    uint64_t stop_deadline_ns;
    clockid_t cpu_clock; /* of the thread, while `running` */
    bool running;
    struct otelprof_stats counters;
    struct otelprof_stats unsent; /* counters that no profile has told yet */
};

/* ------------------------------------------------------------------------------------------ under the lock */

static void note_loss(struct otp_worker *worker, uint64_t ticket) {
    if (ticket > worker->last_lost_ticket)
        worker->last_lost_ticket = ticket;
    for (struct waiter *waiter = worker->waiters; waiter; waiter = waiter->next)
        if (ticket <= waiter->target)
            waiter->lost = true;
}

/* A whole window goes; what its counters tell goes with the next one. */
static void count_dropped(struct otp_worker *worker, const struct otp_window *window, uint64_t ticket) {
    struct otelprof_stats loss = {.windows_dropped = 1, .lost_window_dropped = otp_window_counts(window)->samples};
    otp_counters_add(&worker->counters, &loss);
    otp_counters_add(&worker->unsent, &loss);
    otp_counters_add(&worker->unsent, otp_window_delta(window));
    note_loss(worker, ticket);
}

/* Samples of the job that are gone: `lost` says why, in one of its counters. */
static void count_lost(struct otp_worker *worker, struct job *job, const struct otelprof_stats *lost,
                       uint64_t samples) {
    otp_counters_add(&worker->counters, lost);
    otp_counters_add(&worker->unsent, lost);
    job->samples_left -= samples;
    job->lost = true;
    note_loss(worker, job->ticket);
}

static void count_failed(struct otp_worker *worker, struct job *job, uint64_t samples) {
    count_lost(worker, job, &(struct otelprof_stats){.lost_export_failed = samples}, samples);
}

static bool is_pending(const struct otp_worker *worker, uint64_t target) {
    if (worker->job.ticket && worker->job.ticket <= target)
        return true;
    return worker->queue.count && worker->queue.entries[worker->queue.first].ticket <= target;
}

/* Waits for the condition, or until the deadline: false then. */
static bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t deadline_ns) {
    if (deadline_ns == UINT64_MAX)
        return !pthread_cond_wait(condition, lock);
    struct timespec time = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    return pthread_cond_timedwait(condition, lock, &time) != ETIMEDOUT;
}

/* ------------------------------------------------------------------------------------------ on the thread */

/* For the sender: when an attempt that starts now must have ended. */
static uint64_t attempt_deadline(void *user, uint64_t latest_ns) {
    struct otp_worker *worker = user;
    pthread_mutex_lock(&worker->lock);
    if (worker->stopping && worker->stop_deadline_ns < latest_ns)
        latest_ns = worker->stop_deadline_ns;
    pthread_mutex_unlock(&worker->lock);
    return latest_ns;
}

/* For the sender: waits before another attempt. False if the worker is to stop. */
static bool pause_until(void *user, uint64_t until_ns) {
    struct otp_worker *worker = user;
    pthread_mutex_lock(&worker->lock);
    while (!worker->stopping && wait_until(&worker->work, &worker->lock, until_ns))
        ; /* a new window woke us: it waits its turn */
    bool goes_on = !worker->stopping;
    pthread_mutex_unlock(&worker->lock);
    return goes_on;
}

static void count_delivered(struct otp_worker *worker, struct job *job, const struct otp_otlp_request *request,
                            uint64_t rejected_profiles) {
    worker->counters.profiles_rejected += rejected_profiles;
    worker->unsent.profiles_rejected += rejected_profiles;
    worker->counters.bytes_exported += request->size;
    job->counters_sent |= request->index == 0;
    /* Which of several were rejected is not said: then it is not known of any. */
    if (rejected_profiles >= request->profiles) {
        count_lost(worker, job, &(struct otelprof_stats){.lost_rejected = request->samples}, request->samples);
    } else if (rejected_profiles) {
        count_lost(worker, job, &(struct otelprof_stats){.delivery_unknown = request->samples}, request->samples);
    } else {
        worker->counters.samples_exported += request->samples;
        job->samples_left -= request->samples;
        job->delivered = true;
    }
}

static void count_sent(struct otp_worker *worker, struct job *job, const struct otp_otlp_request *request,
                       const struct otp_sent *sent) {
    if (sent->delivery == OTP_DELIVERED)
        count_delivered(worker, job, request, sent->rejected_profiles);
    else if (sent->delivery == OTP_DELIVERY_UNKNOWN)
        count_lost(worker, job, &(struct otelprof_stats){.delivery_unknown = request->samples}, request->samples);
    else if (sent->delivery == OTP_DELIVERY_TOO_LARGE && request->can_split)
        return; /* its events come again */
    else
        count_failed(worker, job, request->samples);
}

/* Whether a stop has run out of time, so that nothing more is sent. */
static bool out_of_time(const struct otp_worker *worker) {
    return worker->abandoned || (worker->stopping && otp_clock_ns(CLOCK_MONOTONIC) >= worker->stop_deadline_ns);
}

/* The encoder's sink. Any error ends the window: nobody waits for it any more. */
static int send_request(void *user, const struct otp_otlp_request *request) {
    struct job *job = user;
    struct otp_worker *worker = job->worker;
    struct otp_sent sent = otp_sender_send(&worker->sender, request->bytes, request->size);
    pthread_mutex_lock(&worker->lock);
    if (!worker->abandoned)
        count_sent(worker, job, request, &sent);
    worker->counters.export_retries = worker->sender.attempts;
    worker->counters.bytes_sent = worker->sender.bytes_sent;
    bool ends = out_of_time(worker);
    pthread_mutex_unlock(&worker->lock);
    if (ends)
        return OTELPROF_E_TIMEOUT;
    return sent.delivery == OTP_DELIVERY_TOO_LARGE && request->can_split ? OTP_OTLP_SPLIT : 0;
}

static void finish_job(struct otp_worker *worker, const struct otp_window *window,
                       const struct otp_otlp_result *result) {
    struct job *job = &worker->job;
    pthread_mutex_lock(&worker->lock);
    if (!worker->abandoned) {
        worker->counters.samples_exported += result->samples_silent;
        job->samples_left -= result->samples_silent;
        uint64_t left = job->samples_left;
        bool lost = left || !result->complete; /* states and twins have no samples that could be left */
        if (lost && out_of_time(worker))
            count_lost(worker, job, &(struct otelprof_stats){.lost_shutdown = left}, left);
        else if (lost)
            count_failed(worker, job, left);
        if (!job->counters_sent)
            otp_counters_add(&worker->unsent, otp_window_delta(window));
        if (job->delivered || !job->lost) {
            worker->counters.windows_exported++;
        } else {
            worker->counters.windows_dropped++;
            worker->unsent.windows_dropped++;
        }
        worker->counters.symbols_resolved += result->symbols_resolved;
        worker->counters.symbols_missing += result->symbols_missing;
        *job = (struct job){.worker = worker};
        pthread_cond_broadcast(&worker->done);
    }
    pthread_mutex_unlock(&worker->lock);
}

static void export_window(struct otp_worker *worker, struct otp_window *window) {
    const struct otp_worker_config *config = &worker->config;
    struct otp_otlp_result result; /* shows an error as what is not complete */
    otp_otlp_encode(window, config->resource, &config->symbolizer, &config->options, send_request, &worker->job,
                    &result);
    worker->config.options.bytes_max = result.bytes_max; /* smaller if the receiver wants it so */
    finish_job(worker, window, &result);
    otp_window_free(window);
}

/* Time is up: what is still queued is lost. */
static void drop_rest(struct otp_worker *worker) {
    struct otp_queue_entry entry;
    while ((entry = otp_queue_take(&worker->queue)).window) {
        worker->counters.lost_shutdown += otp_window_counts(entry.window)->samples;
        worker->counters.windows_dropped++;
        note_loss(worker, entry.ticket);
        otp_window_free(entry.window);
    }
}

/* Waits for a window and makes it the job. NULL: the thread has to end. */
static struct otp_window *next_window(struct otp_worker *worker) {
    pthread_mutex_lock(&worker->lock);
    while (!worker->queue.count && !worker->stopping && !worker->abandoned)
        pthread_cond_wait(&worker->work, &worker->lock);
    struct otp_queue_entry entry = {0};
    if (out_of_time(worker))
        drop_rest(worker);
    else
        entry = otp_queue_take(&worker->queue);
    if (entry.window) {
        worker->job = (struct job){
            .worker = worker, .ticket = entry.ticket, .samples_left = otp_window_counts(entry.window)->samples};
        otp_window_add_delta(entry.window, &worker->unsent);
        worker->unsent = (struct otelprof_stats){0};
    }
    pthread_mutex_unlock(&worker->lock);
    return entry.window;
}

static void *body(void *argument) {
    struct otp_worker *worker = argument;
    struct otp_window *window;
    clockid_t clock = 0;
    bool timed = !pthread_getcpuclockid(pthread_self(), &clock);
    pthread_mutex_lock(&worker->lock);
    worker->cpu_clock = clock;
    worker->running = timed;
    pthread_mutex_unlock(&worker->lock);
    if (worker->config.on_start)
        worker->config.on_start(worker->config.user);
    while ((window = next_window(worker))) {
        if (worker->config.on_window)
            worker->config.on_window(worker->config.user);
        export_window(worker, window);
    }
    pthread_mutex_lock(&worker->lock);
    bool abandoned = worker->abandoned;
    pthread_mutex_unlock(&worker->lock);
    if (!abandoned && worker->config.on_end)
        worker->config.on_end(worker->config.user);
    pthread_mutex_lock(&worker->lock);
    worker->running = false;
    worker->counters.own_cpu_ns = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    worker->ended = true;
    pthread_cond_broadcast(&worker->done);
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* ------------------------------------------------------------------------------------------- from outside */

static int init_locks(struct otp_worker *worker) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes))
        return -1;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int error = pthread_mutex_init(&worker->lock, NULL) || pthread_cond_init(&worker->work, &attributes) ||
                pthread_cond_init(&worker->done, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

static void destroy(struct otp_worker *worker) {
    worker->config.exporter->ops->close(worker->config.exporter);
    pthread_cond_destroy(&worker->work);
    pthread_cond_destroy(&worker->done);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}

int otp_worker_start(const struct otp_worker_config *config, struct otp_worker **out) {
    struct otp_worker *worker = otp_sys.calloc(1, sizeof(*worker));
    if (!worker || init_locks(worker)) {
        free(worker);
        config->exporter->ops->close(config->exporter);
        return otp_error(OTELPROF_E_MEMORY, "no memory for the export thread");
    }
    worker->config = *config;
    otp_queue_init(&worker->queue, config->queue_bytes ? config->queue_bytes : QUEUE_BYTES);
    const struct otp_sender_host host = {attempt_deadline, pause_until, worker};
    otp_sender_init(&worker->sender, config->exporter, &config->limits, &host);
    int error = otp_thread_start("otelprof-export", body, worker, &worker->thread);
    if (error)
        destroy(worker);
    else
        *out = worker;
    return error;
}

bool otp_worker_has_room(struct otp_worker *worker, size_t bytes) {
    pthread_mutex_lock(&worker->lock);
    bool fits = otp_queue_fits(&worker->queue, bytes);
    pthread_mutex_unlock(&worker->lock);
    return fits;
}

void otp_worker_put(struct otp_worker *worker, struct otp_window *window) {
    struct otp_window *dropped[OTP_QUEUE_WINDOWS_MAX + 1];
    size_t dropped_count = 0, bytes = otp_window_size(window);
    if (atomic_load(&worker->forked))
        return;
    pthread_mutex_lock(&worker->lock);
    uint64_t ticket = ++worker->last_ticket;
    while (worker->queue.count && !otp_queue_fits(&worker->queue, bytes)) {
        struct otp_queue_entry oldest = otp_queue_take(&worker->queue);
        count_dropped(worker, oldest.window, oldest.ticket);
        dropped[dropped_count++] = oldest.window;
    }
    if (otp_queue_fits(&worker->queue, bytes) && !worker->stopping) {
        otp_queue_put(&worker->queue, window, ticket, bytes);
        pthread_cond_signal(&worker->work);
    } else {
        count_dropped(worker, window, ticket);
        dropped[dropped_count++] = window;
    }
    if (dropped_count)
        pthread_cond_broadcast(&worker->done);
    pthread_mutex_unlock(&worker->lock);
    while (dropped_count)
        otp_window_free(dropped[--dropped_count]);
}

/* The newest window may be lost already: its sender then hears of it here. */
static void add_waiter(struct otp_worker *worker, struct waiter *waiter, uint64_t target) {
    bool lost = worker->last_ticket && worker->last_lost_ticket == worker->last_ticket;
    *waiter = (struct waiter){worker->waiters, target, lost};
    worker->waiters = waiter;
}

static void remove_waiter(struct otp_worker *worker, struct waiter *waiter) {
    struct waiter **at = &worker->waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
}

int otp_worker_flush(struct otp_worker *worker, uint64_t deadline_ns) {
    struct waiter waiter;
    if (atomic_load(&worker->forked))
        return OTELPROF_E_STATE;
    pthread_mutex_lock(&worker->lock);
    if (worker->stopping) {
        pthread_mutex_unlock(&worker->lock);
        return otp_error(OTELPROF_E_STATE, "the exporter is stopping");
    }
    add_waiter(worker, &waiter, worker->last_ticket);
    bool in_time = true;
    while (is_pending(worker, waiter.target) && in_time)
        in_time = wait_until(&worker->done, &worker->lock, deadline_ns);
    bool pending = is_pending(worker, waiter.target);
    remove_waiter(worker, &waiter);
    pthread_mutex_unlock(&worker->lock);
    if (pending)
        return otp_error(OTELPROF_E_TIMEOUT, "the export of a window did not end in time");
    return waiter.lost ? otp_error(OTELPROF_E_EXPORT, "a window was lost on its way out") : 0;
}

/* Time is up: everything that has not gone out is lost, and the thread counts nothing from here on. */
static void abandon(struct otp_worker *worker) {
    drop_rest(worker);
    worker->counters.lost_shutdown += worker->job.samples_left;
    worker->counters.windows_dropped += worker->job.ticket != 0;
    worker->abandoned = true;
}

static void add_counters(struct otp_worker *worker, struct otelprof_stats *stats) {
    const struct otelprof_stats *from = &worker->counters;
    struct otp_exporter *exporter = worker->config.exporter;
    stats->samples_exported += from->samples_exported;
    stats->lost_window_dropped += from->lost_window_dropped;
    stats->lost_export_failed += from->lost_export_failed;
    stats->lost_rejected += from->lost_rejected;
    stats->delivery_unknown += from->delivery_unknown;
    stats->profiles_rejected += from->profiles_rejected;
    stats->export_retries += from->export_retries;
    stats->bytes_sent += from->bytes_sent;
    stats->lost_shutdown += from->lost_shutdown;
    stats->windows_exported += from->windows_exported;
    stats->windows_dropped += from->windows_dropped;
    stats->bytes_exported += from->bytes_exported;
    stats->symbols_resolved += from->symbols_resolved;
    stats->symbols_missing += from->symbols_missing;
    stats->files_removed += __atomic_load_n(&exporter->files_removed, __ATOMIC_RELAXED);
    stats->own_cpu_ns += worker->running ? otp_clock_ns(worker->cpu_clock) : from->own_cpu_ns;
    stats->own_cpu_ns += exporter->ops->cpu_ns ? exporter->ops->cpu_ns(exporter) : 0;
}

void otp_worker_stats(struct otp_worker *worker, struct otelprof_stats *stats) {
    if (atomic_load(&worker->forked))
        return;
    pthread_mutex_lock(&worker->lock);
    add_counters(worker, stats);
    pthread_mutex_unlock(&worker->lock);
}

/* When sends have to end so that the thread has ended by the deadline. */
static uint64_t before(uint64_t deadline_ns) {
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC), left = deadline_ns > now ? deadline_ns - now : 0;
    uint64_t margin = left / 10 < STOP_MARGIN_MAX_NS ? left / 10 : STOP_MARGIN_MAX_NS;
    if (margin < STOP_MARGIN_MIN_NS)
        margin = left / 2 < STOP_MARGIN_MIN_NS ? left / 2 : STOP_MARGIN_MIN_NS;
    return deadline_ns - margin;
}

int otp_worker_stop(struct otp_worker *worker, uint64_t deadline_ns, struct otelprof_stats *stats) {
    struct waiter waiter;
    if (atomic_load(&worker->forked))
        return OTELPROF_E_STATE;
    uint64_t send_deadline = before(deadline_ns);
    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    worker->stop_deadline_ns = send_deadline;
    add_waiter(worker, &waiter, UINT64_MAX);
    pthread_cond_broadcast(&worker->work);
    if (worker->config.exporter->ops->hurry)
        worker->config.exporter->ops->hurry(worker->config.exporter, send_deadline);
    bool in_time = true;
    while (!worker->ended && in_time)
        in_time = wait_until(&worker->done, &worker->lock, deadline_ns);
    bool ended = worker->ended;
    if (!ended)
        abandon(worker);
    remove_waiter(worker, &waiter);
    if (stats)
        add_counters(worker, stats);
    pthread_mutex_unlock(&worker->lock);
    if (!ended) {
        pthread_detach(worker->thread);
        return otp_error(OTELPROF_E_TIMEOUT, "the exporter did not end in time; what it still had is lost");
    }
    pthread_join(worker->thread, NULL);
    destroy(worker);
    return waiter.lost ? otp_error(OTELPROF_E_EXPORT, "a window was lost on its way out") : 0;
}

void otp_worker_forked_child(struct otp_worker *worker) { atomic_store(&worker->forked, true); }
