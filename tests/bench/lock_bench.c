// SPDX-License-Identifier: Apache-2.0
/*
 * What the lock profile costs the process that it is in, by slices with and without it in random order, after as many
 * pairs of slices without it in both.
 *
 *     lock_bench added [PAIRS]        ns more a lock and unlock that nobody contends for, by kind
 *     lock_bench contended [PAIRS]    ns more an operation of threads that fight for one lock
 *     lock_bench price [PAIRS]        ns of a wait that is chosen, by depth of calls
 *
 * PAIRS: of slices, default 40. OTELPROF_LOCK_INTERVAL counts; for the price it is 1, where every wait is chosen.
 * Linked to the shared library, as services are.
 */
#include <errno.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#include "slices.h"

#define ADDED_MS 20
#define CONTENDED_MS 60
#define SETTLE_MS 2
#define BATCH 200
#define THREADS_MAX 8

static uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ------------------------------------------------------------------------------------------------ the locks */

/* Each by itself in its cache lines, so that two threads with one each do not meet. */
union any_lock {
    pthread_mutex_t mutex;
    pthread_rwlock_t rwlock;
    pthread_spinlock_t spin;
    mtx_t c11;
    sem_t semaphore;
    char room[256];
};

static _Alignas(256) union any_lock locks[THREADS_MAX];
static _Atomic unsigned long inside; /* what a section does */

static void init_mutex(union any_lock *lock, int type, int robust, int protocol) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutexattr_setrobust(&attributes, robust);
    pthread_mutexattr_setprotocol(&attributes, protocol);
    pthread_mutex_init(&lock->mutex, &attributes);
}

static void init_normal(union any_lock *lock) { init_mutex(lock, PTHREAD_MUTEX_NORMAL, 0, 0); }
static void init_recursive(union any_lock *lock) { init_mutex(lock, PTHREAD_MUTEX_RECURSIVE, 0, 0); }
static void init_checking(union any_lock *lock) { init_mutex(lock, PTHREAD_MUTEX_ERRORCHECK, 0, 0); }
static void init_robust(union any_lock *lock) { init_mutex(lock, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, 0); }
static void init_inheriting(union any_lock *lock) { init_mutex(lock, PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_INHERIT); }
static void init_rwlock(union any_lock *lock) { pthread_rwlock_init(&lock->rwlock, NULL); }
static void init_spin(union any_lock *lock) { pthread_spin_init(&lock->spin, 0); }
static void init_c11(union any_lock *lock) { mtx_init(&lock->c11, mtx_plain); }
static void init_semaphore(union any_lock *lock) { sem_init(&lock->semaphore, 0, 1); }

static void pair_mutex(union any_lock *lock) {
    pthread_mutex_lock(&lock->mutex);
    pthread_mutex_unlock(&lock->mutex);
}

static void pair_read(union any_lock *lock) {
    pthread_rwlock_rdlock(&lock->rwlock);
    pthread_rwlock_unlock(&lock->rwlock);
}

static void pair_write(union any_lock *lock) {
    pthread_rwlock_wrlock(&lock->rwlock);
    pthread_rwlock_unlock(&lock->rwlock);
}

static void pair_spin(union any_lock *lock) {
    pthread_spin_lock(&lock->spin);
    pthread_spin_unlock(&lock->spin);
}

static void pair_c11(union any_lock *lock) {
    mtx_lock(&lock->c11);
    mtx_unlock(&lock->c11);
}

static void pair_semaphore(union any_lock *lock) {
    sem_wait(&lock->semaphore);
    sem_post(&lock->semaphore);
}

static void work_ns(uint64_t ns) {
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + ns;
    while (clock_ns(CLOCK_MONOTONIC) < until)
        ;
}

static void section_short(union any_lock *lock) {
    pthread_mutex_lock(&lock->mutex);
    atomic_fetch_add_explicit(&inside, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lock->mutex);
}

static void section_us(union any_lock *lock) {
    pthread_mutex_lock(&lock->mutex);
    work_ns(1000);
    pthread_mutex_unlock(&lock->mutex);
    work_ns(1000);
}

static void section_read_mostly(union any_lock *lock) {
    static _Thread_local unsigned turn;
    if (++turn % 16) {
        pair_read(lock);
        return;
    }
    pthread_rwlock_wrlock(&lock->rwlock);
    work_ns(300);
    pthread_rwlock_unlock(&lock->rwlock);
}

