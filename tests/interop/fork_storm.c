// SPDX-License-Identifier: Apache-2.0
/*
 * A service that forks while its export thread talks to a receiver: fork_storm FORKS. Children end at once, work a
 * little, or live long enough to be profiled themselves (OTELPROF_FORK=follow is set). Prints one line of JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#define LONG_EVERY 40 /* forks */
#define LONG_MS 1500
#define PATIENCE_MS 15000 /* until a child counts as hanging */
#define FORKS_MAX 10000

static const uint8_t trace_id[16] = {1}, span_id[8] = {2};

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void work(unsigned ms) {
    volatile uint64_t sum = 0;
    uint64_t end = now_ns() + ms * UINT64_C(1000000);
    while (now_ns() < end) {
        struct otelprof_span_token span = otelprof_span_enter(trace_id, span_id, OTELPROF_FLAG_SAMPLED);
        for (int i = 0; i < 100000; i++)
            sum = sum * 3 + 1;
        otelprof_span_exit(span);
    }
}

static void *work_on(void *argument) {
    while (!atomic_load((atomic_bool *)argument))
        work(10);
    return NULL;
}

/* What a child does: memory, stdio, spans, and now and then a life of its own. */
static int child(int number) {
    free(malloc((size_t)number * 100 + 1));
    char text[64];
    snprintf(text, sizeof(text), "child %d", number);
    if (number % LONG_EVERY == 0) {
        work(LONG_MS);
        return otelprof_shutdown(3000) == OTELPROF_E_TIMEOUT; /* all else depends on the receiver */
    }
    work(number % 3 ? 0 : 5);
    return 0;
}

static bool wait_for(pid_t pid, int *failed) {
    int status;
    for (uint64_t end = now_ns() + PATIENCE_MS * UINT64_C(1000000); now_ns() < end;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid) {
            *failed += status != 0;
            return true;
        }
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return false;
}

static int by_value(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

int main(int argc, char **argv) {
    static uint64_t took[FORKS_MAX];
    int forks = argc > 1 ? atoi(argv[1]) : 100, hangs = 0, failed = 0, long_lives = 0;
    atomic_bool ending = false;
    pthread_t worker;
    if (forks < 1 || forks > FORKS_MAX)
        return 2;
    int started = otelprof_init(NULL);
    pthread_create(&worker, NULL, work_on, &ending);
    for (int number = 1; number <= forks; number++) {
        nanosleep(&(struct timespec){0, (number * 7919) % 6000000}, NULL);
        uint64_t before = now_ns();
        pid_t pid = fork();
        if (pid == 0)
            _exit(child(number));
        took[number - 1] = now_ns() - before;
        long_lives += number % LONG_EVERY == 0;
        hangs += !wait_for(pid, &failed);
    }
    atomic_store(&ending, true);
    pthread_join(worker, NULL);
    int stopped = otelprof_shutdown(5000);
    struct otelprof_stats s;
    memset(&s, 0, sizeof(s));
    s.size = sizeof(s);
    otelprof_stats(&s);
    uint64_t lost = s.lost_ring_full + s.lost_decode + s.lost_memory + s.lost_window_dropped + s.lost_export_failed +
                    s.lost_rejected + s.lost_shutdown + s.lost_scratch;
    qsort(took, (size_t)forks, sizeof(took[0]), by_value);
    printf("{\"init\": %d, \"shutdown\": %d, \"hangs\": %d, \"failed\": %d, \"long_lives\": %d, \"fork_p50_us\": %.0f, "
           "\"fork_p99_us\": %.0f, \"fork_most_us\": %.0f, \"fired\": %" PRIu64 ", \"exported\": %" PRIu64
           ", \"unknown\": %" PRIu64 ", \"lost\": %" PRIu64 "}\n",
           started, stopped, hangs, failed, long_lives, (double)took[forks / 2] / 1e3,
           (double)took[forks * 99 / 100] / 1e3, (double)took[forks - 1] / 1e3, s.samples_fired, s.samples_exported,
           s.delivery_unknown, lost);
    return 0;
}
