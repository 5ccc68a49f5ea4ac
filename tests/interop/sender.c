// SPDX-License-Identifier: Apache-2.0
/*
 * A service for the tests of delivery: sender SECONDS FLUSH_MS SHUTDOWN_MS [BYTES]. Two threads work in ever new spans
 * (each with an attribute of its own of so many bytes, to make requests large), otelprof is set up by the environment,
 * and at the end one line of JSON says what was counted, how long flush and shutdown took, and how much memory there
 * was. Messages of the library go to stderr.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#define THREADS 2
#define WORK_NS 200000 /* in one span */

static atomic_bool ending;
static int attribute_bytes;

static uint64_t now_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static double ms_since(uint64_t start) { return (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e6; }

static void *work(void *argument) {
    uint64_t random = (uint64_t)(uintptr_t)argument + 88172645463325252u;
    volatile uint64_t sum = 0;
    while (!atomic_load(&ending)) {
        uint64_t ids[3];
        for (int i = 0; i < 3; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            ids[i] = random;
        }
        struct otelprof_span_token span =
            otelprof_span_enter((const uint8_t *)ids, (const uint8_t *)&ids[2], OTELPROF_FLAG_SAMPLED);
        otelprof_span_attribute("http.route", ids[0] & 1 ? "/odd" : "/even");
        if (attribute_bytes) {
            char text[200];
            snprintf(text, sizeof(text), "%0*" PRIx64, attribute_bytes, ids[1]);
            otelprof_span_attribute("request.id", text);
        }
        uint64_t end = now_ns(CLOCK_THREAD_CPUTIME_ID) + WORK_NS;
        while (now_ns(CLOCK_THREAD_CPUTIME_ID) < end)
            for (int i = 0; i < 1000; i++)
                sum = sum * 3 + 1;
        otelprof_span_exit(span);
    }
    return NULL;
}

#define HELD 100
#define HELD_BYTES ((size_t)256 << 10)

/* Memory that a span holds to the end, for the heap profile. Hardly any of its pages are touched. */
static void hold(void *blocks[HELD]) {
    static const uint8_t trace[16] = "a trace", span_id[8] = "a span";
    struct otelprof_span_token span = otelprof_span_enter(trace, span_id, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute("http.route", "/held");
    for (int i = 0; i < HELD; i++)
        blocks[i] = malloc(HELD_BYTES);
    otelprof_span_exit(span);
}

static pthread_mutex_t wanted = PTHREAD_MUTEX_INITIALIZER;

static void *hold_lock(void *unused) {
    static const uint8_t trace[16] = "a trace", span_id[8] = "holder";
    struct otelprof_span_token span = otelprof_span_enter(trace, span_id, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute("http.route", "/holds");
    pthread_mutex_lock(&wanted);
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    pthread_mutex_unlock(&wanted);
    otelprof_span_exit(span);
    return unused;
}

/* A lock that one span holds and another waits for. */
static void wait_for_lock(void) {
    static const uint8_t trace[16] = "a trace", span_id[8] = "waiter";
    pthread_t holder;
    otelprof_lock_name(&wanted, "wanted");
    pthread_create(&holder, NULL, hold_lock, NULL);
    while (pthread_mutex_trylock(&wanted) == 0) {
        pthread_mutex_unlock(&wanted);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    struct otelprof_span_token span = otelprof_span_enter(trace, span_id, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute("http.route", "/waits");
    pthread_mutex_lock(&wanted);
    pthread_mutex_unlock(&wanted);
    otelprof_span_exit(span);
    pthread_join(holder, NULL);
}

/* Memory that is this process's alone, in KiB: not the text of libraries, nor the kernel's maps. */
static long private_kib(void) {
    char line[128];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof(line), file) && sscanf(line, "RssAnon: %ld", &kib) != 1)
        ;
    if (file)
        fclose(file);
    return kib;
}

/* Waits, and returns the most memory that was seen meanwhile. */
static long wait_and_watch(double seconds) {
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    long most = 0;
    while (ms_since(start) < seconds * 1000) {
        long now = private_kib();
        most = now > most ? now : most;
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    return most;
}

static void print_stats(const struct otelprof_stats *s) {
    uint64_t lost = s->lost_ring_full + s->lost_decode + s->lost_memory + s->lost_window_dropped +
                    s->lost_export_failed + s->lost_rejected + s->lost_shutdown + s->lost_scratch;
    printf("\"fired\": %" PRIu64 ", \"exported\": %" PRIu64 ", \"unknown\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"failed\": %" PRIu64 ", \"rejected\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"shutdown_lost\": %" PRIu64
           ", \"memory_lost\": %" PRIu64 ", \"retries\": %" PRIu64 ", \"profiles_rejected\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"windows\": %" PRIu64 ", \"own_cpu_ms\": %.1f}\n",
           s->samples_fired, s->samples_exported, s->delivery_unknown, lost, s->lost_export_failed, s->lost_rejected,
           s->lost_window_dropped, s->lost_shutdown, s->lost_memory, s->export_retries, s->profiles_rejected,
           s->bytes_exported, s->windows_made, (double)s->own_cpu_ns / 1e6);
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    double seconds = strtod(argv[1], NULL);
    attribute_bytes = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 0;
    uint32_t flush_ms = (uint32_t)strtoul(argv[2], NULL, 10), shutdown_ms = (uint32_t)strtoul(argv[3], NULL, 10);
    pthread_t threads[THREADS];
    long before = private_kib();
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    int started = otelprof_init(NULL);
    double init_ms = ms_since(start);
    printf("{\"init\": %d, \"init_ms\": %.1f, \"reason\": \"%s\", ", started, init_ms,
           started ? otelprof_last_error() : "");
    void *held[HELD];
    hold(held);
    wait_for_lock();
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    long most = wait_and_watch(seconds);
    uint64_t begin = now_ns(CLOCK_MONOTONIC);
    int flushed = flush_ms ? otelprof_flush(flush_ms) : 0;
    double flush_took = ms_since(begin);
    long end = private_kib();
    begin = now_ns(CLOCK_MONOTONIC);
    int stopped = otelprof_shutdown(shutdown_ms);
    double shutdown_took = ms_since(begin);
    atomic_store(&ending, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct otelprof_stats stats;
    memset(&stats, 0, sizeof(stats));
    stats.size = sizeof(stats);
    otelprof_stats(&stats);
    printf("\"flush\": %d, \"flush_ms\": %.1f, \"shutdown\": %d, \"shutdown_ms\": %.1f, \"private_before_kib\": %ld, "
           "\"private_most_kib\": %ld, ",
           flushed, flush_took, stopped, shutdown_took, before, end > most ? end : most);
    print_stats(&stats);
    for (int i = 0; i < HELD; i++)
        free(held[i]);
    return 0;
}
