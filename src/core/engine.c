// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sys.h"
#include "capture/capture.h"
#include "context/attribute_keys.h"
#include "context/process_context.h"
#include "core/account.h"
#include "core/heap_keeper.h"
#include "core/intake.h"
#include "core/kernel_mapping.h"
#include "core/lock_keeper.h"
#include "core/notes.h"
#include "core/output.h"
#include "core/resource.h"
#include "core/seccomp.h"
#include "core/settings.h"
#include "core/stack_watch.h"
#include "core/table_keeper.h"
#include "core/thread_keeper.h"
#include "export/worker.h"
#include "hooks/hook_ring.h"
#include "record.h"

#define DRAIN_MS 200     /* how long records may lie in the ring */
#define DRAIN_SOON_MS 10 /* the same for a second after hooks had much to say */
#define NANOS_PER_S 1000000000u
#define MANY_HOOK_RECORDS 64 /* at a time */
#define NANOS_PER_MS 1000000u

/*
 * Parts of the memory limit: an eighth for the window being filled and one for those queued, a quarter for names, and
 * the rest for the encoder (7 sixteenths) and the compressed form of one request (one).
 */
#define WINDOW_SHARE 8
#define SYMBOLS_SHARE 4
#define NETWORK_SHARE 16
#define ENCODER_SHARES 7 /* of NETWORK_SHARE */

struct otp_engine {
    const struct otp_settings *settings;
    void *demangle;
    const struct otp_network *network;

    struct otp_table_keeper keeper;
    struct otp_capture *capture;
    struct otp_resource_set *resource;
    struct otp_symbols *symbols;
    struct otp_worker *worker;
    struct otp_kernel_mapping kernel;
    struct otp_intake intake;
    struct otp_heap_keeper heap;
    struct otp_lock_keeper locks;
    struct otp_thread_keeper threads;
    struct otp_stack_watch stacks;
    struct otp_account account;
    struct otp_notes notes;

    bool sampling; /* the clock events are on */
    bool cpu_on;   /* and for the CPU profile too */
    bool context_on;
    sem_t export_up;                  /* posted when the export thread has called export_thread_started() */
    int64_t monotonic_minus_clock_ns; /* CLOCK_MONOTONIC here less the programs' clock: apart in a time namespace */
    uint64_t window_end_ns;           /* CLOCK_MONOTONIC: when the window is due */
    uint64_t drain_due_ns;            /* CLOCK_MONOTONIC: when records are taken in again */
    unsigned export_filters;          /* seccomp filters of the export thread at its start */
    uint64_t hooks_drained_ns;        /* unix: when the hooks' records were taken in last */
    uint64_t hooks_busy_until_ns;     /* CLOCK_MONOTONIC: a second after there were many records of hooks */
    uint64_t random;                  /* state of the jitter */
};

bool otp_engine_degraded(const struct otp_engine *engine) { return engine->notes.degraded; }

void otp_engine_notes(struct otp_engine *engine, char *text, size_t size) {
    otp_notes_copy(&engine->notes, text, size);
}

void otp_engine_stats(struct otp_engine *engine, struct otelprof_stats *stats) {
    otp_account_stats(&engine->account, stats);
}

static void show_counters(struct otp_engine *engine) {
    otp_account_show(&engine->account, engine->capture, &engine->intake, &engine->keeper, &engine->heap, &engine->locks,
                     &engine->threads);
}

static void count_expected(struct otp_engine *engine) { otp_account_expect(&engine->account, engine->cpu_on); }

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

/* ------------------------------------------------------------------------------------------------ windows */

static const char *key_name(void *user, unsigned key) {
    (void)user;
    return otp_attribute_key_name(key);
}

/* A length within 10 % of the one asked for, so that many processes do not send in step. */
static uint64_t jittered_window_ms(struct otp_engine *engine) {
    uint64_t length = (uint64_t)engine->settings->options.window_ms;
    return length - length / 10 + otp_random(&engine->random) % (length / 5 + 1);
}

static size_t window_limit(const struct otp_engine *engine) {
    return (size_t)engine->settings->options.memory_limit_bytes / WINDOW_SHARE;
}

