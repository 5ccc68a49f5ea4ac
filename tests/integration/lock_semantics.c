// SPDX-License-Identifier: Apache-2.0
/*
 * What functions of locks return and do, case by case, as text that is the same in each run: lock_semantics [DIR]
 *
 * Run as it is, and under `otelprof run`; with DIR it takes profiles itself, and switches them on and off meanwhile.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "lock_semantics.h"

#define MANY 2000

static const char *case_name;
static _Atomic int stage; /* of two threads that take turns */

static const char *name_of(int error) {
    switch (error) {
    case 0:
        return "0";
    case EBUSY:
        return "EBUSY";
    case EDEADLK:
        return "EDEADLK";
    case EPERM:
        return "EPERM";
    case EINVAL:
        return "EINVAL";
    case ETIMEDOUT:
        return "ETIMEDOUT";
    case EOWNERDEAD:
        return "EOWNERDEAD";
    case ENOTRECOVERABLE:
        return "ENOTRECOVERABLE";
    case EAGAIN:
        return "EAGAIN";
    case EINTR:
        return "EINTR";
    case PTHREAD_BARRIER_SERIAL_THREAD:
        return "SERIAL";
    default:
        return "other";
    }
}

/* One line: the case and what was seen. */
static void say(const char *what, int error) {
    printf("%s: %s: %s%s\n", case_name, what, name_of(error), errno == 7777 ? "" : " (errno changed)");
    errno = 7777;
}

static void say_number(const char *what, long number) { printf("%s: %s: %ld\n", case_name, what, number); }

#define SAY(call) say(#call, call)
#define SAY_ERRNO(call)                                                                                                \
    do {                                                                                                               \
        int result_ = (call);                                                                                          \
        printf("%s: %s: %d, errno %s\n", case_name, #call, result_,                                                    \
               result_         ? name_of(errno)                                                                        \
               : errno == 7777 ? "-"                                                                                   \
                               : "?");                                                                                 \
        errno = 7777;                                                                                                  \
    } while (0)

