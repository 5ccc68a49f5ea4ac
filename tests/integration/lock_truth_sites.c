// SPDX-License-Identifier: Apache-2.0
#include "lock_truth.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#include <otelprof/otelprof.h>

#define NOINLINE __attribute__((noinline))

static _Atomic unsigned sink; /* keeps calls from becoming jumps */
_Thread_local struct timespec lock_patience;

static struct timespec far_off(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += 60;
    return time;
}

/* One function that waits and one that lets go; each is the leaf of its stack. */
#define WAITS(name, type, call)                                                                                        \
    static NOINLINE int wait_##name(void *at) {                                                                        \
        type *lock = at;                                                                                               \
        int result = (call);                                                                                           \
        atomic_fetch_add(&sink, 1);                                                                                    \
        return result;                                                                                                 \
    }
#define RELEASES(name, type, call)                                                                                     \
    static NOINLINE void release_##name(void *at) {                                                                    \
        type *lock = at;                                                                                               \
        (call);                                                                                                        \
        atomic_fetch_add(&sink, 1);                                                                                    \
    }
#define DOES(name, type, call)                                                                                         \
    static void name(void *at) {                                                                                       \
        type *lock = at;                                                                                               \
        (call);                                                                                                        \
    }

DOES(lock_mutex, pthread_mutex_t, pthread_mutex_lock(lock))
DOES(unlock_mutex, pthread_mutex_t, pthread_mutex_unlock(lock))
DOES(lock_to_read, pthread_rwlock_t, pthread_rwlock_rdlock(lock))
DOES(lock_to_write, pthread_rwlock_t, pthread_rwlock_wrlock(lock))
DOES(unlock_rwlock, pthread_rwlock_t, pthread_rwlock_unlock(lock))
DOES(lock_spin, pthread_spinlock_t, pthread_spin_lock(lock))
DOES(unlock_spin, pthread_spinlock_t, pthread_spin_unlock(lock))
DOES(lock_c11, mtx_t, mtx_lock(lock))
DOES(unlock_c11, mtx_t, mtx_unlock(lock))

#define MUTEX_SITE(name)                                                                                               \
    WAITS(name, pthread_mutex_t, pthread_mutex_lock(lock))                                                             \
    RELEASES(name, pthread_mutex_t, pthread_mutex_unlock(lock))

MUTEX_SITE(normal)
MUTEX_SITE(recursive)
MUTEX_SITE(checking)
MUTEX_SITE(adaptive)
MUTEX_SITE(robust)
MUTEX_SITE(inheriting)
MUTEX_SITE(allocated)
MUTEX_SITE(named)

WAITS(timed, pthread_mutex_t, pthread_mutex_timedlock(lock, &(struct timespec){far_off(CLOCK_REALTIME).tv_sec, 0}))
RELEASES(timed, pthread_mutex_t, pthread_mutex_unlock(lock))
WAITS(clocked, pthread_mutex_t,
      pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &(struct timespec){far_off(CLOCK_MONOTONIC).tv_sec, 0}))
RELEASES(clocked, pthread_mutex_t, pthread_mutex_unlock(lock))
WAITS(given_up, pthread_mutex_t, pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &lock_patience))
RELEASES(given_up, pthread_mutex_t, pthread_mutex_unlock(lock))
WAITS(reader_for_writer, pthread_rwlock_t, pthread_rwlock_rdlock(lock))
RELEASES(reader_for_writer, pthread_rwlock_t, pthread_rwlock_unlock(lock))
WAITS(writer_for_reader, pthread_rwlock_t, pthread_rwlock_wrlock(lock))
RELEASES(writer_for_reader, pthread_rwlock_t, pthread_rwlock_unlock(lock))
WAITS(writer_for_writer, pthread_rwlock_t, pthread_rwlock_wrlock(lock))
RELEASES(writer_for_writer, pthread_rwlock_t, pthread_rwlock_unlock(lock))
WAITS(spinning, pthread_spinlock_t, pthread_spin_lock(lock))
RELEASES(spinning, pthread_spinlock_t, pthread_spin_unlock(lock))
WAITS(c11, mtx_t, mtx_lock(lock))
RELEASES(c11, mtx_t, mtx_unlock(lock))

/* ------------------------------------------------------------------------------------------------- for work */

static struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool open;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static struct gate *gate_of(void *at) { return (struct gate *)(void *)((char *)at - offsetof(struct gate, cond)); }

static NOINLINE int wait_condition(void *at) {
    struct gate *the = gate_of(at);
    pthread_mutex_lock(&the->mutex);
    while (!the->open)
        pthread_cond_wait(&the->cond, &the->mutex);
    the->open = false;
    pthread_mutex_unlock(&the->mutex);
    return 0;
}

static NOINLINE void release_condition(void *at) {
    struct gate *the = gate_of(at);
    pthread_mutex_lock(&the->mutex);
    the->open = true;
    pthread_cond_signal(&the->cond);
    pthread_mutex_unlock(&the->mutex);
}

WAITS(semaphore, sem_t, sem_wait(lock))
RELEASES(semaphore, sem_t, sem_post(lock))
WAITS(barrier, pthread_barrier_t, pthread_barrier_wait(lock) > 0)
RELEASES(barrier, pthread_barrier_t, pthread_barrier_wait(lock))

