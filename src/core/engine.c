// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "capture/capture.h"
#include "context/attribute_keys.h"
#include "context/process_context.h"
#include "core/intake.h"
#include "core/kernel_mapping.h"
#include "core/resource.h"
#include "core/seccomp.h"
#include "core/settings.h"
#include "core/statistics.h"
#include "export/callback.h"
#include "export/file.h"
#include "export/worker.h"
#include "profile/counters.h"

#define DRAIN_MS 200         /* how long records may lie in the ring */
#define RESCAN_FIRST_MS 100  /* between two scans for an unknown address that stays unknown: doubles ... */
#define RESCAN_LAST_MS 10000 /* ... up to this */
#define ROWS_SPARE 65536u    /* rows reserved beyond twice what is there at the start */
#define PAGES_SPARE 4096u
#define KEPT_GENERATIONS 64u /* modules gone longer than this are forgotten */
#define NANOS_PER_MS 1000000u

/* Parts of the memory limit: the window being filled, the windows queued, the encoder, names. */
#define WINDOW_SHARE 8
#define ENCODER_SHARE 2
#define SYMBOLS_SHARE 4

struct otp_engine {
    const struct otp_settings *settings;
    void *demangle;

    struct otp_modules *modules;
    struct otp_tables *tables;
    struct otp_capture *capture;
    struct otp_resource_set *resource;
    struct otp_symbols *symbols;
    struct otp_worker *worker;
    struct otp_kernel_mapping kernel;
    struct otp_intake intake;

    bool sampling;
    bool quitting;
    bool context_on;
    sem_t export_up;                  /* posted when the export thread has called export_thread_started() */
    unsigned filters;                 /* seccomp filters at the start */
    bool filtered;                    /* more of them now: no bpf(2) or perf_event_open(2) any more */
    bool growth_failed;               /* do not try again */
    int64_t monotonic_minus_clock_ns; /* CLOCK_MONOTONIC here less the programs' clock: apart in a time namespace */
    uint64_t window_end_ns;           /* CLOCK_MONOTONIC: when the window is due */
    uint64_t rescan_not_before_ns;
    uint64_t rescan_wait_ms;
    uint64_t random; /* state of the jitter */

    uint64_t cpu_seen_ns;           /* CPU time of the process, own threads less, at the last look */
    struct otelprof_stats live;     /* counters of the programs and of finished windows */
    struct otelprof_stats reported; /* what went out with windows */

    pthread_mutex_t lock; /* for what follows: other threads read it */
    struct otelprof_stats shown;
    char notes[512];
    bool degraded;
};

/* ------------------------------------------------------------------------------------------------- notes */

static void degrade(struct otp_engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Something that was asked for is not possible: said once in the log, kept for otelprof_diagnose(). */
static void degrade(struct otp_engine *engine, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&engine->lock);
    size_t length = strlen(engine->notes);
    bool known = strstr(engine->notes, text) != NULL;
    if (!known)
        snprintf(engine->notes + length, sizeof(engine->notes) - length, "%s\n", text);
    engine->degraded = true;
    pthread_mutex_unlock(&engine->lock);
    if (!known)
        otp_log(OTELPROF_LOG_WARN, "otelprof: %s", text);
}

bool otp_engine_degraded(const struct otp_engine *engine) { return engine->degraded; }

void otp_engine_notes(struct otp_engine *engine, char *text, size_t size) {
    pthread_mutex_lock(&engine->lock);
    snprintf(text, size, "%s", engine->notes);
    pthread_mutex_unlock(&engine->lock);
}

/* ------------------------------------------------------------------------------------------------- clocks */

/* Mid of a bracket of the one clock around a look at the other. */
static int64_t apart(clockid_t outer, clockid_t inner) {
    uint64_t before = otp_clock_ns(outer);
    uint64_t at = otp_clock_ns(inner);
    uint64_t after = otp_clock_ns(outer);
    return (int64_t)(at - (before + (after - before) / 2));
}

