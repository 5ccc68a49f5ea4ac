// SPDX-License-Identifier: Apache-2.0
/* The one profiler of this process: its state, and who may start and stop it. */
#include <dlfcn.h>
#include <errno.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fork_guard.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/thread.h"
#include "capture/capture.h"
#include "context/attribute_keys.h"
#include "context/context.h"
#include "context/process_context.h"
#include "core/diagnosis.h"
#include "core/follow.h"
#include "core/futex_lock.h"
#include "core/identity_marker.h"
#include "core/lock_names.h"
#include "core/network_object.h"
#include "core/profiler.h"
#include "core/settings.h"
#include "core/statistics.h"
#include "hooks/heap.h"
#include "hooks/install.h"
#include "hooks/locks.h"

#define SWITCH_MS 5000 /* how long enable and disable wait for the profiler thread */

/* Everything about the one profiler. `busy` is held by whoever starts or stops it; nobody waits for it. */
static struct {
    _Atomic int state;    /* enum otelprof_state */
    pthread_mutex_t busy; /* one start or stop at a time */
    pthread_mutex_t lock; /* for all that follows up to `failure`; short */
    pthread_cond_t idle;  /* nobody uses the profiler any more */
    unsigned users;
    struct otp_profiler *profiler;
    struct otelprof_stats ended; /* sums of the runs that are over */
    int error;                   /* of the last start */
    char failure[256];           /* its sentence */
    struct otp_settings *kept;   /* of the last start, for forked children; NULL: none */
    bool follow;
} self = {.busy = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

static uint64_t deadline_after(uint64_t milliseconds) {
    return otp_clock_ns(CLOCK_MONOTONIC) + milliseconds * 1000000u;
}

static void set_state(enum otelprof_state state) { atomic_store(&self.state, (int)state); }

enum otelprof_state otelprof_state(void) {
    if (!otp_fork_guard_mine())
        return OTELPROF_STATE_OFF;
    return (enum otelprof_state)atomic_load(&self.state);
}

/* ---------------------------------------------------------------------------------- using the profiler */

static struct otp_profiler *use(void) {
    if (!otp_fork_guard_mine())
        return NULL;
    pthread_mutex_lock(&self.lock);
    struct otp_profiler *profiler = self.profiler;
    if (profiler)
        self.users++;
    pthread_mutex_unlock(&self.lock);
    return profiler;
}

static void done_using(void) {
    pthread_mutex_lock(&self.lock);
    if (--self.users == 0)
        pthread_cond_broadcast(&self.idle);
    pthread_mutex_unlock(&self.lock);
}

/* Takes the profiler away from everybody, once nobody uses it. */
static struct otp_profiler *take_away(void) {
    pthread_mutex_lock(&self.lock);
    struct otp_profiler *profiler = self.profiler;
    self.profiler = NULL;
    while (self.users)
        pthread_cond_wait(&self.idle, &self.lock);
    pthread_mutex_unlock(&self.lock);
    return profiler;
}

/* ------------------------------------------------------------------------------------------ forked child */

static void forked_child(void) {
    if (self.profiler)
        otp_profiler_forked_child(self.profiler);
    otp_capture_forget_regions();
    otp_context_forked_child();
    otp_process_context_child();
    otp_identity_marker_forget();
    otp_hooks_forked_child();
    otp_log_forget();
    /* Other threads of the parent may have held these. */
    pthread_mutex_init(&self.busy, NULL);
    pthread_mutex_init(&self.lock, NULL);
    pthread_cond_init(&self.idle, NULL);
    self.users = 0;
    self.profiler = NULL; /* its memory is abandoned: nobody knows in what state it is */
    self.error = 0;
    memset(&self.ended, 0, sizeof(self.ended));
    atomic_store(&self.state, OTELPROF_STATE_OFF);
}

static bool child_follows(void) { return self.follow; }

static int init_by(int (*make)(struct otp_settings *settings, const void *from), const void *from);

static int copy_settings(struct otp_settings *settings, const void *from) { return otp_settings_copy(settings, from); }

static int start_child(void) {
    if (!self.kept)
        return otp_error(OTELPROF_E_STATE, "the parent was not running");
    return init_by(copy_settings, self.kept);
}

/* In a child that is on its way to a start of its own. */
static void become_child(void) {
    if (self.profiler || otp_follow_missed())
        forked_child();
}

/* ------------------------------------------------------------------------------------------------ start */

static void log_to_stderr(void *user, enum otelprof_log_level level, const char *message) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char line[1200];
    (void)user;
    int length = snprintf(line, sizeof(line), "otelprof: %s: %s\n", names[level], message);
    size_t size = (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1;
    if (length > 0 && write(STDERR_FILENO, line, size) < 0)
        return; /* nowhere left to say it */
}

static void set_logger(const struct otp_settings *settings) {
    const struct otelprof_options *options = &settings->options;
    if (options->log)
        otp_log_set(options->log, options->log_user, (enum otelprof_log_level)options->log_level);
    else if (settings->log_to_stderr)
        otp_log_set(log_to_stderr, NULL, (enum otelprof_log_level)options->log_level);
    else
        otp_log_set(NULL, NULL, OTELPROF_LOG_ERROR);
}

/* Keeps what a forked child needs to start with the same settings. Out of memory: it cannot follow. */
static void remember(const struct otp_settings *settings) {
    struct otp_settings *copy = otp_sys.calloc(1, sizeof(*copy));
    self.follow = settings->options.fork_mode == OTELPROF_FORK_FOLLOW;
    if (copy && otp_settings_copy(copy, settings)) {
        free(copy);
        copy = NULL;
    }
    struct otp_settings *before = self.kept;
    self.kept = copy; /* a fork from now on sees this one */
    if (before) {
        otp_settings_free(before);
        free(before);
    }
}

/* Where profiles go. The receiver is named by its exporter's own message. */
static const char *where(const struct otp_settings *settings, char *text, size_t size) {
    if (settings->options.export_bytes)
        return "the export callback";
    snprintf(text, size, "%s%s%s", settings->to_files ? settings->options.output_dir : "",
             settings->to_files && settings->to_network ? " and " : "", settings->to_network ? "the network" : "");
    return text;
}

/* One message, through the logger: where we stand. */
static void say_started(const struct otp_settings *settings) {
    char types[64], text[512];
    const struct otelprof_options *options = &settings->options;
    otp_log(OTELPROF_LOG_INFO, "otelprof %s: %s at %lld Hz by ebpf, windows of %lld ms, to %s", OTELPROF_VERSION,
            otp_settings_profile_names((uint32_t)options->profiles, types, sizeof(types)), (long long)options->rate_hz,
            (long long)options->window_ms, where(settings, text, sizeof(text)));
}

/* How the last start ended: 0, or an error and its sentence. */
static void remember_end(int error, const char *sentence) {
    pthread_mutex_lock(&self.lock);
    self.error = error;
    snprintf(self.failure, sizeof(self.failure), "%s", sentence);
    pthread_mutex_unlock(&self.lock);
}

static int last_failure(char *sentence, size_t size) {
    pthread_mutex_lock(&self.lock);
    int error = self.error;
    snprintf(sentence, size, "%s", self.failure);
    pthread_mutex_unlock(&self.lock);
    return error;
}

static int failed(int error) {
    char sentence[sizeof(self.failure)];
    snprintf(sentence, sizeof(sentence), "%s", otp_error_text());
    remember_end(error, sentence);
    set_state(OTELPROF_STATE_OFF);
    otp_diagnosis_log(error, sentence);
    return otp_error(error, "%s", sentence);
}

static int check_wanted(const struct otp_settings *settings) {
    return settings->disabled ? otp_error(OTELPROF_E_DISABLED, "switched off by OTEL_SDK_DISABLED or OTELPROF_DISABLED")
                              : 0;
}

/* glibc takes static thread-local storage out of a thread's stack, and tells language runtimes how much by this call.
 */
static void find_stack_overhead(void) {
    size_t (*minimum)(const pthread_attr_t *attributes);
    pthread_attr_t attributes;
    *(void **)&minimum = dlsym(RTLD_DEFAULT, "__pthread_get_minstack");
    if (!minimum || pthread_attr_init(&attributes))
        return;
    otp_thread_set_overhead(minimum(&attributes));
    pthread_attr_destroy(&attributes);
}

/* The words of the hooks, on the caller's thread too. Without them the other profiles go on. */
static void install_hooks(struct otp_settings *settings) {
    uint32_t live_max = (uint32_t)settings->options.heap_live_max;
    *settings->heap_failure = *settings->lock_failure = 0; /* a forked child's are its own */
    if ((settings->options.profiles & OTELPROF_HEAP) && otp_hooks_install(OTP_HOOK_HEAP, live_max))
        snprintf(settings->heap_failure, sizeof(settings->heap_failure), "%s", otp_error_text());
    if ((settings->options.profiles & OTELPROF_LOCK) && otp_hooks_install(OTP_HOOK_LOCK, 0))
        snprintf(settings->lock_failure, sizeof(settings->lock_failure), "%s", otp_error_text());
}

static int launch(struct otp_settings *settings) {
    static const struct otp_follow_calls calls = {forked_child, child_follows, start_child};
    int result = otp_fork_guard_arm();
    if (!result)
        result = otp_follow_register(&calls);
    if (!result)
        result = otp_attribute_keys_allow(settings->attributes_allow);
    /* The loader's lock is taken here, on the caller's thread, and never again. */
    const struct otp_network *network = NULL;
    if (!result && settings->to_network)
        result = otp_network_object_load(&network);
    if (!result)
        result = otp_identity_marker_set();
    if (result) {
        otp_settings_free(settings);
        return result;
    }
    install_hooks(settings);
    if (settings->options.profiles & OTELPROF_THREADS)
        otp_futex_lock_find_functions();
    remember(settings);
    set_state(OTELPROF_STATE_STARTING);
    find_stack_overhead();
    const struct otp_profiler_options options = {*settings, dlsym(RTLD_DEFAULT, "__cxa_demangle"), network, set_state};
    struct otp_profiler *profiler = NULL;
    result = otp_profiler_start(&profiler, &options);
    if (result) {
        otp_identity_marker_clear();
        otp_hooks_remove(UINT32_MAX);
    }
    pthread_mutex_lock(&self.lock);
    self.profiler = profiler;
    pthread_mutex_unlock(&self.lock);
    return result;
}

/* Waits for the start, and puts everything back if it failed. */
static int finish_start(uint64_t timeout_ms) {
    int result = otp_profiler_wait_started(self.profiler, deadline_after(timeout_ms));
    if (!result || result == OTELPROF_E_TIMEOUT)
        return result;
    struct otelprof_stats stats;
    char sentence[256];
    snprintf(sentence, sizeof(sentence), "%s", otp_error_text());
    otp_profiler_stop(take_away(), deadline_after(1000), &stats);
    otp_identity_marker_clear();
    otp_hooks_remove(UINT32_MAX);
    return otp_error(result, "%s", sentence);
}

/* The profiler of a start that failed after its init had given up waiting. */
static void sweep_failed_start(void) {
    struct otelprof_stats stats;
    if (self.profiler && otelprof_state() == OTELPROF_STATE_OFF) {
        otp_profiler_stop(take_away(), deadline_after(1000), &stats);
        otp_identity_marker_clear();
        otp_hooks_remove(UINT32_MAX);
    }
}

/* Starts with settings that are complete; they are ours from now on. */
static int start(struct otp_settings *settings) {
    uint64_t timeout_ms = (uint64_t)settings->options.start_timeout_ms;
    struct otp_settings shown = *settings; /* its strings are the profiler's, and live as long as it */
    set_logger(settings);
    for (char *line = settings->warnings, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        otp_log(OTELPROF_LOG_WARN, "%s", line);
    }
    int result = check_wanted(settings);
    if (result)
        otp_settings_free(settings);
    else
        result = launch(settings);
    if (!result)
        result = finish_start(timeout_ms);
    if (result && result != OTELPROF_E_TIMEOUT)
        return failed(result);
    remember_end(0, "");
    if (!result)
        say_started(&shown);
    return result;
}

static int init_by(int (*make)(struct otp_settings *settings, const void *from), const void *from) {
    int saved = errno;
    if (otp_fork_word && !otp_fork_guard_mine())
        become_child();
    if (pthread_mutex_trylock(&self.busy)) {
        errno = saved;
        return otp_error(OTELPROF_E_BUSY, "another thread is starting or stopping the profiler");
    }
    int result;
    struct otp_settings settings;
    sweep_failed_start();
    if (self.profiler)
        result = otp_error(OTELPROF_E_ALREADY, "already running");
    else if (!(result = make(&settings, from)))
        result = start(&settings);
    pthread_mutex_unlock(&self.busy);
    errno = saved;
    return result;
}

static int make_settings(struct otp_settings *settings, const void *options) {
    return otp_settings_make(settings, options);
}

int otelprof_init(const struct otelprof_options *options) { return init_by(make_settings, options); }

int otelprof_wait_ready(uint32_t timeout_ms) {
    int saved = errno;
    struct otp_profiler *profiler = use();
    int result;
    if (profiler) {
        result = otp_profiler_wait_started(profiler, deadline_after(timeout_ms));
        done_using();
    } else {
        bool child = otp_fork_word && !otp_fork_guard_mine();
        char sentence[sizeof(self.failure)];
        int error = child ? 0 : last_failure(sentence, sizeof(sentence));
        result = error ? otp_error(error, "%s", sentence) : otp_error(OTELPROF_E_STATE, "not started");
    }
    errno = saved;
    return result;
}

/* ------------------------------------------------------------------------------------------------- stop */

int otelprof_shutdown(uint32_t timeout_ms) {
    int saved = errno;
    uint64_t deadline = deadline_after(timeout_ms);
    if (!use())
        return otp_error(OTELPROF_E_STATE, "not running");
    done_using();
    if (pthread_mutex_trylock(&self.busy)) {
        errno = saved;
        return otp_error(OTELPROF_E_BUSY, "another thread is starting or stopping the profiler");
    }
    struct otp_profiler *profiler = take_away();
    int result = OTELPROF_E_STATE;
    if (!profiler)
        otp_error(result, "not running");
    if (profiler) {
        struct otelprof_stats stats;
        result = otp_profiler_stop(profiler, deadline, &stats);
        pthread_mutex_lock(&self.lock);
        otp_statistics_add(&self.ended, &stats);
        stats = self.ended;
        pthread_mutex_unlock(&self.lock);
        otp_identity_marker_clear();
        set_state(OTELPROF_STATE_STOPPED);
        otp_log(OTELPROF_LOG_INFO, "otelprof: stopped, %llu of %llu samples exported",
                (unsigned long long)stats.samples_exported, (unsigned long long)stats.samples_fired);
    }
    pthread_mutex_unlock(&self.busy);
    errno = saved;
    return result;
}

int otelprof_flush(uint32_t timeout_ms) {
    int saved = errno;
    struct otp_profiler *profiler = use();
    int result = OTELPROF_E_STATE;
    if (!profiler)
        otp_error(result, "not running");
    if (profiler) {
        result = otp_profiler_flush(profiler, deadline_after(timeout_ms));
        done_using();
    }
    errno = saved;
    return result;
}

static int switch_types(uint32_t on, uint32_t off) {
    int saved = errno;
    if (((on | off) & ~OTP_PROFILES_KNOWN) || !(on | off))
        return otp_error(OTELPROF_E_INVALID, "this release takes profile types 0x%x only", OTP_PROFILES_KNOWN);
    struct otp_profiler *profiler = use();
    int result = OTELPROF_E_STATE;
    if (!profiler)
        otp_error(result, "not running");
    if (profiler) {
        result = otp_profiler_switch(profiler, on, off, deadline_after(SWITCH_MS));
        done_using();
    }
    errno = saved;
    return result;
}

static uint32_t hook_types(uint32_t mask) {
    return (mask & OTELPROF_HEAP ? OTP_HOOK_HEAP : 0u) | (mask & OTELPROF_LOCK ? OTP_HOOK_LOCK : 0u);
}

/* Words lead to the hooks before the profiler thread has them at work. */
int otelprof_enable(uint32_t mask) {
    int saved = errno;
    int result = 0;
    if (mask & OTELPROF_THREADS)
        otp_futex_lock_find_functions();
    if (hook_types(mask) && use()) {
        result = otp_hooks_install(hook_types(mask), self.kept ? (uint32_t)self.kept->options.heap_live_max : 0);
        done_using();
    }
    errno = saved;
    return result ? result : switch_types(mask, 0);
}

int otelprof_disable(uint32_t mask) {
    int result = switch_types(0, mask);
    int saved = errno;
    if (!result && hook_types(mask))
        otp_hooks_remove(hook_types(mask));
    errno = saved;
    return result;
}

int otelprof_heap_interval(uint64_t bytes) {
    if (!bytes || bytes > (uint64_t)1 << 40)
        return otp_error(OTELPROF_E_INVALID, "a heap interval of %llu bytes is outside 1 to 2^40",
                         (unsigned long long)bytes);
    if (!use())
        return otp_error(OTELPROF_E_STATE, "not running");
    bool on = otp_heap_is_on();
    if (on)
        otp_heap_set_interval(bytes);
    done_using();
    return on ? 0 : otp_error(OTELPROF_E_STATE, "the heap profile is not on");
}

int otelprof_lock_interval(uint64_t nanoseconds) {
    if (!nanoseconds || nanoseconds > (uint64_t)1 << 40)
        return otp_error(OTELPROF_E_INVALID, "a lock interval of %llu ns is outside 1 to 2^40",
                         (unsigned long long)nanoseconds);
    if (!use())
        return otp_error(OTELPROF_E_STATE, "not running");
    bool on = otp_locks_are_on();
    for (int i = 0; on && i < OTP_WAIT_CLASSES; i++)
        otp_locks_set_interval((enum otp_wait_class)i, nanoseconds);
    done_using();
    return on ? 0 : otp_error(OTELPROF_E_STATE, "the lock profile is not on");
}

int otelprof_lock_name(const volatile void *lock, const char *name) {
    if (!lock)
        return otp_error(OTELPROF_E_INVALID, "a lock has no address");
    return otp_lock_names_set((uintptr_t)lock, name)
               ? 0
               : otp_error(OTELPROF_E_LIMIT, "%d locks have names already", OTP_LOCK_NAMES_MAX);
}

/* ---------------------------------------------------------------------------------------------- observe */

/* The sums of the runs that are over. Takes no lock in a child, where another thread of the parent may hold it. */
static struct otelprof_stats ended(void) {
    struct otelprof_stats sum;
    bool mine = otp_fork_guard_mine();
    if (!mine && otp_fork_word)
        return (struct otelprof_stats){.size = 0};
    pthread_mutex_lock(&self.lock);
    sum = self.ended;
    pthread_mutex_unlock(&self.lock);
    return sum;
}

/* These change on threads of the host. */
static void add_words(struct otelprof_stats *stats) {
    struct otp_patch_counts words;
    otp_patch_counts(&words);
    stats->hook_words = words.words;
    stats->hook_words_failed = words.failed;
    stats->hook_words_foreign = words.foreign;
}

int otelprof_stats(struct otelprof_stats *stats) {
    if (!stats || stats->size < sizeof(stats->size) || stats->size > 65536)
        return otp_error(OTELPROF_E_INVALID, "stats.size must be sizeof(struct otelprof_stats)");
    size_t size = stats->size;
    struct otelprof_stats sum = ended();
    struct otp_profiler *profiler = use();
    if (profiler) {
        struct otelprof_stats run;
        memset(&run, 0, sizeof(run));
        otp_profiler_stats(profiler, &run);
        done_using();
        otp_statistics_add(&sum, &run);
    }
    add_words(&sum);
    memset(stats, 0, size);
    memcpy(stats, &sum, size < sizeof(sum) ? size : sizeof(sum));
    stats->size = size;
    return 0;
}

static const char *state_name(enum otelprof_state state) {
    static const char *const names[] = {"off", "starting", "running", "degraded", "stopped"};
    return names[state];
}

size_t otelprof_diagnose(char *text, size_t size) {
    char whole[3072], detail[1024] = "";
    int error;
    enum otelprof_state state = otelprof_state();
    bool on = state == OTELPROF_STATE_RUNNING || state == OTELPROF_STATE_DEGRADED;
    int length = snprintf(whole, sizeof(whole), "state: %s\nrung: %s\n", state_name(state), on ? "ebpf" : "off");
    struct otp_profiler *profiler = use();
    if (profiler) {
        otp_profiler_notes(profiler, detail, sizeof(detail));
        int late = state == OTELPROF_STATE_OFF ? otp_profiler_wait_started(profiler, 0) : 0;
        done_using();
        if (late && late != OTELPROF_E_TIMEOUT) { /* failed after otelprof_init() had given up waiting */
            otp_diagnosis_explain(late, detail, whole + length, sizeof(whole) - (size_t)length);
            length = (int)strlen(whole);
        } else if (*detail)
            length += snprintf(whole + length, sizeof(whole) - (size_t)length, "degraded: %s", detail);
    } else if (otp_fork_word && !otp_fork_guard_mine()) {
        length += snprintf(whole + length, sizeof(whole) - (size_t)length,
                           "reason: a forked child is off until it calls otelprof_init() itself\n"
                           "remedy: call it, or set OTELPROF_FORK=follow\n");
    } else if ((error = last_failure(detail, sizeof(detail)))) {
        otp_diagnosis_explain(error, detail, whole + length, sizeof(whole) - (size_t)length);
        length = (int)strlen(whole);
    } else if (state == OTELPROF_STATE_OFF) {
        length += snprintf(whole + length, sizeof(whole) - (size_t)length, "reason: otelprof_init() was not called\n");
    }
    if (size)
        snprintf(text, size, "%s", whole);
    return (size_t)length;
}