static void section_spin(union any_lock *lock) {
    pthread_spin_lock(&lock->spin);
    work_ns(100);
    pthread_spin_unlock(&lock->spin);
    work_ns(100);
}

/* ---------------------------------------------------------------------------------------------------- slices */

struct kind {
    const char *name;
    void (*init)(union any_lock *lock);
    void (*pair)(union any_lock *lock);
    unsigned threads;
    bool one_lock;
};

struct run {
    const struct kind *kind;
    union any_lock *lock;
    uint64_t until_ns, cpu_ns, wall_ns, pairs;
};

static void *work(void *argument) {
    struct run *run = argument;
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), begin = clock_ns(CLOCK_MONOTONIC);
    while (clock_ns(CLOCK_MONOTONIC) < run->until_ns) {
        for (int i = 0; i < BATCH; i++)
            run->kind->pair(run->lock);
        run->pairs += BATCH;
    }
    run->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    run->wall_ns = clock_ns(CLOCK_MONOTONIC) - begin;
    return NULL;
}

static void run_kind(const struct kind *kind, unsigned ms, struct run runs[THREADS_MAX]) {
    pthread_t threads[THREADS_MAX];
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + ms * 1000000u;
    for (unsigned i = 0; i < kind->threads; i++)
        runs[i] = (struct run){.kind = kind, .lock = &locks[kind->one_lock ? 0 : i], .until_ns = until};
    for (unsigned i = 1; i < kind->threads; i++)
        pthread_create(&threads[i], NULL, work, &runs[i]);
    work(&runs[0]);
    for (unsigned i = 1; i < kind->threads; i++)
        pthread_join(threads[i], NULL);
}

/* ns of CPU a pair. */
static void added_slice(const void *what, double columns[SLICES_COLUMNS]) {
    const struct kind *kind = what;
    struct run runs[THREADS_MAX];
    double cpu = 0, pairs = 0;
    memset(columns, 0, SLICES_COLUMNS * sizeof(columns[0]));
    slices_pause_ms(SETTLE_MS);
    run_kind(kind, ADDED_MS, runs);
    for (unsigned i = 0; i < kind->threads; i++)
        cpu += (double)runs[i].cpu_ns, pairs += (double)runs[i].pairs;
    columns[0] = cpu / pairs;
}

/* ns of time an operation, of all threads together. */
static void contended_slice(const void *what, double columns[SLICES_COLUMNS]) {
    const struct kind *kind = what;
    struct run runs[THREADS_MAX];
    double rate = 0;
    memset(columns, 0, SLICES_COLUMNS * sizeof(columns[0]));
    slices_pause_ms(SETTLE_MS);
    run_kind(kind, CONTENDED_MS, runs);
    for (unsigned i = 0; i < kind->threads; i++)
        rate += (double)runs[i].pairs / (double)runs[i].wall_ns;
    columns[0] = 1 / rate;
}

static void compare_kinds(const struct kind *kinds, size_t count, int pairs, slices_fn slice) {
    for (size_t i = 0; i < count; i++) {
        struct slices_comparison same, other;
        for (unsigned j = 0; j < THREADS_MAX; j++)
            kinds[i].init(&locks[j]);
        slices_compare(slice, &kinds[i], pairs, false, &same);
        slices_compare(slice, &kinds[i], pairs, true, &other);
        printf("  %-44s %9.2f", kinds[i].name, other.off[0]);
        slices_say(&other.added[0]);
        slices_say(&same.added[0]);
        printf("  %6.3f\n", 1 + other.added[0].value / other.off[0]);
        fflush(stdout);
    }
}

static bool added(int pairs) {
    static const struct kind kinds[] = {
        {"mutex", init_normal, pair_mutex, 1, false},
        {"mutex, 2 threads with one each", init_normal, pair_mutex, 2, false},
        {"recursive mutex", init_recursive, pair_mutex, 1, false},
        {"error-checking mutex", init_checking, pair_mutex, 1, false},
        {"robust mutex", init_robust, pair_mutex, 1, false},
        {"priority-inheriting mutex", init_inheriting, pair_mutex, 1, false},
        {"read/write lock, to read", init_rwlock, pair_read, 1, false},
        {"read/write lock, to read, 2 threads and one lock", init_rwlock, pair_read, 2, true},
        {"read/write lock, to write", init_rwlock, pair_write, 1, false},
        {"spin lock", init_spin, pair_spin, 1, false},
        {"C11 mutex", init_c11, pair_c11, 1, false},
        {"semaphore", init_semaphore, pair_semaphore, 1, false},
    };
    printf("ns of CPU a pair of lock and unlock, %d pairs of %d ms: off; added by the lock profile; A/A; ratio\n",
           pairs, ADDED_MS);
    compare_kinds(kinds, sizeof(kinds) / sizeof(kinds[0]), pairs, added_slice);
    return true;
}