static struct timespec in_ms(clockid_t clock, long ms) {
    struct timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += ms / 1000;
    time.tv_nsec += ms % 1000 * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

static void reach(int number) { atomic_store(&stage, number); }

static void await(int number) {
    while (atomic_load(&stage) < number)
        usleep(100);
}

static void in_thread(void *(*body)(void *), void *argument) {
    pthread_t thread;
    pthread_create(&thread, NULL, body, argument);
    pthread_join(thread, NULL);
}

/* ------------------------------------------------------------------------------------------------- mutexes */

struct mutex_kind {
    const char *name;
    int type, protocol, robust, shared;
};

static const struct mutex_kind mutex_kinds[] = {
    {"normal", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, 0},
    {"recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, 0},
    {"checking", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, 0},
    {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, 0},
    {"robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, 0},
    {"robust-recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, 0},
    {"robust-checking", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, 0},
    {"inheriting", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, 0},
    {"inheriting-recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, 0},
    {"inheriting-checking", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, 0},
    {"inheriting-robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ROBUST, 0},
    {"protecting", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_PROTECT, PTHREAD_MUTEX_STALLED, 0},
    {"shared", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, 1},
    {"shared-robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, 1},
};
#define MUTEX_KINDS (sizeof(mutex_kinds) / sizeof(mutex_kinds[0]))

static void make_mutex(pthread_mutex_t *mutex, const struct mutex_kind *kind) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, kind->type);
    pthread_mutexattr_setprotocol(&attributes, kind->protocol);
    pthread_mutexattr_setrobust(&attributes, kind->robust);
    pthread_mutexattr_setpshared(&attributes, kind->shared);
    SAY(pthread_mutex_init(mutex, &attributes));
    pthread_mutexattr_destroy(&attributes);
}

static void *others_tries(void *argument) {
    pthread_mutex_t *mutex = argument;
    struct timespec soon = in_ms(CLOCK_REALTIME, 20), soon_too = in_ms(CLOCK_MONOTONIC, 20), past = {1, 0};
    struct timespec negative = {LONG_MAX / 2, -1}, large = {LONG_MAX / 2, 1000000000};
    errno = 7777;
    SAY(pthread_mutex_trylock(mutex));
    SAY(pthread_mutex_timedlock(mutex, &soon));
    SAY(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &soon_too));
    SAY(pthread_mutex_timedlock(mutex, &past));
    SAY(pthread_mutex_timedlock(mutex, &negative));
    SAY(pthread_mutex_timedlock(mutex, &large));
    SAY(pthread_mutex_clocklock(mutex, CLOCK_PROCESS_CPUTIME_ID, &soon));
    return NULL;
}

static void *unlocks_of_others(void *mutex) {
    errno = 7777;
    SAY(pthread_mutex_unlock(mutex));
    return NULL;
}

static bool checks_owner(const struct mutex_kind *kind) {
    return kind->type == PTHREAD_MUTEX_RECURSIVE || kind->type == PTHREAD_MUTEX_ERRORCHECK;
}

/* By its owner again. A normal one would wait for ever, so only with a time. */
static void again(pthread_mutex_t *mutex, const struct mutex_kind *kind) {
    struct timespec soon = in_ms(CLOCK_REALTIME, 20);
    SAY(pthread_mutex_trylock(mutex));
    SAY(pthread_mutex_timedlock(mutex, &soon));
    if (checks_owner(kind))
        SAY(pthread_mutex_lock(mutex));
    if (kind->type == PTHREAD_MUTEX_RECURSIVE)
        for (int i = 0; i < 3; i++)
            SAY(pthread_mutex_unlock(mutex));
}

static void *take_and_hold(void *argument) {
    pthread_mutex_lock(argument);
    reach(1);
    usleep(5000);
    pthread_mutex_unlock(argument);
    return NULL;
}

/* Waits for it, by each function that can. */
static void contended(pthread_mutex_t *mutex) {
    for (int way = 0; way < 3; way++) {
        struct timespec later = in_ms(CLOCK_REALTIME, 60000), later_too = in_ms(CLOCK_MONOTONIC, 60000);
        pthread_t thread;
        reach(0);
        pthread_create(&thread, NULL, take_and_hold, mutex);
        await(1);
        errno = 7777;
        if (way == 0)
            SAY(pthread_mutex_lock(mutex));
        else if (way == 1)
            SAY(pthread_mutex_timedlock(mutex, &later));
        else
            SAY(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &later_too));
        SAY(pthread_mutex_unlock(mutex));
        pthread_join(thread, NULL);
    }
}

static void free_with_odd_times(pthread_mutex_t *mutex) {
    struct timespec negative = {1, -1}, large = {1, 1000000000}, past = {1, 0};
    const struct timespec *const odd[] = {&negative, &large, &past};
    for (int i = 0; i < 3; i++) {
        SAY(pthread_mutex_timedlock(mutex, odd[i]));
        SAY(pthread_mutex_unlock(mutex));
    }
    SAY(pthread_mutex_clocklock(mutex, CLOCK_PROCESS_CPUTIME_ID, &past));
    SAY(pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &past));
    SAY(pthread_mutex_unlock(mutex));
}

static void *dies_with_it(void *mutex) {
    pthread_mutex_lock(mutex);
    return NULL;
}

static void owner_dies(pthread_mutex_t *mutex) {
    in_thread(dies_with_it, mutex);
    SAY(pthread_mutex_lock(mutex));
    SAY(pthread_mutex_consistent(mutex));
    SAY(pthread_mutex_unlock(mutex));
    SAY(pthread_mutex_lock(mutex));
    SAY(pthread_mutex_unlock(mutex));
    in_thread(dies_with_it, mutex);
    SAY(pthread_mutex_trylock(mutex));
    SAY(pthread_mutex_unlock(mutex)); /* not made consistent: lost for good */
    SAY(pthread_mutex_lock(mutex));
    SAY(pthread_mutex_trylock(mutex));
}

static void *dies_while_waited_for(void *mutex) {
    pthread_mutex_lock(mutex);
    reach(1);
    usleep(5000);
    return NULL;
}

static void owner_dies_while_waited_for(pthread_mutex_t *mutex) {
    pthread_t thread;
    reach(0);
    pthread_create(&thread, NULL, dies_while_waited_for, mutex);
    await(1);
    errno = 7777;
    SAY(pthread_mutex_lock(mutex));
    SAY(pthread_mutex_consistent(mutex));
    SAY(pthread_mutex_unlock(mutex));
    pthread_join(thread, NULL);
}

static void mutex_case(const struct mutex_kind *kind) {
    static char name[64];
    pthread_mutex_t mutex;
    snprintf(name, sizeof(name), "mutex %s", kind->name);
    case_name = name;
    make_mutex(&mutex, kind);
    SAY(pthread_mutex_lock(&mutex));
    again(&mutex, kind);
    in_thread(others_tries, &mutex);
    if (checks_owner(kind) || kind->robust)
        in_thread(unlocks_of_others, &mutex);
    SAY(pthread_mutex_destroy(&mutex));
    SAY(pthread_mutex_unlock(&mutex));
    if (checks_owner(kind) || kind->robust)
        SAY(pthread_mutex_unlock(&mutex));
    free_with_odd_times(&mutex);
    contended(&mutex);
    SAY(pthread_mutex_destroy(&mutex));
    if (!kind->robust)
        return;
    make_mutex(&mutex, kind);
    owner_dies_while_waited_for(&mutex);
    owner_dies(&mutex);
    SAY(pthread_mutex_destroy(&mutex));
}

static void mutexes(void) {
    for (size_t i = 0; i < MUTEX_KINDS; i++)
        mutex_case(&mutex_kinds[i]);
}

/* ------------------------------------------------------------------------------------------ read/write locks */

static void *others_rwlock_tries(void *argument) {
    pthread_rwlock_t *rwlock = argument;
    struct timespec soon = in_ms(CLOCK_REALTIME, 20), soon_too = in_ms(CLOCK_MONOTONIC, 20);
    struct timespec soon_again = in_ms(CLOCK_REALTIME, 20), odd = {1, -1};
    int read = pthread_rwlock_tryrdlock(rwlock);
    errno = 7777;
    say("tryrdlock", read);
    if (!read)
        SAY(pthread_rwlock_unlock(rwlock));
    SAY(pthread_rwlock_trywrlock(rwlock));
    SAY(pthread_rwlock_timedwrlock(rwlock, &soon));
    SAY(pthread_rwlock_clockwrlock(rwlock, CLOCK_MONOTONIC, &soon_too));
    SAY(pthread_rwlock_timedwrlock(rwlock, &odd));
    SAY(pthread_rwlock_timedrdlock(rwlock, &odd));
    SAY(pthread_rwlock_clockrdlock(rwlock, CLOCK_PROCESS_CPUTIME_ID, &soon));
    read = pthread_rwlock_timedrdlock(rwlock, &soon_again);
    say("timedrdlock", read);
    if (!read)
        SAY(pthread_rwlock_unlock(rwlock));
    return NULL;
}

static void *write_and_hold(void *argument) {
    pthread_rwlock_wrlock(argument);
    reach(1);
    usleep(5000);
    pthread_rwlock_unlock(argument);
    return NULL;
}

static void *read_and_hold(void *argument) {
    pthread_rwlock_rdlock(argument);
    reach(1);
    usleep(5000);
    pthread_rwlock_unlock(argument);
    return NULL;
}

static void rwlock_contended(pthread_rwlock_t *rwlock) {
    for (int way = 0; way < 6; way++) {
        struct timespec later = in_ms(CLOCK_REALTIME, 60000), later_too = in_ms(CLOCK_MONOTONIC, 60000);
        pthread_t thread;
        reach(0);
        pthread_create(&thread, NULL, way == 1 ? read_and_hold : write_and_hold, rwlock);
        await(1);
        errno = 7777;
        int (*const plain[])(pthread_rwlock_t *) = {pthread_rwlock_rdlock, pthread_rwlock_wrlock};
        if (way < 2)
            say(way ? "wrlock" : "rdlock", plain[way](rwlock));
        else if (way == 2)
            SAY(pthread_rwlock_timedrdlock(rwlock, &later));
        else if (way == 3)
            SAY(pthread_rwlock_timedwrlock(rwlock, &later));
        else if (way == 4)
            SAY(pthread_rwlock_clockrdlock(rwlock, CLOCK_MONOTONIC, &later_too));
        else
            SAY(pthread_rwlock_clockwrlock(rwlock, CLOCK_MONOTONIC, &later_too));
        SAY(pthread_rwlock_unlock(rwlock));
        pthread_join(thread, NULL);
    }
}

static void rwlock_case(const char *name, int preference) {
    pthread_rwlockattr_t attributes;
    pthread_rwlock_t rwlock;
    struct timespec odd = {1, 1000000000}, past = {1, 0};
    case_name = name;
    pthread_rwlockattr_init(&attributes);
    SAY(pthread_rwlockattr_setkind_np(&attributes, preference));
    SAY(pthread_rwlock_init(&rwlock, &attributes));
    SAY(pthread_rwlock_rdlock(&rwlock));
    SAY(pthread_rwlock_rdlock(&rwlock));
    SAY(pthread_rwlock_trywrlock(&rwlock));
    in_thread(others_rwlock_tries, &rwlock);
    SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_wrlock(&rwlock));
    SAY(pthread_rwlock_wrlock(&rwlock));
    SAY(pthread_rwlock_rdlock(&rwlock));
    SAY(pthread_rwlock_tryrdlock(&rwlock));
    in_thread(others_rwlock_tries, &rwlock);
    SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_timedrdlock(&rwlock, &odd));
    SAY(pthread_rwlock_timedwrlock(&rwlock, &odd));
    SAY(pthread_rwlock_timedrdlock(&rwlock, &past));
    SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_clockwrlock(&rwlock, CLOCK_PROCESS_CPUTIME_ID, &past));
    rwlock_contended(&rwlock);
    SAY(pthread_rwlock_destroy(&rwlock));
}

