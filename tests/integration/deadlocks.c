// SPDX-License-Identifier: Apache-2.0
/*
 * Locks itself up in a way that is asked for, in spans of its own, and goes on beside that:
 *
 *     deadlocks DIR two|three|write|writers|itself [lock]        lock: with the lock profile on
 *
 * Two or three mutexes in a circle, a mutex against a write lock, one mutex by itself. Prints a line for each thread in
 * the circle: its id, its route, its lock's name, the thread that holds it, and the function where it waits.
 */
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t mutex_a = PTHREAD_MUTEX_INITIALIZER, mutex_b = PTHREAD_MUTEX_INITIALIZER,
                       mutex_c = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock_w = PTHREAD_RWLOCK_INITIALIZER;
static _Atomic unsigned holding;
static unsigned in_circle;

/* Everybody holds a lock before anybody wants another. */
static void meet(void) {
    holding++;
    while (holding < in_circle)
        usleep(1000);
}

#define WAITS __attribute__((noinline)) static void

WAITS wait_for_a(void) { pthread_mutex_lock(&mutex_a); }
WAITS wait_for_b(void) { pthread_mutex_lock(&mutex_b); }
WAITS wait_for_c(void) { pthread_mutex_lock(&mutex_c); }
WAITS wait_to_write(void) { pthread_rwlock_wrlock(&rwlock_w); }
WAITS wait_to_read(void) { pthread_rwlock_rdlock(&rwlock_w); }

struct party {
    const char *route, *wanted, *function;
    void (*take)(void), (*wait)(void);
    _Atomic uint32_t tid;
};

static void take_a(void) { pthread_mutex_lock(&mutex_a); }
static void take_b(void) { pthread_mutex_lock(&mutex_b); }
static void take_c(void) { pthread_mutex_lock(&mutex_c); }
static void take_w(void) { pthread_rwlock_wrlock(&rwlock_w); }

static struct party two[] = {{"/one", "mutex_b", "wait_for_b", take_a, wait_for_b, 0},
                             {"/other", "mutex_a", "wait_for_a", take_b, wait_for_a, 0}},
                    three[] = {{"/first", "mutex_b", "wait_for_b", take_a, wait_for_b, 0},
                               {"/second", "mutex_c", "wait_for_c", take_b, wait_for_c, 0},
                               {"/third", "mutex_a", "wait_for_a", take_c, wait_for_a, 0}},
                    write_lock[] = {{"/write", "mutex_a", "wait_for_a", take_w, wait_for_a, 0},
                                    {"/read", "rwlock_w", "wait_to_read", take_a, wait_to_read, 0}},
                    write_twice[] = {{"/write", "mutex_a", "wait_for_a", take_w, wait_for_a, 0},
                                     {"/too", "rwlock_w", "wait_to_write", take_a, wait_to_write, 0}},
                    itself[] = {{"/alone", "mutex_a", "wait_for_a", take_a, wait_for_a, 0}};

static const struct {
    const char *name;
    struct party *parties;
    unsigned count;
} kinds[] = {
    {"two", two, 2}, {"three", three, 3}, {"write", write_lock, 2}, {"writers", write_twice, 2}, {"itself", itself, 1}};

static void *lock_up(void *argument) {
    struct party *party = argument;
    uint8_t trace[16] = "deadlock", span[8] = "dead";
    party->tid = (uint32_t)syscall(SYS_gettid);
    struct otelprof_span_token token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute("http.route", party->route);
    party->take();
    meet();
    party->wait();
    otelprof_span_exit(token);
    return NULL;
}

/* Waits for the same locks, but is in no circle. */
static void *bystand(void *unused) {
    wait_for_a();
    return unused;
}

static void on_log(void *user, enum otelprof_log_level level, const char *message) {
    (void)user, (void)level;
    if (strstr(message, "otelprof: deadlock"))
        printf("log %s\n", message);
}

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    struct otelprof_stats stats = {.size = sizeof(stats)};
    size_t kind = 0;
    while (argc > 2 && kind < sizeof(kinds) / sizeof(kinds[0]) && strcmp(kinds[kind].name, argv[2]))
        kind++;
    if (argc < 3 || kind == sizeof(kinds) / sizeof(kinds[0]))
        return 2;
    struct party *parties = kinds[kind].parties;
    options.output_dir = argv[1];
    options.window_ms = 1000;
    options.profiles = OTELPROF_THREADS | (argc > 3 ? OTELPROF_LOCK : 0);
    options.log = on_log;
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    pthread_t thread;
    in_circle = kinds[kind].count;
    for (unsigned i = 0; i < in_circle; i++)
        pthread_create(&thread, NULL, lock_up, &parties[i]);
    while (holding < in_circle)
        usleep(1000);
    usleep(20000);
    pthread_create(&thread, NULL, bystand, NULL);
    otelprof_flush(5000); /* two windows from here on, each with a snapshot */
    usleep(400000);
    otelprof_flush(5000);
    usleep(400000);
    otelprof_flush(5000);
    otelprof_stats(&stats);
    for (unsigned i = 0; i < in_circle; i++)
        printf("%u %s %s %u %s\n", parties[i].tid, parties[i].route, parties[i].wanted,
               parties[(i + 1) % in_circle].tid, parties[i].function);
    printf("stats %llu\n", (unsigned long long)stats.deadlocks);
    int result = otelprof_shutdown(5000);
    fflush(stdout);
    _exit(result ? 1 : 0);
}