/* Adds to a record's time to make it unix time. */
static int64_t unix_minus_clock(const struct otp_engine *engine) {
    return apart(CLOCK_MONOTONIC, CLOCK_REALTIME) + engine->monotonic_minus_clock_ns;
}

static uint64_t process_cpu_without_own(const struct otp_engine *engine) {
    struct otelprof_stats worker = {.size = sizeof(worker)};
    if (engine->worker)
        otp_worker_stats(engine->worker, &worker);
    uint64_t all = otp_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t own = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID) + worker.own_cpu_ns;
    return all > own ? all - own : 0;
}

/* What the programs should have seen since the last look. */
static void count_expected(struct otp_engine *engine) {
    uint64_t now = process_cpu_without_own(engine);
    if (engine->sampling && now > engine->cpu_seen_ns)
        engine->live.samples_expected +=
            (now - engine->cpu_seen_ns) * (uint64_t)engine->settings->options.rate_hz / 1000000000u;
    /* What is less than one sample stays for the next look. */
    uint64_t interval = 1000000000u / (uint64_t)engine->settings->options.rate_hz;
    engine->cpu_seen_ns = engine->sampling ? now - (now - engine->cpu_seen_ns) % interval : now;
}

/* ----------------------------------------------------------------------------------------------- counters */

/* Makes the counters of this moment visible to other threads. */
static void show_counters(struct otp_engine *engine) {
    struct otelprof_stats stats = engine->live;
    if (engine->capture) {
        struct otp_cpu_counters counters;
        otp_capture_counters(engine->capture, &counters);
        otp_statistics_from_programs(&stats, &counters);
        stats.kernel_memory_bytes = otp_capture_kernel_bytes(engine->capture);
        stats.table_builds = otp_capture_sets(engine->capture);
        engine->live = stats; /* they stay when the capture goes */
    }
    stats.lost_decode += engine->intake.lost_decode;
    stats.lost_memory += engine->intake.lost_memory;
    if (engine->intake.window) {
        const struct otp_window_counts *counts = otp_window_counts(engine->intake.window);
        stats.lost_memory += counts->lost_memory;
        stats.detail_lowered += counts->detail_lowered;
        stats.stacks_cut += counts->stacks_cut;
    }
    if (engine->tables) {
        struct otp_tables_stats tables;
        otp_tables_stats(engine->tables, &tables);
        stats.modules_known = otp_modules_count(engine->modules);
        stats.modules_uncovered = tables.modules_uncovered;
        stats.table_rows = tables.rows;
        stats.table_rows_capacity = tables.row_capacity;
    }
    stats.own_cpu_ns = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    otp_context_stats(&stats);
    pthread_mutex_lock(&engine->lock);
    engine->shown = stats;
    pthread_mutex_unlock(&engine->lock);
}

void otp_engine_stats(struct otp_engine *engine, struct otelprof_stats *stats) {
    pthread_mutex_lock(&engine->lock);
    *stats = engine->shown;
    struct otp_worker *worker = engine->worker;
    pthread_mutex_unlock(&engine->lock);
    stats->size = sizeof(*stats);
    if (worker)
        otp_worker_stats(worker, stats);
}

/* ------------------------------------------------------------------------------------------------ windows */

static const char *key_name(void *user, unsigned key) {
    (void)user;
    return otp_attribute_key_name(key);
}

/* A length within 10 % of the one asked for, so that many processes do not send in step. */
static uint64_t jittered_window_ms(struct otp_engine *engine) {
    uint64_t length = (uint64_t)engine->settings->options.window_ms;
    engine->random = engine->random * 6364136223846793005u + 1442695040888963407u;
    return length - length / 10 + (engine->random >> 33) % (length / 5 + 1);
}