static void rwlocks(void) {
    rwlock_case("rwlock readers first", PTHREAD_RWLOCK_PREFER_READER_NP);
    rwlock_case("rwlock writers first", PTHREAD_RWLOCK_PREFER_WRITER_NP);
    rwlock_case("rwlock writers first, not recursive", PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
}

/* ---------------------------------------------------------------------------------------------- spin locks */

static void *spin_and_hold(void *argument) {
    pthread_spin_lock(argument);
    reach(1);
    usleep(5000);
    pthread_spin_unlock(argument);
    return NULL;
}

static void spin_locks(void) {
    pthread_spinlock_t spinlock;
    pthread_t thread;
    case_name = "spin lock";
    SAY(pthread_spin_init(&spinlock, 0));
    SAY(pthread_spin_lock(&spinlock));
    SAY(pthread_spin_trylock(&spinlock));
    SAY(pthread_spin_unlock(&spinlock));
    reach(0);
    pthread_create(&thread, NULL, spin_and_hold, (void *)(uintptr_t)&spinlock);
    await(1);
    errno = 7777;
    SAY(pthread_spin_lock(&spinlock));
    SAY(pthread_spin_unlock(&spinlock));
    pthread_join(thread, NULL);
    SAY(pthread_spin_destroy(&spinlock));
}

/* ---------------------------------------------------------------------------------------------- conditions */

static pthread_mutex_t mutex_of_cond = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool ready;

static void *make_ready(void *unused) {
    usleep(5000);
    pthread_mutex_lock(&mutex_of_cond);
    ready = true;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex_of_cond);
    return unused;
}

