// SPDX-License-Identifier: Apache-2.0
/*
 * 2,000 threads that live for 1, 2 or 3 ms of CPU time each, beside one that runs all the time: samplers that start a
 * thread at a full interval never see the short ones. Every second short thread works in a span. Prints one JSON object
 * for short_threads.py: CPU time by function, in spans and not, and the profiler's counters.
 *
 *     short_threads OUTPUT_DIR RATE THREADS WINDOW_MS
 */
#include <dirent.h>
#include <inttypes.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu_time.h"

#define CLASSES 4 /* the last one is the long thread */
#define FLYING 3  /* short threads at a time */

static const char *const names[CLASSES] = {"one_ms", "two_ms", "three_ms", "all_the_time"};
static const char *const routes[CLASSES] = {"/one", "/two", "/three", "/long"};
static _Atomic uint64_t spent[CLASSES], in_span[CLASSES];
static atomic_bool stop;
static int route_key;
static volatile unsigned long sum;

#define BURN(ns, more)                                                                                                 \
    for (uint64_t until_ = thread_ns() + (ns); thread_ns() < until_ && (more);) {                                      \
        for (unsigned i = 0; i < 500; i++)                                                                             \
            sum += i ^ sum >> 3;                                                                                       \
    }

__attribute__((noinline)) static void one_ms(void) { BURN(1000000, true) }
__attribute__((noinline)) static void two_ms(void) { BURN(2000000, true) }
__attribute__((noinline)) static void three_ms(void) { BURN(3000000, true) }
__attribute__((noinline)) static void all_the_time(void) { BURN(UINT64_MAX / 2, !atomic_load(&stop)) }

static void (*const functions[CLASSES])(void) = {one_ms, two_ms, three_ms, all_the_time};

static void work(unsigned class, bool with_span) {
    const uint8_t trace[16] = {0xb0, (uint8_t)(class + 1)}, span[8] = {(uint8_t)(class + 1)};
    struct otelprof_span_token token = {0, 0};
    uint64_t begin = thread_ns();
    if (with_span) {
        token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
        otelprof_span_attribute_key(route_key, routes[class], strlen(routes[class]));
    }
    functions[class]();
    if (with_span)
        otelprof_span_exit(token);
    uint64_t ns = thread_ns() - begin;
    atomic_fetch_add(&spent[class], ns);
    if (with_span)
        atomic_fetch_add(&in_span[class], ns);
}

static void *short_thread(void *argument) {
    unsigned number = (unsigned)(uintptr_t)argument;
    otelprof_thread_name("short-lived");
    work(number % (CLASSES - 1), number / (CLASSES - 1) % 2);
    return NULL;
}

static void *long_thread(void *argument) {
    (void)argument;
    work(CLASSES - 1, true);
    return NULL;
}

static unsigned descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

static int run(unsigned threads) {
    pthread_t flying[FLYING], companion;
    pthread_create(&companion, NULL, long_thread, NULL);
    for (unsigned i = 0; i < threads + FLYING; i++) {
        if (i >= FLYING)
            pthread_join(flying[i % FLYING], NULL);
        if (i < threads && pthread_create(&flying[i % FLYING], NULL, short_thread, (void *)(uintptr_t)i)) {
            fprintf(stderr, "thread %u could not be made\n", i);
            return -1;
        }
    }
    atomic_store(&stop, true);
    pthread_join(companion, NULL);
    return 0;
}

static void print_facts(unsigned threads, bool leaked) {
    struct otelprof_stats s = {.size = sizeof(s)};
    otelprof_stats(&s);
    printf("{\"threads\": %u, \"leaked\": %s, \"without_slot\": %" PRIu64 ", \"registered\": %" PRIu64
           ", \"fired\": %" PRIu64 ", \"exported\": %" PRIu64 ", \"functions\": {",
           threads, leaked ? "true" : "false", s.threads_without_slot, s.threads_registered, s.samples_fired,
           s.samples_exported);
    for (unsigned i = 0; i < CLASSES; i++)
        printf("%s\"%s\": {\"route\": \"%s\", \"cpu\": %" PRIu64 ", \"in_span\": %" PRIu64 "}", i ? ", " : "", names[i],
               routes[i], atomic_load(&spent[i]), atomic_load(&in_span[i]));
    printf("}}\n");
}

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    if (argc != 5) {
        fprintf(stderr, "usage: %s OUTPUT_DIR RATE THREADS WINDOW_MS\n", argv[0]);
        return 2;
    }
    unsigned threads = (unsigned)atoi(argv[3]);
    options.output_dir = argv[1];
    options.rate_hz = atoi(argv[2]);
    options.window_ms = atoi(argv[4]);
    options.max_threads = 16; /* slots come back as fast as threads end */
    options.service_name = "short-threads";
    options.start_timeout_ms = 10000;
    route_key = otelprof_attribute_key("http.route");
    unsigned before = descriptors();
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    int result = run(threads);
    if (otelprof_disable(OTELPROF_CPU) || otelprof_flush(10000) || otelprof_shutdown(10000)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    print_facts(threads, descriptors() != before);
    return result != 0;
}