/* A window that starts at `start_ns`, unix time. */
static void open_window(struct otp_engine *engine, uint64_t start_ns) {
    const struct otelprof_options *options = &engine->settings->options;
    uint64_t interval = otp_heap_keeper_interval(&engine->heap), wait = otp_lock_keeper_interval(&engine->locks);
    const struct otp_window_config config = {
        .memory_limit_bytes = window_limit(engine),
        .detail = (enum otelprof_detail)options->detail,
        .period = {[OTP_PROFILE_CPU] = 1000000000u / (uint64_t)options->rate_hz,
                   [OTP_PROFILE_ALLOC_OBJECTS] = interval,
                   [OTP_PROFILE_ALLOC_SPACE] = interval,
                   [OTP_PROFILE_INUSE_OBJECTS] = interval,
                   [OTP_PROFILE_INUSE_SPACE] = interval,
                   [OTP_PROFILE_BLOCK_CONTENTIONS] = wait,
                   [OTP_PROFILE_BLOCK_DELAY] = wait,
                   [OTP_PROFILE_MUTEX_CONTENTIONS] = wait,
                   [OTP_PROFILE_MUTEX_DELAY] = wait,
                   [OTP_PROFILE_WALL] = NANOS_PER_S / (uint64_t)options->wall_rate_hz,
                   [OTP_PROFILE_THREADS] = 1},
        .rung = "ebpf",
        .key_name = key_name,
    };
    engine->intake.unix_minus_clock_ns = unix_minus_clock(engine);
    engine->intake.window_start_ns = start_ns;
    engine->intake.window = otp_window_new(&config, start_ns);
}

/* A window that starts now, and when it is due. */
static void begin_window(struct otp_engine *engine, uint64_t now) {
    open_window(engine, now);
    engine->window_end_ns = otp_clock_ns(CLOCK_MONOTONIC) + jittered_window_ms(engine) * NANOS_PER_MS;
    otp_thread_keeper_begin_window(&engine->threads);
}

/* Hands the window over, which ends at `end_ns`, with how far each counter went since the last one. */
static void close_window(struct otp_engine *engine, uint64_t end_ns) {
    struct otp_window *window = engine->intake.window;
    otp_thread_keeper_settle(&engine->threads);
    count_expected(engine);
    engine->account.live.windows_made += window != NULL;
    show_counters(engine);
    if (!window)
        return;
    struct otelprof_stats delta;
    otp_account_window(&engine->account, otp_window_counts(window), &delta);
    engine->intake.window = NULL;
    otp_window_close(window, end_ns, &delta);
    otp_worker_put(engine->worker, window);
}

/* ------------------------------------------------------------------------------------------------- working */

/*
 * A window that is half full ends early while the exporter keeps up, so that a busy machine costs shorter windows and
 * not detail. The next one begins where this one ends, at the record taken in last, and is due when this one was.
 */
static void end_full_window(struct otp_engine *engine) {
    size_t size = engine->intake.window ? otp_window_size(engine->intake.window) : 0;
    if (size < window_limit(engine) / 2 || !otp_worker_has_room(engine->worker, size))
        return;
    close_window(engine, engine->intake.last_ns);
    open_window(engine, engine->intake.last_ns);
}

static void take_record(void *user, const void *record, size_t size) {
    struct otp_engine *engine = user;
    otp_intake_record(&engine->intake, record, size);
    end_full_window(engine);
}

static void take_hook_record(void *user, const void *bytes, size_t size) {
    struct otp_engine *engine = user;
    struct otp_record record = {.type = 0};
    memcpy(&record, bytes, size < sizeof(record) ? size : sizeof(record));
    if (record.type == OTP_RECORD_WAIT || record.type == OTP_RECORD_RELEASE)
        otp_lock_keeper_take(&engine->locks, &engine->intake, bytes, size, engine->hooks_drained_ns);
    else
        otp_heap_keeper_take(&engine->heap, &engine->intake, bytes, size, engine->hooks_drained_ns);
}

static void drain_hooks(struct otp_engine *engine) {
    engine->hooks_drained_ns = otp_clock_ns(CLOCK_REALTIME);
    if (otp_hook_ring_drain(take_hook_record, engine) > MANY_HOOK_RECORDS)
        engine->hooks_busy_until_ns = otp_clock_ns(CLOCK_MONOTONIC) + NANOS_PER_S;
    otp_stack_watch_look(&engine->stacks, false);
    otp_heap_keeper_settle(&engine->heap);
    otp_lock_keeper_settle(&engine->locks);
}

