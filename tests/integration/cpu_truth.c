// SPDX-License-Identifier: Apache-2.0
/*
 * A program that knows what it did: two threads split their CPU time 50/30/15/5 between four functions, some of the
 * work below libm, qsort callbacks and a library loaded in the middle, each piece inside a span of its own route.
 * Prints one JSON object: CPU time by function and route, and the profiler's counters, for cpu_truth.py to judge.
 *
 *     cpu_truth OUTPUT_DIR RATE SECONDS WINDOW_MS SEED
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu_time.h"

#define KINDS 4
#define THREADS 2

static const double shares[KINDS] = {0.50, 0.30, 0.15, 0.05};
static const char *const names[KINDS] = {"truth_plain", "truth_libm", "truth_qsort", "truth_loaded"};
static const char *const routes[KINDS] = {"/plain", "/libm", "/qsort", "/loaded"};

typedef unsigned char *(*digest_fn)(const unsigned char *bytes, size_t size, unsigned char *digest);
static _Atomic(digest_fn) loaded_digest;
static volatile double sink;
static volatile unsigned long sum;

#define FOR_NS(duration) for (uint64_t until = thread_ns() + (duration); thread_ns() < until;)

__attribute__((noinline)) static void truth_plain(uint64_t ns) {
    FOR_NS(ns) {
        for (unsigned i = 0; i < 2000; i++)
            sum += i ^ sum >> 3;
    }
}

__attribute__((noinline)) static void truth_libm(uint64_t ns) {
    FOR_NS(ns) {
        for (unsigned i = 0; i < 100; i++)
            sink += sin((double)i * 1e5) + pow(1.0001, (double)i);
    }
}

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

__attribute__((noinline)) static void truth_qsort(uint64_t ns) {
    int values[256];
    FOR_NS(ns) {
        for (int i = 0; i < 256; i++)
            values[i] = i * 7919 % 256;
        qsort(values, 256, sizeof(values[0]), compare);
        sum += (unsigned long)values[1];
    }
}

/* In a library that is loaded after a third of the run; before that, in our own code. */
__attribute__((noinline)) static void truth_loaded(uint64_t ns) {
    static unsigned char bytes[4096];
    digest_fn digest = atomic_load(&loaded_digest);
    unsigned char result[32];
    FOR_NS(ns) {
        if (digest)
            sum += *digest(bytes, sizeof(bytes), result);
        for (unsigned i = 0; i < 100; i++)
            sum += i;
    }
}

static void (*const functions[KINDS])(uint64_t) = {truth_plain, truth_libm, truth_qsort, truth_loaded};

struct worker {
    pthread_t thread;
    unsigned seed;
    int route_key;
    uint64_t spent[KINDS];
    uint64_t spans;
};

static atomic_bool stop;

/* The kind of work that is furthest behind its share. */
static int next_kind(const struct worker *worker) {
    double total = 1;
    for (int i = 0; i < KINDS; i++)
        total += (double)worker->spent[i];
    int best = 0;
    double most = -1e300;
    for (int i = 0; i < KINDS; i++) {
        double behind = shares[i] * total - (double)worker->spent[i];
        if (behind > most) {
            most = behind;
            best = i;
        }
    }
    return best;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    while (!atomic_load(&stop)) {
        uint8_t trace[16], span[8];
        int kind = next_kind(worker);
        uint64_t ns = 50000 + (uint64_t)rand_r(&worker->seed) % 4950000 / (kind == 3 ? 8 : 1);
        for (int i = 0; i < 16; i++)
            trace[i] = (uint8_t)(rand_r(&worker->seed) | 1);
        memcpy(span, trace + 4, sizeof(span));
        uint64_t before = thread_ns();
        struct otelprof_span_token token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
        otelprof_span_attribute_key(worker->route_key, routes[kind], strlen(routes[kind]));
        functions[kind](ns);
        otelprof_span_exit(token);
        worker->spent[kind] += thread_ns() - before;
        worker->spans++;
    }
    return NULL;
}

static void print_counters(void) {
    struct otelprof_stats s = {.size = sizeof(s)};
    otelprof_stats(&s);
    printf("\"fired\": %" PRIu64 ", \"exported\": %" PRIu64 ", \"expected\": %" PRIu64 ", \"with_span\": %" PRIu64 ", ",
           s.samples_fired, s.samples_exported, s.samples_expected, s.samples_with_span);
    printf("\"lost\": {\"ring_full\": %" PRIu64 ", \"decode\": %" PRIu64 ", \"memory\": %" PRIu64
           ", \"window_dropped\": %" PRIu64 ", \"export_failed\": %" PRIu64 ", \"shutdown\": %" PRIu64
           ", \"scratch\": %" PRIu64 "}, ",
           s.lost_ring_full, s.lost_decode, s.lost_memory, s.lost_window_dropped, s.lost_export_failed, s.lost_shutdown,
           s.lost_scratch);
    printf("\"stops\": [");
    for (int i = 0; i < OTELPROF_STOP_COUNT; i++)
        printf("%s%" PRIu64, i ? ", " : "", s.stack_stops[i]);
    printf("], \"bytes\": %" PRIu64 ", \"own_cpu_ns\": %" PRIu64 ", \"table_builds\": %" PRIu64 "}\n", s.bytes_exported,
           s.own_cpu_ns, s.table_builds);
}

static void log_line(void *user, enum otelprof_log_level level, const char *message) {
    (void)user;
    fprintf(stderr, "%d %s\n", level, message);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: %s OUTPUT_DIR RATE SECONDS WINDOW_MS SEED\n", argv[0]);
        return 2;
    }
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    struct worker workers[THREADS];
    double seconds = atof(argv[3]);
    options.output_dir = argv[1];
    options.rate_hz = atoi(argv[2]);
    options.window_ms = atoi(argv[4]);
    options.service_name = "cpu-truth";
    options.log = log_line;
    options.start_timeout_ms = 10000;
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    memset(workers, 0, sizeof(workers));
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].seed = (unsigned)atoi(argv[5]) * 1000u + i;
        workers[i].route_key = otelprof_attribute_key("http.route");
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    usleep((useconds_t)(seconds / 3 * 1e6));
    void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    digest_fn digest = library ? (digest_fn)dlsym(library, "SHA256") : NULL;
    atomic_store(&loaded_digest, digest);
    usleep((useconds_t)(seconds * 2 / 3 * 1e6));
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    otelprof_disable(OTELPROF_CPU);
    if (otelprof_flush(10000) || otelprof_shutdown(10000))
        fprintf(stderr, "%s\n", otelprof_last_error());
    printf("{\"loaded\": %s, \"cpu_ns\": {", digest ? "true" : "false");
    for (int kind = 0; kind < KINDS; kind++) {
        uint64_t spent = 0;
        for (unsigned i = 0; i < THREADS; i++)
            spent += workers[i].spent[kind];
        printf("%s\"%s\": %" PRIu64, kind ? ", " : "", names[kind], spent);
    }
    printf("}, \"spans\": %" PRIu64 ", ", workers[0].spans + workers[1].spans);
    print_counters();
    return 0;
}
