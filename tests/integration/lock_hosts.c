// SPDX-License-Identifier: Apache-2.0
/*
 * A host that has the lock profile switched on and off a thousand times while eight threads use every kind of lock;
 * what the locks guard stays whole, and the account is exact: lock_hosts OUTPUT_DIR [TIMES]
 */
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

#include "expect.h"

#define THREADS 8

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
                       adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP, robust;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spinlock;
static mtx_t c11;
static sem_t semaphore;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static atomic_bool over;

/* Each guarded by the lock of its number: a sum, and its double at all times but inside. */
static struct { long sum, twice; } guarded[6];
static _Atomic long wrong;

static void touch(int number) {
    if (guarded[number].twice != 2 * guarded[number].sum)
        atomic_fetch_add(&wrong, 1);
    guarded[number].sum++;
    guarded[number].twice += 2;
}

static void look(int number) {
    if (guarded[number].twice != 2 * guarded[number].sum)
        atomic_fetch_add(&wrong, 1);
}

static void use_mutexes(void) {
    GIVES(0, pthread_mutex_lock(&mutex));
    touch(0);
    pthread_cond_signal(&cond);
    GIVES(0, pthread_mutex_unlock(&mutex));
    GIVES(0, pthread_mutex_lock(&recursive));
    GIVES(0, pthread_mutex_lock(&recursive));
    touch(1);
    GIVES(0, pthread_mutex_unlock(&recursive));
    GIVES(0, pthread_mutex_unlock(&recursive));
    GIVES(0, pthread_mutex_lock(&adaptive));
    touch(2);
    GIVES(0, pthread_mutex_unlock(&adaptive));
    GIVES(0, pthread_mutex_lock(&robust));
    touch(3);
    GIVES(0, pthread_mutex_unlock(&robust));
}

static void use_others(unsigned turn) {
    if (turn % 8) {
        GIVES(0, pthread_rwlock_rdlock(&rwlock));
        look(4);
        GIVES(0, pthread_rwlock_unlock(&rwlock));
    } else {
        GIVES(0, pthread_rwlock_wrlock(&rwlock));
        touch(4);
        GIVES(0, pthread_rwlock_unlock(&rwlock));
    }
    GIVES(0, pthread_spin_lock(&spinlock));
    touch(5);
    GIVES(0, pthread_spin_unlock(&spinlock));
    GIVES(0, sem_wait(&semaphore));
    GIVES(0, sem_post(&semaphore));
    GIVES(thrd_success, mtx_lock(&c11));
    GIVES(thrd_success, mtx_unlock(&c11));
}

/* Blocks that go from thread to thread, so that the allocator's own locks are contended too. */
static _Atomic(void *) passed_on[64];

static void allocate(unsigned turn) {
    char *block = malloc(16 + turn * 131 % 60000);
    EXPECT(block);
    if (block)
        *block = 1;
    free(atomic_exchange(&passed_on[turn % 64], (void *)block));
}

static void *work(void *argument) {
    struct otelprof_span_token token;
    uint8_t trace[16] = "lock hosts", span[8] = "host";
    trace[12] = span[4] = (uint8_t)((uintptr_t)argument + 1);
    token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
    for (unsigned turn = 0; !atomic_load(&over); turn++) {
        use_mutexes();
        use_others(turn);
        allocate(turn + (unsigned)(uintptr_t)argument * 7);
        if (turn % 64 == 0) {
            struct timespec soon;
            clock_gettime(CLOCK_REALTIME, &soon);
            soon.tv_nsec += 2000000; /* all may wait at once: nobody signals then */
            soon.tv_sec += soon.tv_nsec / 1000000000;
            soon.tv_nsec %= 1000000000;
            GIVES(0, pthread_mutex_lock(&mutex));
            pthread_cond_timedwait(&cond, &mutex, &soon);
            touch(0);
            GIVES(0, pthread_mutex_unlock(&mutex));
        }
    }
    otelprof_span_exit(token);
    return NULL;
}

static void make_locks(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    GIVES(0, pthread_mutex_init(&robust, &attributes));
    GIVES(0, pthread_spin_init(&spinlock, 0));
    GIVES(0, sem_init(&semaphore, 0, 2));
    GIVES(thrd_success, mtx_init(&c11, mtx_plain));
}

static struct otelprof_stats stats(void) {
    struct otelprof_stats now = {.size = sizeof(now)};
    GIVES(0, otelprof_stats(&now));
    return now;
}

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    pthread_t threads[THREADS];
    int times = argc > 2 ? atoi(argv[2]) : 1000;
    make_locks();
    options.output_dir = argc > 1 ? argv[1] : NULL;
    options.profiles = OTELPROF_CPU | OTELPROF_LOCK;
    options.lock_interval_ns = 1000;
    options.window_ms = 500;
    options.start_timeout_ms = 20000;
    GIVES(0, otelprof_init(&options));
    uint64_t words = stats().hook_words;
    for (uintptr_t i = 0; i < THREADS; i++)
        GIVES(0, pthread_create(&threads[i], NULL, work, (void *)i));
    for (int i = 0; i < times; i++) {
        GIVES(0, otelprof_disable(OTELPROF_LOCK));
        GIVES(0, stats().hook_words);
        GIVES(0, otelprof_enable(OTELPROF_LOCK));
        usleep(500);
    }
    GIVES(words, stats().hook_words);
    usleep(300000);
    atomic_store(&over, true);
    for (int i = 0; i < THREADS; i++)
        GIVES(0, pthread_join(threads[i], NULL));
    GIVES(0, otelprof_disable(OTELPROF_CPU | OTELPROF_LOCK));
    GIVES(0, otelprof_flush(20000));
    struct otelprof_stats now = stats();
    printf("%d times, %ld uses, waits %llu, holders %llu, unseen %llu, by leaf %llu, lost %llu\n", times,
           guarded[0].sum, (unsigned long long)now.lock_samples, (unsigned long long)now.lock_holders,
           (unsigned long long)now.lock_holders_unseen, (unsigned long long)now.lock_holders_leaf,
           (unsigned long long)now.lost_ring_full);
    GIVES(0, atomic_load(&wrong));
    EXPECT(now.lock_samples > 100 && now.lock_holders > 10);
    GIVES(now.samples_fired, now.samples_exported + now.lost_ring_full + now.lost_memory + now.lost_decode);
    GIVES(0, otelprof_shutdown(20000));
    return expect_failures ? 1 : 0;
}