static void open_window(struct otp_engine *engine) {
    const struct otelprof_options *options = &engine->settings->options;
    const struct otp_window_config config = {
        .memory_limit_bytes = (size_t)options->memory_limit_bytes / WINDOW_SHARE,
        .detail = (enum otelprof_detail)options->detail,
        .period = {[OTP_PROFILE_CPU] = 1000000000u / (uint64_t)options->rate_hz},
        .rung = "ebpf",
        .key_name = key_name,
    };
    uint64_t now = otp_clock_ns(CLOCK_REALTIME);
    engine->intake.unix_minus_clock_ns = unix_minus_clock(engine);
    engine->intake.window_start_ns = now;
    engine->intake.window = otp_window_new(&config, now);
    engine->window_end_ns = otp_clock_ns(CLOCK_MONOTONIC) + jittered_window_ms(engine) * NANOS_PER_MS;
}

/* Hands the window over, with how far each counter went since the last one. */
static void close_window(struct otp_engine *engine) {
    struct otp_window *window = engine->intake.window;
    count_expected(engine);
    engine->live.windows_made += window != NULL;
    show_counters(engine);
    if (!window)
        return;
    struct otelprof_stats delta;
    otp_counters_delta(&delta, &engine->shown, &engine->reported);
    engine->reported = engine->shown;
    const struct otp_window_counts *counts = otp_window_counts(window);
    engine->live.lost_memory += counts->lost_memory;
    engine->live.detail_lowered += counts->detail_lowered;
    engine->live.stacks_cut += counts->stacks_cut;
    engine->intake.window = NULL;
    otp_window_close(window, otp_clock_ns(CLOCK_REALTIME), &delta);
    otp_worker_put(engine->worker, window);
}

/* ---------------------------------------------------------------------------------------- modules and tables */

/* True while bpf(2) and perf_event_open(2) may be called: no filter came since the start. */
static bool may_call_kernel(struct otp_engine *engine) {
    if (!engine->filtered && otp_seccomp_filters() > engine->filters) {
        engine->filtered = true;
        degrade(engine, "a seccomp filter was installed after the start: unwind tables no longer grow, CPUs that come "
                        "online are not sampled");
    }
    return !engine->filtered;
}

/* A second set of kernel tables, twice as large as what is needed now; sampling goes on while it is loaded. */
static int grow_tables(struct otp_engine *engine) {
    struct otp_tables_memory memory;
    size_t rows, pages;
    otp_tables_needs(engine->tables, &rows, &pages);
    int result = otp_capture_grow(engine->capture, rows * 2 + ROWS_SPARE, pages * 2 + PAGES_SPARE, &memory);
    if (result)
        return result;
    if (engine->sampling)
        result = otp_capture_disable(engine->capture);
    if (!result)
        result = otp_tables_bind(engine->tables, &memory);
    if (!result)
        result = otp_tables_publish(engine->tables, engine->modules);
    if (!result)
        result = otp_capture_switch(engine->capture);
    if (!result && engine->sampling)
        result = otp_capture_enable(engine->capture);
    otp_capture_grow_abandon(engine->capture);
    return result;
}

static void publish(struct otp_engine *engine) {
    if (otp_tables_build(engine->tables, engine->modules))
        degrade(engine, "out of memory for unwind tables");
    if (otp_tables_publish(engine->tables, engine->modules) != OTELPROF_E_LIMIT || engine->growth_failed ||
        !may_call_kernel(engine))
        return;
    if (grow_tables(engine)) {
        engine->growth_failed = true;
        degrade(engine, "unwind tables could not be made larger (%s): newly loaded modules are not covered",
                otp_error_text());
    }
}

/* Looks for modules that came or went. True if the tables are new. */
static bool rescan(struct otp_engine *engine) {
    uint32_t generation = otp_tables_generation(engine->tables);
    bool changed = false;
    if (otp_modules_scan(engine->modules, generation + 1, &changed)) {
        degrade(engine, "modules cannot be listed (%s): stacks end with \"module unknown\"", otp_error_text());
        return false;
    }
    if (changed)
        publish(engine);
    if (generation > KEPT_GENERATIONS)
        otp_modules_forget(engine->modules, generation - KEPT_GENERATIONS);
    return changed;
}

