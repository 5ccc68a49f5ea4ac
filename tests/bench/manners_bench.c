// SPDX-License-Identifier: Apache-2.0
/*
 * Whether wall time and snapshots disturb their host: a timer of 1 kHz, whose lateness is measured, beside threads that
 * wait in system calls which signals end early, and threads that compute. By slices with both profiles and without, in
 * random order, after as many pairs of slices without them in both.
 *
 *     manners_bench [PAIRS [SLICE_MS]]        default 40, 1000
 */
#include <errno.h>
#include <otelprof/otelprof.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "slices.h"

#define MS 1000000ull
#define WAITERS 30
#define LOOKS_MAX 20000

static _Atomic unsigned long interrupted, waits;
static unsigned slice_ms = 1000;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void count(long result) {
    waits++;
    interrupted += result < 0 && errno == EINTR;
}

/* Each in one of the calls that a signal interrupts even where SA_RESTART is set (signal(7)). */
static void *wait_often(void *number) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (;;) {
        struct epoll_event event;
        switch ((uintptr_t)number % 3) {
        case 0:
            count(poll(NULL, 0, 20 + (int)((uintptr_t)number % 7)));
            break;
        case 1:
            count(epoll_wait(epoll, &event, 1, 25));
            break;
        default:
            count(nanosleep(&(struct timespec){0, 30 * MS}, NULL));
        }
    }
    return NULL;
}

static void *compute(void *unused) {
    volatile unsigned long sink = 0;
    for (;;) {
        for (unsigned i = 0; i < 500000; i++)
            sink += i;
        usleep(2000);
    }
    return unused;
}

static int by_value(const void *a, const void *b) {
    double one = *(const double *)a, other = *(const double *)b;
    return one < other ? -1 : one > other;
}

static void slice(const void *unused, double columns[SLICES_COLUMNS]) {
    static double late[LOOKS_MAX];
    unsigned looks = slice_ms < LOOKS_MAX ? slice_ms : LOOKS_MAX;
    uint64_t at = now() + MS;
    (void)unused;
    for (unsigned i = 0; i < looks; i++, at += MS) {
        const struct timespec until = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        uint64_t awake = now();
        late[i] = awake > at ? (double)(awake - at) / 1000 : 0;
    }
    qsort(late, looks, sizeof(late[0]), by_value);
    columns[0] = late[looks / 2];
    columns[1] = late[looks * 99 / 100];
    columns[2] = late[looks * 999 / 1000];
}

static void say(const char *name, const struct slices_comparison *comparison) {
    static const char *const columns[SLICES_COLUMNS] = {"p50", "p99", "p99.9"};
    printf("%-8s", name);
    for (int i = 0; i < SLICES_COLUMNS; i++) {
        double off = comparison->off[i];
        const struct slices_figure *added = &comparison->added[i];
        printf("   %s %7.1f us, ratio %.3f (%.3f .. %.3f)", columns[i], off, 1 + added->value / off,
               1 + added->low / off, 1 + added->high / off);
    }
    puts("");
    fflush(stdout);
}

int main(int argc, char **argv) {
    int pairs = argc > 1 ? atoi(argv[1]) : 40;
    slice_ms = argc > 2 ? (unsigned)atoi(argv[2]) : slice_ms;
    struct slices_comparison same, other;
    pthread_t thread;
    if (pairs < 1 || pairs > SLICES_PAIRS_MAX || slice_ms < 100) {
        fprintf(stderr, "manners_bench [PAIRS [SLICE_MS]]\n");
        return 2;
    }
    for (uintptr_t i = 0; i < WAITERS; i++)
        pthread_create(&thread, NULL, wait_often, (void *)i);
    pthread_create(&thread, NULL, compute, NULL);
    if (!slices_start("manners_bench", OTELPROF_WALL | OTELPROF_THREADS))
        return 1;
    printf("lateness of a timer of 1 kHz, %d pairs of slices of %u ms\n", pairs, slice_ms);
    slices_compare(slice, NULL, pairs, false, &same);
    say("A/A", &same);
    slices_compare(slice, NULL, pairs, true, &other);
    say("on/off", &other);
    printf("system calls that were interrupted: %lu of %lu\n", (unsigned long)interrupted, (unsigned long)waits);
    fflush(stdout);
    _exit(interrupted ? 1 : otelprof_shutdown(5000) != 0);
}