static void drain(struct otp_engine *engine) {
    otp_table_keeper_rescan_if_wanted(&engine->keeper, engine->sampling);
    otp_capture_drain(engine->capture, take_record, engine);
    otp_table_keeper_rearm(&engine->keeper);
    drain_hooks(engine);
    end_full_window(engine);
}

/* Once a window: what changes slowly. */
static void look_after_things(struct otp_engine *engine) {
    otp_table_keeper_rescan(&engine->keeper, engine->sampling);
    otp_context_sweep();
    if (engine->settings->options.publish_context)
        otp_process_context_refresh();
    if (!otp_table_keeper_may_call_kernel(&engine->keeper))
        return;
    if (!otp_capture_intact(engine->capture))
        otp_notes_add(&engine->notes,
                      "somebody closed descriptors of the profiler: sampling has stopped on some or all CPUs");
    else if (otp_capture_follow_cpus(engine->capture))
        otp_notes_add(&engine->notes, "a CPU that came online is not sampled: %s", otp_error_text());
}

void otp_engine_end_window(struct otp_engine *engine) {
    otp_thread_keeper_finish(&engine->threads);
    drain(engine);
    uint64_t now = otp_clock_ns(CLOCK_REALTIME);
    otp_stack_watch_look(&engine->stacks, true);
    otp_heap_keeper_show(&engine->heap, &engine->intake, now);
    otp_lock_keeper_end_window(&engine->locks);
    close_window(engine, now);
    begin_window(engine, now);
}

/* The clock events serve the CPU profile, and tell wall time and snapshots of the threads that run. */
static int switch_clock(struct otp_engine *engine, bool cpu) {
    bool wanted = cpu || otp_thread_keeper_is_on(&engine->threads);
    int result = 0;
    count_expected(engine);
    engine->cpu_on = false;
    otp_capture_control(engine->capture)->cpu_off = !cpu;
    if (wanted != engine->sampling)
        result = wanted ? otp_capture_enable(engine->capture) : otp_capture_disable(engine->capture);
    if (!result) {
        engine->sampling = wanted;
        engine->cpu_on = cpu;
    }
    return result;
}

static void plan_drain(struct otp_engine *engine, uint64_t now) {
    uint64_t wait_ms = now < engine->hooks_busy_until_ns ? DRAIN_SOON_MS : DRAIN_MS;
    engine->drain_due_ns = now + wait_ms * NANOS_PER_MS;
}

void otp_engine_work(struct otp_engine *engine, bool woken) {
    if (otp_thread_keeper_work(&engine->threads))
        end_full_window(engine);
    if (engine->sampling && !engine->cpu_on && !otp_thread_keeper_is_on(&engine->threads))
        switch_clock(engine, false); /* passes have failed, and the CPU profile is off */
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    if (!woken && now < engine->drain_due_ns && now < engine->window_end_ns)
        return;
    drain(engine);
    if (now >= engine->window_end_ns) {
        look_after_things(engine);
        otp_engine_end_window(engine);
    } else {
        count_expected(engine);
        show_counters(engine);
    }
    plan_drain(engine, now);
}

int otp_engine_wake_fd(const struct otp_engine *engine) { return otp_capture_wake_fd(engine->capture); }

uint64_t otp_engine_patience_ns(const struct otp_engine *engine) {
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC), due = otp_thread_keeper_due(&engine->threads);
    due = due < engine->drain_due_ns ? due : engine->drain_due_ns;
    due = due < engine->window_end_ns ? due : engine->window_end_ns;
    return due > now ? due - now : 0;
}

static int switch_threads(struct otp_engine *engine, uint32_t types) {
    return otp_thread_keeper_switch(&engine->threads, (types & OTELPROF_WALL) != 0, (types & OTELPROF_THREADS) != 0);
}

static int switch_heap(struct otp_engine *engine, bool wanted) {
    if (wanted == otp_heap_keeper_is_on(&engine->heap))
        return 0;
    if (wanted) {
        otp_table_keeper_show(&engine->keeper);
        return otp_heap_keeper_on(&engine->heap);
    }
    otp_heap_keeper_off(&engine->heap);
    drain(engine);
    otp_heap_keeper_forget(&engine->heap);
    return 0;
}

