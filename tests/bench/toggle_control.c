// SPDX-License-Identifier: Apache-2.0
/*
 * Preloaded into a server under load by toggle_bench.py: switches the profiler off and on in short slices, in random
 * order, and writes what each slice cost: CPU time of the server's own threads, and calls that answer clients.
 *
 * Environment: OTP_TOGGLE_OUT (file, written at the end), OTP_TOGGLE_PAIRS, OTP_TOGGLE_SLICE_MS, OTP_TOGGLE_STEADY_S,
 * OTP_TOGGLE_INIT=1 (the program does not know otelprof: start it here).
 *
 *     pair MODE ORDER on|off CPU_NS CALLS WALL_NS      MODE aa: both halves are off; ab: one is on
 *     steady CPU_NS OWN_NS CALLS WALL_NS BYTES FIRED   a second with the profiler on
 */
#include <dirent.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define OWN_THREADS 4
#define SETTLE_MS 3 /* until a switch is in force everywhere */

/* ------------------------------------------------------------------------------------- calls that answer */

static _Atomic uint64_t calls;

#define COUNTED(type, name, parameters, arguments)                                                                     \
    __attribute__((visibility("default"))) type name parameters {                                                      \
        static _Atomic(void *) next;                                                                                   \
        void *real = atomic_load_explicit(&next, memory_order_relaxed);                                                \
        if (!real)                                                                                                     \
            atomic_store_explicit(&next, real = dlsym(RTLD_NEXT, #name), memory_order_relaxed);                        \
        atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);                                                    \
        return ((type(*) parameters)real)arguments;                                                                    \
    }

COUNTED(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))
COUNTED(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
COUNTED(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
COUNTED(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))

/* --------------------------------------------------------------------------------------------- clocks */

static clockid_t own_clocks[OWN_THREADS];
static unsigned own_count;

static uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    return clock_gettime(clock, &time) ? 0 : (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The profiler's threads by name; a thread's CPU clock by its id: include/linux/posix-timers_types.h. */
static void find_own_threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *entry; tasks && (entry = readdir(tasks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file && fgets(name, sizeof(name), file) && !strncmp(name, "otelprof", 8) && own_count < OWN_THREADS)
            own_clocks[own_count++] = (clockid_t)(~(unsigned)atoi(entry->d_name) << 3 | 6);
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
}

struct reading {
    uint64_t cpu, own, calls, wall;
};

static struct reading read_all(void) {
    struct reading reading = {.own = 0};
    for (unsigned i = 0; i < own_count; i++)
        reading.own += clock_ns(own_clocks[i]);
    reading.cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - reading.own;
    reading.calls = atomic_load(&calls);
    reading.wall = clock_ns(CLOCK_MONOTONIC);
    return reading;
}

static void wait_ms(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* -------------------------------------------------------------------------------------------- the schedule */

struct slice {
    const char *mode;
    bool on;
    struct reading spent;
};

/* From the environment, copied before main(): redis writes its process title over it. */
static struct {
    char out[4096];
    long pairs, slice_ms, steady_s;
    uint32_t types; /* enum otelprof_profile_type: those that are switched */
    bool init;
} settings;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

static void take(struct slice *slice, const char *mode, bool on, long milliseconds) {
    bool enable = on && mode[1] == 'b';
    int result = enable ? otelprof_enable(settings.types) : otelprof_disable(settings.types);
    if (result)
        fprintf(stderr, "toggle: %s\n", otelprof_last_error());
    wait_ms(SETTLE_MS);
    struct reading from = read_all();
    wait_ms(milliseconds);
    struct reading to = read_all();
    *slice =
        (struct slice){mode, on, {to.cpu - from.cpu, to.own - from.own, to.calls - from.calls, to.wall - from.wall}};
}

static void take_pairs(struct slice *slices, const char *mode, long pairs, long milliseconds) {
    unsigned seed = (unsigned)clock_ns(CLOCK_REALTIME);
    for (long i = 0; i < pairs; i++) {
        bool first = rand_r(&seed) >> 8 & 1;
        take(&slices[2 * i], mode, first, milliseconds);
        take(&slices[2 * i + 1], mode, !first, milliseconds);
    }
}

static void take_steady(FILE *file, long seconds) {
    struct otelprof_stats before = {.size = sizeof(before)}, after = before;
    otelprof_enable(settings.types);
    otelprof_flush(10000);
    otelprof_stats(&before);
    for (long i = 0; i < seconds; i++) {
        struct reading from = read_all();
        wait_ms(1000);
        struct reading to = read_all();
        otelprof_stats(&after);
        fprintf(file, "steady %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                to.cpu - from.cpu, to.own - from.own, to.calls - from.calls, to.wall - from.wall,
                after.bytes_exported - before.bytes_exported, after.samples_fired - before.samples_fired);
        before = after;
    }
}

static void write_results(const struct slice *slices, long count) {
    char temporary[4096];
    if (snprintf(temporary, sizeof(temporary), "%s.part", settings.out) >= (int)sizeof(temporary))
        return;
    FILE *file = fopen(temporary, "we");
    if (!file)
        return;
    for (long i = 0; i < count; i++) {
        const struct slice *slice = &slices[i];
        fprintf(file, "pair %s %ld %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", slice->mode, i & 1,
                slice->on ? "on" : "off", slice->spent.cpu, slice->spent.calls, slice->spent.wall);
    }
    take_steady(file, settings.steady_s);
    fclose(file);
    rename(temporary, settings.out);
}

static bool wait_running(void) {
    if (settings.init && otelprof_init(NULL))
        fprintf(stderr, "toggle: %s\n", otelprof_last_error());
    for (int i = 0; i < 1000 && otelprof_state() != OTELPROF_STATE_RUNNING; i++)
        wait_ms(10);
    return otelprof_state() == OTELPROF_STATE_RUNNING;
}

static void *body(void *argument) {
    (void)argument;
    if (!wait_running())
        return NULL;
    long pairs = settings.pairs;
    struct slice *slices = calloc((size_t)pairs * 4, sizeof(*slices));
    wait_ms(3000); /* the load has begun, and names are known */
    find_own_threads();
    if (slices) {
        take_pairs(slices, "aa", pairs, settings.slice_ms);
        take_pairs(slices + 2 * pairs, "ab", pairs, settings.slice_ms);
        write_results(slices, 4 * pairs);
    }
    free(slices);
    return NULL;
}

__attribute__((constructor)) static void begin(void) {
    pthread_t thread;
    sigset_t all, before;
    const char *out = getenv("OTP_TOGGLE_OUT");
    settings.pairs = number("OTP_TOGGLE_PAIRS", 400);
    settings.slice_ms = number("OTP_TOGGLE_SLICE_MS", 25);
    settings.steady_s = number("OTP_TOGGLE_STEADY_S", 30);
    settings.types = (uint32_t)number("OTP_TOGGLE_TYPES", OTELPROF_CPU);
    settings.init = number("OTP_TOGGLE_INIT", 0) != 0;
    if (!out || strlen(out) >= sizeof(settings.out) || settings.pairs < 1 || settings.pairs > 100000)
        return;
    memcpy(settings.out, out, strlen(out) + 1);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!pthread_create(&thread, NULL, body, NULL))
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