static bool contended(int pairs) {
    static const struct kind kinds[] = {
        {"mutex, 2 threads, short section", init_normal, section_short, 2, true},
        {"mutex, 8 threads, 1 us inside and outside", init_normal, section_us, 8, true},
        {"read/write lock, 2 threads, 1 in 16 writes", init_rwlock, section_read_mostly, 2, true},
        {"spin lock, 2 threads, 100 ns inside and outside", init_spin, section_spin, 2, true},
    };
    printf("ns of time an operation, %d pairs of %d ms: off; added by the lock profile; A/A; ratio\n", pairs,
           CONTENDED_MS);
    compare_kinds(kinds, sizeof(kinds) / sizeof(kinds[0]), pairs, contended_slice);
    return true;
}

/* ------------------------------------------------------------------------------- price: of one that is chosen */

#define BURST 100u /* what the profiler takes without losses */
#define BURSTS 20u
#define PAUSE_MS 2
#define FRAMES_AROUND 8 /* of a stack: those that are no links */

static volatile unsigned sink;

/* A wait that is given up at once. */
static void burst(void) {
    static const struct timespec past = {1, 0};
    for (unsigned i = 0; i < BURST; i++)
        if (pthread_mutex_timedlock(&locks[0].mutex, &past) != ETIMEDOUT)
            abort();
}

static __attribute__((noinline)) void link(unsigned depth) {
    if (depth)
        link(depth - 1);
    else
        burst();
    sink++;
}

static void price_slice(const void *what, double columns[SLICES_COLUMNS]) {
    uint64_t cpu = 0;
    memset(columns, 0, SLICES_COLUMNS * sizeof(columns[0]));
    slices_pause_ms(SETTLE_MS);
    for (unsigned i = 0; i < BURSTS; i++) {
        uint64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        link(*(const unsigned *)what);
        cpu += clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
        slices_pause_ms(PAUSE_MS);
    }
    otelprof_flush(5000);
    columns[0] = (double)cpu / (BURST * BURSTS);
}

static void *hold(void *unused) {
    pthread_mutex_lock(&locks[0].mutex);
    for (;;)
        slices_pause_ms(1000);
    return unused;
}

static bool price(int pairs) {
    static const unsigned depths[] = {10, 27, 60};
    pthread_t holder;
    init_normal(&locks[0]);
    pthread_create(&holder, NULL, hold, NULL);
    slices_pause_ms(50);
    printf("ns of CPU of a wait that is given up at once, %d pairs of slices: off; added where each is chosen; A/A\n",
           pairs);
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        unsigned links = depths[i] - FRAMES_AROUND;
        struct slices_comparison same, other;
        slices_compare(price_slice, &links, pairs, false, &same);
        slices_compare(price_slice, &links, pairs, true, &other);
        printf("  %2u frames %9.1f", depths[i], other.off[0]);
        slices_say(&other.added[0]);
        slices_say(&same.added[0]);
        puts("");
        fflush(stdout);
    }
    return true;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        bool (*run)(int pairs);
        const char *interval;
    } modes[] = {{"added", added, NULL}, {"contended", contended, NULL}, {"price", price, "1"}};
    int pairs = argc > 2 ? atoi(argv[2]) : 40;
    for (size_t i = 0; argc > 1 && pairs > 0 && pairs <= SLICES_PAIRS_MAX && i < sizeof(modes) / sizeof(modes[0]);
         i++) {
        if (strcmp(argv[1], modes[i].name) != 0)
            continue;
        if ((modes[i].interval && setenv("OTELPROF_LOCK_INTERVAL", modes[i].interval, 1)) ||
            !slices_start("lock_bench", OTELPROF_LOCK))
            return EXIT_FAILURE;
        bool done = modes[i].run(pairs);
        otelprof_shutdown(5000);
        exit(done ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    fprintf(stderr, "lock_bench added|contended|price [PAIRS]\n");
    return 2;
}