static int switch_locks(struct otp_engine *engine, bool wanted) {
    if (wanted == otp_lock_keeper_is_on(&engine->locks))
        return 0;
    if (wanted) {
        otp_table_keeper_show(&engine->keeper);
        return otp_lock_keeper_on(&engine->locks);
    }
    otp_lock_keeper_off(&engine->locks);
    drain(engine);
    otp_lock_keeper_forget(&engine->locks);
    return 0;
}

int otp_engine_switch(struct otp_engine *engine, uint32_t types) {
    int threads = switch_threads(engine, types);
    int result = switch_clock(engine, (types & OTELPROF_CPU) != 0);
    int heap = switch_heap(engine, (types & OTELPROF_HEAP) != 0);
    int locks = switch_locks(engine, (types & OTELPROF_LOCK) != 0);
    drain(engine);
    count_expected(engine);
    show_counters(engine);
    return result ? result : heap ? heap : locks ? locks : threads;
}

/* ------------------------------------------------------------------------------------------ starting, ending */

struct otp_engine *otp_engine_new(const struct otp_settings *settings, void *demangle,
                                  const struct otp_network *network) {
    struct otp_engine *engine = otp_sys.calloc(1, sizeof(*engine));
    if (!engine)
        return NULL;
    engine->settings = settings;
    engine->demangle = demangle;
    engine->network = network;
    otp_account_init(&engine->account, (uint64_t)settings->options.rate_hz);
    otp_notes_init(&engine->notes);
    otp_heap_keeper_init(&engine->heap, &settings->options, &engine->notes, &engine->stacks);
    otp_lock_keeper_init(&engine->locks, &settings->options, &engine->stacks);
    otp_thread_keeper_init(&engine->threads, &settings->options, &engine->notes, &engine->keeper, &engine->intake);
    engine->intake.on_cpu = otp_thread_keeper_on_cpu;
    engine->intake.on_cpu_user = &engine->threads;
    sem_init(&engine->export_up, 0, 0);
    return engine;
}

void otp_engine_free(struct otp_engine *engine) {
    if (!engine)
        return;
    otp_symbols_free(engine->symbols);
    otp_resource_set_free(engine->resource);
    sem_destroy(&engine->export_up);
    otp_notes_destroy(&engine->notes);
    otp_account_destroy(&engine->account);
    free(engine);
}

static int start_capture(struct otp_engine *engine) {
    const struct otelprof_options *wanted = &engine->settings->options;
    struct otp_capture_options options = {
        .rate_hz = (unsigned)wanted->rate_hz,
        .slots = (uint32_t)wanted->max_threads,
        .kernel_frames = wanted->kernel_frames != 0,
        .ring_bytes = (uint32_t)wanted->ring_bytes,
        .hook_walks = wanted->heap_capture == OTELPROF_HEAP_CAPTURE_BPF,
    };
    int result = otp_table_keeper_start(&engine->keeper, &engine->notes, &options.rows, &options.pages);
    engine->intake.modules = engine->keeper.modules;
    if (!result)
        result = otp_capture_open(&engine->capture, &options);
    if (!result)
        result = otp_table_keeper_bind(&engine->keeper, engine->capture);
    if (result)
        return result;
    struct otp_identity identity;
    uint64_t before = otp_clock_ns(CLOCK_MONOTONIC);
    result = otp_capture_own_thread(engine->capture, &identity);
    uint64_t after = otp_clock_ns(CLOCK_MONOTONIC);
    if (!result)
        engine->monotonic_minus_clock_ns = (int64_t)(before + (after - before) / 2 - identity.clock_ns);
    otp_thread_keeper_bind(&engine->threads, engine->capture, engine->monotonic_minus_clock_ns);
    return result;
}

/* On the export thread: it is one of ours. */
static void export_thread_started(void *user) {
    struct otp_engine *engine = user;
    if (otp_capture_own_thread(engine->capture, NULL))
        otp_log(OTELPROF_LOG_WARN, "otelprof: the export thread is left out by its name only: %s", otp_error_text());
    engine->export_filters = otp_seccomp_filters();
    sem_post(&engine->export_up);
}

/* On the export thread, which reads memory for names (the vDSO's). */
static void window_comes(void *user) {
    struct otp_engine *engine = user;
    otp_seccomp_filtered(engine->export_filters);
}