static void condition_in_time(int way) {
    struct timespec later = in_ms(CLOCK_REALTIME, 60000), later_too = in_ms(CLOCK_MONOTONIC, 60000);
    pthread_t thread;
    int result = 0;
    ready = false;
    pthread_mutex_lock(&mutex_of_cond);
    pthread_create(&thread, NULL, make_ready, NULL);
    errno = 7777;
    while (!ready && !result)
        result = way == 0   ? pthread_cond_wait(&cond, &mutex_of_cond)
                 : way == 1 ? pthread_cond_timedwait(&cond, &mutex_of_cond, &later)
                            : pthread_cond_clockwait(&cond, &mutex_of_cond, CLOCK_MONOTONIC, &later_too);
    say("in time", result);
    SAY(pthread_mutex_trylock(&mutex_of_cond)); /* it is held again */
    SAY(pthread_mutex_unlock(&mutex_of_cond));
    pthread_join(thread, NULL);
}

static void unlock_at_cancel(void *unused) {
    (void)unused;
    say("in the cleanup handler, trylock", pthread_mutex_trylock(&mutex_of_cond));
    SAY(pthread_mutex_unlock(&mutex_of_cond));
}

static void *wait_to_be_cancelled(void *unused) {
    pthread_mutex_lock(&mutex_of_cond);
    errno = 7777;
    pthread_cleanup_push(unlock_at_cancel, NULL);
    reach(1);
    for (;;)
        pthread_cond_wait(&cond, &mutex_of_cond);
    pthread_cleanup_pop(0);
    return unused;
}

