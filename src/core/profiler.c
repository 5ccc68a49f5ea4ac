// SPDX-License-Identifier: Apache-2.0
#include "core/profiler.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/thread.h"
#include "core/diagnosis.h"
#include "core/engine.h"
#include "core/wake.h"

/* What other threads want, and what the profiler thread has done of it. Under `lock`. */
struct orders {
    bool stop;
    uint32_t types;        /* wanted */
    uint32_t types_serial; /* one up with each change */
    uint32_t types_done;   /* the serial that is in force */
    int types_result;
    uint32_t flush_serial; /* one up with each wish */
    uint32_t flush_done;   /* windows up to this wish were handed to the worker */
    bool started;          /* the start has ended, well or not */
    int start_result;
    bool given_up; /* somebody waited for the start, but not long enough */
    bool ended;    /* the thread touches nothing any more */
};

struct otp_profiler {
    struct otp_profiler_options options;
    struct otp_engine *engine; /* the profiler thread's own */
    pthread_t thread;
    struct otp_wake wake;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    struct orders orders;
    char start_error[256];
};

/* ---------------------------------------------------------------------------------- the thread's own side */

/* Who gave up waiting hears from the log how the start ended. */
static void say_late(const struct otp_profiler *profiler, int result) {
    if (result)
        otp_diagnosis_log(result, profiler->start_error);
    else
        otp_log(OTELPROF_LOG_INFO, "otelprof: profiling; the start took longer than the time that was given");
}

static void announce_start(struct otp_profiler *profiler, int result) {
    pthread_mutex_lock(&profiler->lock);
    profiler->orders.started = true;
    profiler->orders.start_result = result;
    snprintf(profiler->start_error, sizeof(profiler->start_error), "%s", result ? otp_error_text() : "");
    bool late = profiler->orders.given_up;
    pthread_cond_broadcast(&profiler->changed);
    pthread_mutex_unlock(&profiler->lock);
    if (late)
        say_late(profiler, result);
}

static struct orders look(struct otp_profiler *profiler) {
    pthread_mutex_lock(&profiler->lock);
    struct orders orders = profiler->orders;
    pthread_mutex_unlock(&profiler->lock);
    return orders;
}

static void answer(struct otp_profiler *profiler, const struct orders *seen, int types_result) {
    pthread_mutex_lock(&profiler->lock);
    profiler->orders.types_done = seen->types_serial;
    profiler->orders.types_result = types_result;
    profiler->orders.flush_done = seen->flush_serial;
    pthread_cond_broadcast(&profiler->changed);
    pthread_mutex_unlock(&profiler->lock);
}

/* Does what was asked for. False: stop. */
static bool obey(struct otp_profiler *profiler) {
    struct orders orders = look(profiler);
    int types_result = orders.types_result;
    if (orders.types_serial != orders.types_done)
        types_result = otp_engine_switch(profiler->engine, orders.types);
    if (orders.flush_serial != orders.flush_done)
        otp_engine_end_window(profiler->engine);
    if (orders.types_serial != orders.types_done || orders.flush_serial != orders.flush_done)
        answer(profiler, &orders, types_result);
    return !orders.stop;
}

/* True: something other than time. */
static bool wait_for_something(struct otp_profiler *profiler) {
    struct pollfd wait[2] = {{otp_wake_fd(&profiler->wake), POLLIN, 0},
                             {otp_engine_wake_fd(profiler->engine), POLLIN, 0}};
    uint64_t patience = otp_engine_patience_ns(profiler->engine);
    struct timespec time = {(time_t)(patience / 1000000000u), (long)(patience % 1000000000u)};
    int ready = ppoll(wait, 2, &time, NULL);
    if (ready > 0 && (wait[0].revents & POLLIN))
        otp_wake_clear(&profiler->wake);
    /* A descriptor that was taken from us must not make the loop spin. */
    if (ready < 0 || ((wait[0].revents | wait[1].revents) & (POLLERR | POLLNVAL | POLLHUP)))
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    return ready > 0;
}

static void *body(void *argument) {
    struct otp_profiler *profiler = argument;
    int result = otp_engine_start(profiler->engine);
    if (result)
        profiler->options.on_state(OTELPROF_STATE_OFF);
    else
        profiler->options.on_state(otp_engine_degraded(profiler->engine) ? OTELPROF_STATE_DEGRADED
                                                                         : OTELPROF_STATE_RUNNING);
    announce_start(profiler, result);
    bool degraded = !result && otp_engine_degraded(profiler->engine);
    while (!result && obey(profiler)) {
        bool woken = wait_for_something(profiler);
        otp_engine_work(profiler->engine, woken);
        if (otp_engine_degraded(profiler->engine) && !degraded) {
            degraded = true;
            profiler->options.on_state(OTELPROF_STATE_DEGRADED);
        }
    }
    otp_engine_quit(profiler->engine);
    pthread_mutex_lock(&profiler->lock);
    profiler->orders.ended = true;
    pthread_cond_broadcast(&profiler->changed);
    pthread_mutex_unlock(&profiler->lock);
    return NULL;
}

/* ------------------------------------------------------------------------------------- the others' side */

static void give_back(struct otp_profiler *profiler) {
    otp_wake_close(&profiler->wake);
    otp_engine_free(profiler->engine);
    otp_settings_free(&profiler->options.settings);
    pthread_cond_destroy(&profiler->changed);
    pthread_mutex_destroy(&profiler->lock);
    free(profiler);
}