static int make_exporter(struct otp_engine *engine, struct otp_exporter **exporter) {
    const struct otp_output_choice choice = {
        .settings = engine->settings,
        .network = engine->network,
        .network_memory = (size_t)engine->settings->options.memory_limit_bytes / NETWORK_SHARE,
    };
    return otp_output_open(&choice, exporter);
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
    if (engine->settings->to_network)
        otp_log(OTELPROF_LOG_INFO, "otelprof: the receiver is %s%s", exporter->name,
                options->protocol == OTELPROF_UNSET ? ", the protocol by its port and path" : "");
    const struct otp_worker_config config = {
        .exporter = exporter,
        .resource = otp_resource_set_get(engine->resource),
        .symbolizer = otp_symbolizer_of(engine->symbols),
        .queue_bytes = window_limit(engine),
        .options = {.memory_bytes = (size_t)options->memory_limit_bytes / NETWORK_SHARE * ENCODER_SHARES},
        .limits = {.attempt_ns = (uint64_t)options->export_timeout_ms * NANOS_PER_MS},
        .on_start = export_thread_started,
        .on_window = window_comes,
        .user = engine,
    };
    result = otp_worker_start(&config, &engine->worker);
    otp_account_set_worker(&engine->account, engine->worker);
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

/* The rest of the profiles does not depend on it. */
static void start_heap(struct otp_engine *engine) {
    if (!(engine->settings->options.profiles & OTELPROF_HEAP))
        return;
    if (*engine->settings->heap_failure)
        otp_notes_add(&engine->notes, "heap: off: %s", engine->settings->heap_failure);
    else if (otp_heap_keeper_on(&engine->heap))
        otp_notes_add(&engine->notes, "heap: off: %s", otp_error_text());
}

static void start_locks(struct otp_engine *engine) {
    if (!(engine->settings->options.profiles & OTELPROF_LOCK))
        return;
    if (*engine->settings->lock_failure)
        otp_notes_add(&engine->notes, "lock: off: %s", engine->settings->lock_failure);
    else if (otp_lock_keeper_on(&engine->locks))
        otp_notes_add(&engine->notes, "lock: off: %s", otp_error_text());
}

static void start_threads(struct otp_engine *engine) {
    if (switch_threads(engine, (uint32_t)engine->settings->options.profiles))
        otp_notes_add(&engine->notes, "wall and threads: off: %s", otp_error_text());
}

int otp_engine_start(struct otp_engine *engine) {
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
    start_heap(engine);
    start_locks(engine);
    begin_window(engine, otp_clock_ns(CLOCK_REALTIME));
    otp_account_begin(&engine->account);
    start_threads(engine);
    result = switch_clock(engine, (engine->settings->options.profiles & OTELPROF_CPU) != 0);
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
        engine->sampling = engine->cpu_on = false;
        otp_thread_keeper_finish(&engine->threads);
        otp_thread_keeper_switch(&engine->threads, false, false);
        otp_heap_keeper_off(&engine->heap);
        otp_lock_keeper_off(&engine->locks);
        drain(engine);
    }
    uint64_t now = otp_clock_ns(CLOCK_REALTIME);
    otp_heap_keeper_show(&engine->heap, &engine->intake, now);
    if (engine->worker)
        close_window(engine, now);
    otp_heap_keeper_forget(&engine->heap);
    otp_lock_keeper_forget(&engine->locks);
    show_counters(engine);
    otp_thread_keeper_unbind(&engine->threads);
    /* The export thread begins by a look at the capture. */
    while (engine->worker && sem_wait(&engine->export_up) && errno == EINTR)
        ;
    otp_table_keeper_unbind(&engine->keeper);
    otp_capture_close(engine->capture);
    engine->capture = NULL;
    otp_window_free(engine->intake.window);
    engine->intake.window = NULL;
    otp_table_keeper_stop(&engine->keeper);
}

int otp_engine_wait_exported(struct otp_engine *engine, uint64_t deadline_ns) {
    return otp_worker_flush(engine->worker, deadline_ns);
}

int otp_engine_stop_worker(struct otp_engine *engine, uint64_t deadline_ns, struct otelprof_stats *stats) {
    struct otp_worker *worker = otp_account_set_worker(&engine->account, NULL);
    otp_account_stats(&engine->account, stats);
    engine->worker = NULL;
    return worker ? otp_worker_stop(worker, deadline_ns, stats) : 0;
}

void otp_engine_forked_child(struct otp_engine *engine) {
    if (engine->worker)
        otp_worker_forked_child(engine->worker);
    otp_capture_forked_child(engine->capture);
}