static void cancelled(void *(*body)(void *)) {
    pthread_t thread;
    void *value = NULL;
    reach(0);
    pthread_create(&thread, NULL, body, NULL);
    await(1);
    usleep(5000);
    pthread_cancel(thread);
    pthread_join(thread, &value);
    say_number("cancelled", value == PTHREAD_CANCELED);
}

static void conditions(void) {
    struct timespec past = {1, 0}, odd = {1, -1}, soon = in_ms(CLOCK_REALTIME, 20);
    pthread_mutex_t checking;
    pthread_mutexattr_t attributes;
    case_name = "condition";
    for (int way = 0; way < 3; way++)
        condition_in_time(way);
    SAY(pthread_mutex_lock(&mutex_of_cond));
    SAY(pthread_cond_timedwait(&cond, &mutex_of_cond, &past));
    SAY(pthread_cond_timedwait(&cond, &mutex_of_cond, &odd));
    SAY(pthread_cond_timedwait(&cond, &mutex_of_cond, &soon));
    SAY(pthread_cond_clockwait(&cond, &mutex_of_cond, CLOCK_PROCESS_CPUTIME_ID, &soon));
    SAY(pthread_mutex_unlock(&mutex_of_cond));
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&checking, &attributes);
    SAY(pthread_cond_timedwait(&cond, &checking, &soon)); /* not locked */
    cancelled(wait_to_be_cancelled);
    SAY(pthread_mutex_trylock(&mutex_of_cond));
    SAY(pthread_mutex_unlock(&mutex_of_cond));
}

/* ----------------------------------------------------------------------------------------------- semaphores */

static sem_t semaphore;

static void *post_later(void *unused) {
    usleep(5000);
    sem_post(&semaphore);
    return unused;
}

static void on_signal(int number) { (void)number; }

static void *signal_later(void *thread) {
    usleep(5000);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

static void *wait_for_a_post(void *unused) {
    reach(1);
    sem_wait(&semaphore);
    return unused;
}

static void *wait_with_a_cancel_pending(void *unused) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    reach(1);
    await(2);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    sem_wait(&semaphore); /* takes nothing, although there is one */
    reach(3);
    return unused;
}