/* A program met an address that no module covers. Patience grows while looking does not help (JIT code unmapped). */
static void rescan_if_wanted(struct otp_engine *engine) {
    struct otp_control *control = otp_capture_control(engine->capture);
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    if (!control->rescan_wanted || now < engine->rescan_not_before_ns)
        return;
    if (rescan(engine)) {
        engine->rescan_wait_ms = RESCAN_FIRST_MS;
        engine->rescan_not_before_ns = 0;
    } else {
        engine->rescan_not_before_ns = now + engine->rescan_wait_ms * NANOS_PER_MS;
        engine->rescan_wait_ms =
            engine->rescan_wait_ms * 2 > RESCAN_LAST_MS ? RESCAN_LAST_MS : engine->rescan_wait_ms * 2;
        /* The wish stays up, so that programs wake nobody until the wait is over. */
        return;
    }
    control->rescan_wanted = 0;
}

/* After the wait of a rescan that did not help, programs may ask again. */
static void rearm_rescan(struct otp_engine *engine) {
    struct otp_control *control = otp_capture_control(engine->capture);
    if (control->rescan_wanted && engine->rescan_not_before_ns &&
        otp_clock_ns(CLOCK_MONOTONIC) >= engine->rescan_not_before_ns) {
        control->rescan_wanted = 0;
        engine->rescan_not_before_ns = 0;
    }
}

/* ------------------------------------------------------------------------------------------------- working */

static void take_record(void *user, const void *record, size_t size) { otp_intake_record(user, record, size); }

static void drain(struct otp_engine *engine) {
    rescan_if_wanted(engine);
    otp_capture_drain(engine->capture, take_record, &engine->intake);
    rearm_rescan(engine);
}

/* Once a window: what changes slowly. */
static void look_after_things(struct otp_engine *engine) {
    rescan(engine);
    otp_context_sweep();
    if (engine->settings->options.publish_context)
        otp_process_context_refresh();
    if (!may_call_kernel(engine))
        return;
    if (!otp_capture_intact(engine->capture))
        degrade(engine, "somebody closed descriptors of the profiler: sampling has stopped on some or all CPUs");
    else if (otp_capture_follow_cpus(engine->capture))
        degrade(engine, "a CPU that came online is not sampled: %s", otp_error_text());
}

void otp_engine_end_window(struct otp_engine *engine) {
    drain(engine);
    close_window(engine);
    open_window(engine);
}

void otp_engine_work(struct otp_engine *engine) {
    drain(engine);
    if (otp_clock_ns(CLOCK_MONOTONIC) >= engine->window_end_ns) {
        look_after_things(engine);
        otp_engine_end_window(engine);
    } else {
        count_expected(engine);
        show_counters(engine);
    }
}

int otp_engine_wake_fd(const struct otp_engine *engine) { return otp_capture_wake_fd(engine->capture); }

uint32_t otp_engine_patience_ms(const struct otp_engine *engine) {
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    uint64_t left = engine->window_end_ns > now ? (engine->window_end_ns - now) / NANOS_PER_MS + 1 : 0;
    return left < DRAIN_MS ? (uint32_t)left : DRAIN_MS;
}

int otp_engine_switch(struct otp_engine *engine, uint32_t types) {
    bool wanted = (types & OTELPROF_CPU) != 0;
    if (wanted == engine->sampling)
        return 0;
    count_expected(engine);
    int result = wanted ? otp_capture_enable(engine->capture) : otp_capture_disable(engine->capture);
    if (!result)
        engine->sampling = wanted;
    drain(engine);
    count_expected(engine);
    show_counters(engine);
    return result;
}

/* ------------------------------------------------------------------------------------------ starting, ending */

struct otp_engine *otp_engine_new(const struct otp_settings *settings, void *demangle) {
    struct otp_engine *engine = otp_sys.calloc(1, sizeof(*engine));
    if (!engine)
        return NULL;
    engine->settings = settings;
    engine->demangle = demangle;
    engine->rescan_wait_ms = RESCAN_FIRST_MS;
    pthread_mutex_init(&engine->lock, NULL);
    sem_init(&engine->export_up, 0, 0);
    return engine;
}