static struct otp_profiler *make(const struct otp_profiler_options *options) {
    struct otp_profiler *profiler = otp_sys.calloc(1, sizeof(*profiler));
    if (!profiler)
        return NULL;
    profiler->options = *options;
    profiler->orders.types = (uint32_t)options->settings.options.profiles;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&profiler->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&profiler->lock, NULL);
    profiler->wake.ends[0] = profiler->wake.ends[1] = -1;
    return profiler;
}

int otp_profiler_start(struct otp_profiler **out, const struct otp_profiler_options *options) {
    struct otp_profiler *profiler = make(options);
    if (!profiler) {
        struct otp_settings settings = options->settings;
        otp_settings_free(&settings);
        return otp_error(OTELPROF_E_MEMORY, "out of memory for the profiler");
    }
    int result = otp_wake_open(&profiler->wake);
    profiler->engine = otp_engine_new(&profiler->options.settings, options->demangle, options->network);
    if (!result && !profiler->engine)
        result = otp_error(OTELPROF_E_MEMORY, "out of memory for the profiler");
    if (!result)
        result = otp_thread_start("otelprof", body, profiler, &profiler->thread);
    if (result) {
        give_back(profiler);
        return result;
    }
    *out = profiler;
    return 0;
}

/* Waits under the lock until the deadline. False: it passed. */
static bool wait_changed(struct otp_profiler *profiler, uint64_t deadline_ns) {
    struct timespec until = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    return pthread_cond_timedwait(&profiler->changed, &profiler->lock, &until) != ETIMEDOUT;
}

int otp_profiler_wait_started(struct otp_profiler *profiler, uint64_t deadline_ns) {
    pthread_mutex_lock(&profiler->lock);
    while (!profiler->orders.started && wait_changed(profiler, deadline_ns))
        ;
    bool started = profiler->orders.started;
    int result = profiler->orders.start_result;
    profiler->orders.given_up |= !started;
    if (!started)
        result = otp_error(OTELPROF_E_TIMEOUT, "still starting in the background");
    else if (result)
        otp_error(result, "%s", profiler->start_error);
    pthread_mutex_unlock(&profiler->lock);
    return result;
}

static bool running(const struct otp_profiler *profiler) {
    const struct orders *orders = &profiler->orders;
    return orders->started && !orders->start_result && !orders->stop && !orders->ended;
}

int otp_profiler_switch(struct otp_profiler *profiler, uint32_t on, uint32_t off, uint64_t deadline_ns) {
    pthread_mutex_lock(&profiler->lock);
    int result = running(profiler) ? 0 : otp_error(OTELPROF_E_STATE, "not running");
    if (!result) {
        profiler->orders.types = (profiler->orders.types | on) & ~off;
        uint32_t serial = ++profiler->orders.types_serial;
        otp_wake_up(&profiler->wake);
        while (profiler->orders.types_done < serial && !profiler->orders.ended && wait_changed(profiler, deadline_ns))
            ;
        if (profiler->orders.types_done < serial)
            result = otp_error(OTELPROF_E_TIMEOUT, "the profiler thread did not answer in time");
        else
            result = profiler->orders.types_result;
    }
    pthread_mutex_unlock(&profiler->lock);
    return result;
}

int otp_profiler_flush(struct otp_profiler *profiler, uint64_t deadline_ns) {
    pthread_mutex_lock(&profiler->lock);
    int result = running(profiler) ? 0 : otp_error(OTELPROF_E_STATE, "not running");
    if (!result) {
        uint32_t serial = ++profiler->orders.flush_serial;
        otp_wake_up(&profiler->wake);
        while (profiler->orders.flush_done < serial && !profiler->orders.ended && wait_changed(profiler, deadline_ns))
            ;
        if (profiler->orders.flush_done < serial)
            result = otp_error(OTELPROF_E_TIMEOUT, "the profiler thread did not answer in time");
    }
    pthread_mutex_unlock(&profiler->lock);
    return result ? result : otp_engine_wait_exported(profiler->engine, deadline_ns);
}

static bool wait_ended(struct otp_profiler *profiler, uint64_t deadline_ns) {
    pthread_mutex_lock(&profiler->lock);
    profiler->orders.stop = true;
    otp_wake_up(&profiler->wake);
    while (!profiler->orders.ended && wait_changed(profiler, deadline_ns))
        ;
    bool ended = profiler->orders.ended;
    pthread_mutex_unlock(&profiler->lock);
    return ended;
}

int otp_profiler_stop(struct otp_profiler *profiler, uint64_t deadline_ns, struct otelprof_stats *stats) {
    if (!wait_ended(profiler, deadline_ns)) {
        otp_engine_stats(profiler->engine, stats);
        pthread_detach(profiler->thread);
        return otp_error(OTELPROF_E_TIMEOUT, "the profiler thread is still busy");
    }
    pthread_join(profiler->thread, NULL);
    int result = otp_engine_stop_worker(profiler->engine, deadline_ns, stats);
    if (result != OTELPROF_E_TIMEOUT)
        give_back(profiler);
    return result;
}

void otp_profiler_stats(struct otp_profiler *profiler, struct otelprof_stats *stats) {
    otp_engine_stats(profiler->engine, stats);
}

void otp_profiler_notes(struct otp_profiler *profiler, char *text, size_t size) {
    pthread_mutex_lock(&profiler->lock);
    bool failed = profiler->orders.started && profiler->orders.start_result;
    if (failed)
        snprintf(text, size, "%s", profiler->start_error);
    pthread_mutex_unlock(&profiler->lock);
    if (!failed)
        otp_engine_notes(profiler->engine, text, size);
}

void otp_profiler_forked_child(struct otp_profiler *profiler) {
    otp_wake_close(&profiler->wake);
    otp_engine_forked_child(profiler->engine);
}