static void semaphore_cancelled_with_one_there(void) {
    pthread_t thread;
    void *value = NULL;
    int left = -1;
    sem_post(&semaphore);
    reach(0);
    pthread_create(&thread, NULL, wait_with_a_cancel_pending, NULL);
    await(1);
    pthread_cancel(thread);
    reach(2);
    pthread_join(thread, &value);
    sem_getvalue(&semaphore, &left);
    say_number("cancelled", value == PTHREAD_CANCELED);
    say_number("left", left);
    say_number("came on", atomic_load(&stage) == 3);
    sem_trywait(&semaphore);
}

static void semaphore_in_time(int way) {
    struct timespec later = in_ms(CLOCK_REALTIME, 60000), later_too = in_ms(CLOCK_MONOTONIC, 60000);
    pthread_t thread;
    pthread_create(&thread, NULL, post_later, NULL);
    errno = 7777;
    if (way == 0)
        SAY_ERRNO(sem_wait(&semaphore));
    else if (way == 1)
        SAY_ERRNO(sem_timedwait(&semaphore, &later));
    else
        SAY_ERRNO(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &later_too));
    pthread_join(thread, NULL);
}

static void semaphores(void) {
    struct sigaction action = {.sa_handler = on_signal};
    struct timespec past = {1, 0}, odd = {1, -1}, soon = in_ms(CLOCK_REALTIME, 20);
    pthread_t self = pthread_self(), thread;
    case_name = "semaphore";
    SAY_ERRNO(sem_init(&semaphore, 0, 2));
    SAY_ERRNO(sem_wait(&semaphore));
    SAY_ERRNO(sem_timedwait(&semaphore, &past));
    SAY_ERRNO(sem_trywait(&semaphore));
    SAY_ERRNO(sem_timedwait(&semaphore, &past));
    SAY_ERRNO(sem_timedwait(&semaphore, &odd));
    SAY_ERRNO(sem_timedwait(&semaphore, &soon));
    SAY_ERRNO(sem_clockwait(&semaphore, CLOCK_PROCESS_CPUTIME_ID, &soon));
    SAY_ERRNO(sem_post(&semaphore));
    SAY_ERRNO(sem_timedwait(&semaphore, &odd)); /* refused, although there is one */
    SAY_ERRNO(sem_clockwait(&semaphore, CLOCK_PROCESS_CPUTIME_ID, &soon));
    SAY_ERRNO(sem_trywait(&semaphore));
    for (int way = 0; way < 3; way++)
        semaphore_in_time(way);
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&thread, NULL, signal_later, &self);
    errno = 7777;
    SAY_ERRNO(sem_wait(&semaphore));
    pthread_join(thread, NULL);
    cancelled(wait_for_a_post);
    semaphore_cancelled_with_one_there();
}

/* ------------------------------------------------------------------------------------ threads and barriers */

static void *leave_later(void *value) {
    usleep(5000);
    return value;
}

static void *join_self(void *unused) {
    errno = 7777;
    SAY(pthread_join(pthread_self(), NULL));
    return unused;
}

static pthread_t joined_by_a_cancelled;

static void *join_for_long(void *unused) {
    reach(1);
    pthread_join(joined_by_a_cancelled, NULL);
    return unused;
}

static void *stay(void *unused) {
    await(9);
    return unused;
}