void otp_engine_free(struct otp_engine *engine) {
    if (!engine)
        return;
    otp_symbols_free(engine->symbols);
    otp_resource_set_free(engine->resource);
    sem_destroy(&engine->export_up);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

static int start_tables(struct otp_engine *engine, struct otp_capture_options *options) {
    bool changed;
    engine->modules = otp_modules_new();
    engine->tables = otp_tables_new();
    if (!engine->modules || !engine->tables)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for the list of modules");
    engine->intake.modules = engine->modules;
    if (otp_modules_scan(engine->modules, 1, &changed))
        degrade(engine, "modules cannot be listed (%s): stacks end with \"module unknown\"", otp_error_text());
    if (otp_tables_build(engine->tables, engine->modules))
        degrade(engine, "out of memory for unwind tables");
    otp_tables_needs(engine->tables, &options->rows, &options->pages);
    options->rows = options->rows * 2 + ROWS_SPARE;
    options->pages = options->pages * 2 + PAGES_SPARE;
    return 0;
}

static int start_capture(struct otp_engine *engine) {
    const struct otelprof_options *wanted = &engine->settings->options;
    struct otp_capture_options options = {
        .rate_hz = (unsigned)wanted->rate_hz,
        .slots = (uint32_t)wanted->max_threads,
        .kernel_frames = wanted->kernel_frames != 0,
        .ring_bytes = (uint32_t)wanted->ring_bytes,
    };
    int result = start_tables(engine, &options);
    if (!result)
        result = otp_capture_open(&engine->capture, &options);
    if (result)
        return result;
    struct otp_tables_memory memory;
    otp_capture_tables_memory(engine->capture, &memory);
    if (!result)
        result = otp_tables_bind(engine->tables, &memory);
    if (!result)
        result = otp_tables_publish(engine->tables, engine->modules);
    if (result == OTELPROF_E_LIMIT)
        result = 0; /* more segments than a directory holds: counted, uncovered */
    struct otp_identity identity;
    uint64_t before = otp_clock_ns(CLOCK_MONOTONIC);
    if (!result)
        result = otp_capture_own_thread(engine->capture, &identity);
    uint64_t after = otp_clock_ns(CLOCK_MONOTONIC);
    if (!result)
        engine->monotonic_minus_clock_ns = (int64_t)(before + (after - before) / 2 - identity.clock_ns);
    return result;
}

/* On the export thread: it is one of ours. */
static void export_thread_started(void *user) {
    struct otp_engine *engine = user;
    if (otp_capture_own_thread(engine->capture, NULL))
        otp_log(OTELPROF_LOG_WARN, "otelprof: the export thread is left out by its name only: %s", otp_error_text());
    sem_post(&engine->export_up);
}

static int make_exporter(struct otp_engine *engine, struct otp_exporter **exporter) {
    const struct otelprof_options *options = &engine->settings->options;
    if (options->export_bytes)
        return otp_callback_exporter_new(options->export_bytes, options->export_user, exporter);
    const struct otp_file_options file = {
        .directory = options->output_dir,
        .max_bytes = (uint64_t)options->output_max_bytes,
        .max_files = (uint32_t)options->output_max_files,
        .pid = (uint32_t)getpid(),
        .start_unix_ms = otp_clock_ns(CLOCK_REALTIME) / NANOS_PER_MS,
    };
    return otp_file_exporter_new(&file, exporter);
}

static int start_export(struct otp_engine *engine) {
    const struct otelprof_options *options = &engine->settings->options;
    struct otp_exporter *exporter = NULL;
    engine->resource = otp_resource_set_new(engine->settings);
    const struct otp_symbols_options symbols = {
        .memory_limit_bytes = (size_t)options->memory_limit_bytes / SYMBOLS_SHARE,
        .dwarf_limit_bytes = (size_t)options->memory_limit_bytes,
        .demangle = (otp_demangle_fn)engine->demangle,
    };
    engine->symbols = otp_symbols_new(&symbols);
    if (!engine->resource || !engine->symbols)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for the exporter");
    int result = make_exporter(engine, &exporter);
    if (result)
        return result;
    const struct otp_worker_config config = {
        .exporter = exporter,
        .resource = otp_resource_set_get(engine->resource),
        .symbolizer = otp_symbolizer_of(engine->symbols),
        .queue_bytes = (size_t)options->memory_limit_bytes / WINDOW_SHARE,
        .options = {.memory_bytes = (size_t)options->memory_limit_bytes / ENCODER_SHARE},
        .on_start = export_thread_started,
        .user = engine,
    };
    struct otp_worker *worker = NULL;
    result = otp_worker_start(&config, &worker);
    pthread_mutex_lock(&engine->lock);
    engine->worker = worker;
    pthread_mutex_unlock(&engine->lock);
    return result;
}

static int start_context(struct otp_engine *engine) {
    struct otp_context_memory memory;
    if (engine->settings->options.publish_context && otp_resource_set_publish(engine->resource))
        otp_log(OTELPROF_LOG_INFO, "otelprof: process context not published: %s", otp_error_text());
    otp_capture_context_memory(engine->capture, &memory);
    int result = otp_context_start(&memory);
    engine->context_on = !result;
    return result;
}

int otp_engine_start(struct otp_engine *engine) {
    engine->filters = otp_seccomp_filters();
    engine->random = otp_clock_ns(CLOCK_REALTIME) ^ (uint64_t)getpid() << 32;
    otp_kernel_mapping_read(&engine->kernel);
    engine->intake.kernel = &engine->kernel.mapping;
    int result = start_capture(engine);
    if (!result)
        result = start_export(engine);
    if (!result)
        result = otp_capture_attach(engine->capture);
    if (!result)
        result = otp_capture_self_check(engine->capture);
    if (!result)
        result = start_context(engine);
    if (result)
        return result;
    open_window(engine);
    engine->cpu_seen_ns = process_cpu_without_own(engine);
    if (engine->settings->options.profiles & OTELPROF_CPU)
        result = otp_capture_enable(engine->capture);
    engine->sampling = !result && (engine->settings->options.profiles & OTELPROF_CPU);
    show_counters(engine);
    return result;
}

void otp_engine_quit(struct otp_engine *engine) {
    if (engine->context_on)
        otp_context_stop();
    if (engine->settings->options.publish_context)
        otp_process_context_withdraw();
    if (engine->capture) {
        if (engine->sampling && otp_capture_disable(engine->capture))
            otp_log(OTELPROF_LOG_DEBUG, "otelprof: %s", otp_error_text());
        count_expected(engine);
        engine->sampling = false;
        drain(engine);
    }
    if (engine->worker)
        close_window(engine);
    show_counters(engine);
    /* The export thread begins by a look at the capture. */
    while (engine->worker && sem_wait(&engine->export_up) && errno == EINTR)
        ;
    otp_capture_close(engine->capture);
    engine->capture = NULL;
    otp_window_free(engine->intake.window);
    engine->intake.window = NULL;
    otp_tables_free(engine->tables);
    otp_modules_free(engine->modules);
    engine->tables = NULL;
    engine->modules = NULL;
}

int otp_engine_wait_exported(struct otp_engine *engine, uint64_t deadline_ns) {
    return otp_worker_flush(engine->worker, deadline_ns);
}

int otp_engine_stop_worker(struct otp_engine *engine, uint64_t deadline_ns, struct otelprof_stats *stats) {
    pthread_mutex_lock(&engine->lock);
    *stats = engine->shown;
    struct otp_worker *worker = engine->worker;
    engine->worker = NULL;
    pthread_mutex_unlock(&engine->lock);
    stats->size = sizeof(*stats);
    return worker ? otp_worker_stop(worker, deadline_ns, stats) : 0;
}

void otp_engine_forked_child(struct otp_engine *engine) {
    if (engine->worker)
        otp_worker_forked_child(engine->worker);
    otp_capture_forked_child(engine->capture);
}