/* -------------------------------------------------------------------------------------------- their locks */

static pthread_mutex_t normal_lock = PTHREAD_MUTEX_INITIALIZER, timed_lock = PTHREAD_MUTEX_INITIALIZER,
                       clocked_lock = PTHREAD_MUTEX_INITIALIZER, given_up_lock = PTHREAD_MUTEX_INITIALIZER,
                       named_lock = PTHREAD_MUTEX_INITIALIZER, module_lock = PTHREAD_MUTEX_INITIALIZER,
                       adaptive_lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP,
                       recursive_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
                       checking_lock = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP, robust_lock, inheriting_lock;
static pthread_rwlock_t first_rwlock = PTHREAD_RWLOCK_INITIALIZER, second_rwlock = PTHREAD_RWLOCK_INITIALIZER,
                        third_rwlock = PTHREAD_RWLOCK_INITIALIZER;
static struct {
    long other;
    pthread_spinlock_t lock;
} in_a_struct;
static mtx_t c11_lock;
static sem_t semaphore_lock;
static pthread_barrier_t barrier_lock;

#define IS(name, variable)                                                                                             \
    static void *name##_at(void) { return &(variable); }
IS(normal, normal_lock)
IS(timed, timed_lock)
IS(clocked, clocked_lock)
IS(given_up, given_up_lock)
IS(module, module_lock)
IS(adaptive, adaptive_lock)
IS(recursive, recursive_lock)
IS(checking, checking_lock)
IS(reader_for_writer, first_rwlock)
IS(writer_for_reader, second_rwlock)
IS(writer_for_writer, third_rwlock)
IS(condition, gate.cond)

static void *named_at(void) { return otelprof_lock_name(&named_lock, "sessions") ? NULL : &named_lock; }
static void *c11_at(void) { return mtx_init(&c11_lock, mtx_plain) == thrd_success ? &c11_lock : NULL; }
static void *semaphore_at(void) { return sem_init(&semaphore_lock, 0, 0) ? NULL : &semaphore_lock; }
static void *barrier_at(void) { return pthread_barrier_init(&barrier_lock, NULL, 2) ? NULL : &barrier_lock; }
static void *spinning_at(void) {
    return pthread_spin_init(&in_a_struct.lock, 0) ? NULL : (void *)(uintptr_t)&in_a_struct.lock;
}

static void *allocated_at(void) {
    pthread_mutex_t *lock = malloc(sizeof(*lock));
    return lock && pthread_mutex_init(lock, NULL) == 0 ? lock : NULL;
}

static void *robust_at(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    return pthread_mutex_init(&robust_lock, &attributes) ? NULL : &robust_lock;
}

static void *inheriting_at(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    return pthread_mutex_init(&inheriting_lock, &attributes) ? NULL : &inheriting_lock;
}

/* ------------------------------------------------------------------------------------------------ the table */

#define SITE(name, kind, mode, holder_mode, variable, unwait, take, ...)                                               \
    { #name, kind, mode, holder_mode, variable, name##_at, wait_##name, unwait, take, release_##name, __VA_ARGS__ }
#define MUTEX(name, variable) SITE(name, "mutex", "", "", variable, unlock_mutex, lock_mutex, false, false)

const struct lock_site lock_sites[] = {
    MUTEX(normal, "normal_lock"),
    MUTEX(recursive, "recursive_lock"),
    MUTEX(checking, "checking_lock"),
    MUTEX(adaptive, "adaptive_lock"),
    MUTEX(robust, "robust_lock"),
    MUTEX(inheriting, "inheriting_lock"),
    MUTEX(timed, "timed_lock"),
    MUTEX(clocked, "clocked_lock"),
    MUTEX(named, "sessions"),
    MUTEX(allocated, "in wait_allocated"),
    SITE(given_up, "mutex", "", "", "given_up_lock", unlock_mutex, lock_mutex, true, false),
    SITE(reader_for_writer, "rwlock", "read", "write", "first_rwlock", unlock_rwlock, lock_to_write, false, false),
    SITE(writer_for_reader, "rwlock", "write", "read", "second_rwlock", unlock_rwlock, lock_to_read, false, true),
    SITE(writer_for_writer, "rwlock", "write", "write", "third_rwlock", unlock_rwlock, lock_to_write, false, false),
    SITE(spinning, "spinlock", "", "", "in_a_struct+0x8", unlock_spin, lock_spin, false, true),
    SITE(c11, "mutex", "", "", "c11_lock", unlock_c11, lock_c11, false, false),
    SITE(condition, "condition", "", NULL, "gate+0x28", NULL, NULL, false, true),
    SITE(semaphore, "semaphore", "", NULL, "semaphore_lock", NULL, NULL, false, true),
    SITE(barrier, "barrier", "", NULL, "barrier_lock", NULL, NULL, false, true),
};
const unsigned lock_site_count = sizeof(lock_sites) / sizeof(lock_sites[0]);

struct lock_site lock_module_site = {
    .name = "module",
    .kind = "mutex",
    .mode = "",
    .holder_mode = "",
    .lock = module_at,
    .lock_name = "module_lock",
    .unwait = unlock_mutex,
    .take = lock_mutex,
};