static void joins(void) {
    struct timespec soon = in_ms(CLOCK_REALTIME, 1), later = in_ms(CLOCK_MONOTONIC, 60000);
    pthread_t thread;
    void *value = NULL;
    case_name = "join";
    reach(0);
    pthread_create(&joined_by_a_cancelled, NULL, stay, NULL);
    SAY(pthread_tryjoin_np(joined_by_a_cancelled, &value));
    SAY(pthread_timedjoin_np(joined_by_a_cancelled, &value, &soon));
    cancelled(join_for_long);
    reach(9);
    SAY(pthread_join(joined_by_a_cancelled, &value));
    for (int way = 0; way < 2; way++) {
        pthread_create(&thread, NULL, leave_later, (void *)5);
        errno = 7777;
        if (way)
            SAY(pthread_clockjoin_np(thread, &value, CLOCK_MONOTONIC, &later));
        else
            SAY(pthread_join(thread, &value));
        say_number("value", (long)(intptr_t)value);
    }
    in_thread(join_self, NULL);
}

static void *arrive(void *barrier) {
    return (void *)(intptr_t)(pthread_barrier_wait(barrier) == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void barriers(void) {
    pthread_barrier_t barrier;
    pthread_t threads[3];
    case_name = "barrier";
    SAY(pthread_barrier_init(&barrier, NULL, 0));
    SAY(pthread_barrier_init(&barrier, NULL, 1));
    SAY(pthread_barrier_wait(&barrier));
    SAY(pthread_barrier_destroy(&barrier));
    SAY(pthread_barrier_init(&barrier, NULL, 4));
    for (int round = 0; round < 20; round++) {
        long serial = 0;
        for (int i = 0; i < 3; i++)
            pthread_create(&threads[i], NULL, arrive, &barrier);
        serial += (long)(intptr_t)arrive(&barrier);
        for (int i = 0; i < 3; i++) {
            void *value;
            pthread_join(threads[i], &value);
            serial += (long)(intptr_t)value;
        }
        say_number("serial threads", serial);
    }
    errno = 7777;
    SAY(pthread_barrier_destroy(&barrier));
}

/* ---------------------------------------------------------------------------------------------- C11 threads */

static mtx_t c11_mutex;
static cnd_t c11_cond;

static int c11_others(void *unused) {
    struct timespec soon = in_ms(CLOCK_REALTIME, 20);
    say_number("trylock, busy", mtx_trylock(&c11_mutex) == thrd_busy);
    say_number("timedlock, timed out", mtx_timedlock(&c11_mutex, &soon) == thrd_timedout);
    return unused != NULL;
}

static int c11_hold(void *unused) {
    mtx_lock(&c11_mutex);
    reach(1);
    usleep(5000);
    mtx_unlock(&c11_mutex);
    return unused == NULL ? 42 : 0;
}

static void c11(void) {
    struct timespec soon = in_ms(CLOCK_REALTIME, 20), later = in_ms(CLOCK_REALTIME, 60000);
    thrd_t thread;
    int value = 0;
    case_name = "C11";
    say_number("init", mtx_init(&c11_mutex, mtx_timed | mtx_recursive) == thrd_success);
    say_number("lock", mtx_lock(&c11_mutex) == thrd_success);
    say_number("again", mtx_lock(&c11_mutex) == thrd_success);
    say_number("unlock", mtx_unlock(&c11_mutex) == thrd_success);
    thrd_create(&thread, c11_others, NULL);
    say_number("join", thrd_join(thread, NULL) == thrd_success);
    say_number("unlock", mtx_unlock(&c11_mutex) == thrd_success);
    for (int way = 0; way < 2; way++) {
        reach(0);
        thrd_create(&thread, c11_hold, NULL);
        await(1);
        say_number("contended", (way ? mtx_timedlock(&c11_mutex, &later) : mtx_lock(&c11_mutex)) == thrd_success);
        mtx_unlock(&c11_mutex);
        thrd_join(thread, &value);
        say_number("value", value);
    }
    cnd_init(&c11_cond);
    mtx_lock(&c11_mutex);
    say_number("condition, timed out", cnd_timedwait(&c11_cond, &c11_mutex, &soon) == thrd_timedout);
    mtx_unlock(&c11_mutex);
}

/* --------------------------------------------------------------------------------------- between processes */

struct shared {
    pthread_mutex_t mutex, robust;
    pthread_rwlock_t rwlock;
    sem_t semaphore;
    pthread_barrier_t barrier;
    long count;
    _Atomic int stage;
};

static void share(struct shared *shared) {
    pthread_mutexattr_t mutex;
    pthread_rwlockattr_t rwlock;
    pthread_barrierattr_t barrier;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    SAY(pthread_mutex_init(&shared->mutex, &mutex));
    pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
    SAY(pthread_mutex_init(&shared->robust, &mutex));
    pthread_rwlockattr_init(&rwlock);
    pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
    SAY(pthread_rwlock_init(&shared->rwlock, &rwlock));
    pthread_barrierattr_init(&barrier);
    pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
    SAY(pthread_barrier_init(&shared->barrier, &barrier, 2));
    SAY(sem_init(&shared->semaphore, 1, 0));
}

static void count_together(struct shared *shared) {
    pthread_barrier_wait(&shared->barrier);
    for (int i = 0; i < MANY * 10; i++) {
        pthread_mutex_lock(&shared->mutex);
        shared->count++;
        pthread_mutex_unlock(&shared->mutex);
        pthread_rwlock_wrlock(&shared->rwlock);
        shared->count++;
        pthread_rwlock_unlock(&shared->rwlock);
    }
}

static void between_processes(void) {
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    case_name = "processes";
    share(shared);
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        count_together(shared);
        sem_wait(&shared->semaphore);
        pthread_mutex_lock(&shared->robust);
        atomic_store(&shared->stage, 1);
        for (;;)
            pause();
    }
    count_together(shared);
    usleep(5000);
    sem_post(&shared->semaphore);
    while (!atomic_load(&shared->stage))
        usleep(1000);
    errno = 7777;
    SAY(pthread_mutex_trylock(&shared->robust));
    kill(pid, SIGKILL);
    SAY(pthread_mutex_lock(&shared->robust));
    SAY(pthread_mutex_consistent(&shared->robust));
    SAY(pthread_mutex_unlock(&shared->robust));
    say_number("waited", waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    say_number("count, of both locks (which do not exclude each other) at least", shared->count >= MANY * 20L);
    munmap(shared, sizeof(*shared));
}

/* ------------------------------------------------------------------------------------- gone once released */

static _Atomic(pthread_mutex_t *) passed_on;

/* Takes the lock that another thread holds, and frees its memory: that one must not touch it after its unlock. */
static void *take_and_free(void *unused) {
    for (int i = 0; i < MANY; i++) {
        pthread_mutex_t *mutex;
        while (!(mutex = atomic_exchange(&passed_on, NULL)))
            sched_yield();
        pthread_mutex_lock(mutex);
        pthread_mutex_unlock(mutex);
        pthread_mutex_destroy(mutex);
        munmap(mutex, 4096);
    }
    return unused;
}

static void destroyed_while_idle(void) {
    pthread_t thread;
    case_name = "destroyed while idle";
    pthread_create(&thread, NULL, take_and_free, NULL);
    for (int i = 0; i < MANY; i++) {
        pthread_mutex_t *mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_mutex_init(mutex, NULL);
        pthread_mutex_lock(mutex);
        atomic_store(&passed_on, mutex);
        if (i % 3 == 0)
            usleep(20);
        pthread_mutex_unlock(mutex);
        while (atomic_load(&passed_on))
            sched_yield();
    }
    pthread_join(thread, NULL);
    say_number("rounds", MANY);
}

/* --------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
    void (*const cases[])(void) = {mutexes, rwlocks,  spin_locks, conditions,        semaphores,
                                   joins,   barriers, c11,        between_processes, destroyed_while_idle};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && semantics_profile(argv[1]))
        return 1;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        errno = 7777;
        cases[i]();
    }
    return argc > 1 ? semantics_end() : 0;
}
