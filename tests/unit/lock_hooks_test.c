// SPDX-License-Identifier: Apache-2.0
/*
 * The hooks of locks in this very program, which is linked with the library: its own words are changed. With an
 * interval of one nanosecond every wait is chosen.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fork_guard.h"
#include "context_fixture.h"
#include "hooks/hook_functions.h"
#include "hooks/hook_ring.h"
#include "hooks/hook_table.h"
#include "hooks/install.h"
#include "hooks/locks.h"
#include "hooks/stack_ranges.h"
#include "own_tables.h"
#include "test_main.h"

#define MANY 200000
#define NOINLINE __attribute__((noinline))
#define SECOND_NS 1000000000u
#define HOLD_US 3000

/* Takes no lock as long as it holds. */
#define NEED(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("line %d: %s", __LINE__, #condition);                                                         \
    } while (0)

static struct own_tables own;
static _Atomic unsigned sink; /* keeps calls from becoming jumps */

/* What was drained last: heads, and the leaf of each. */
static struct {
    struct otp_record records[MANY];
    uint64_t leaves[MANY];
    size_t count;
} seen;

static void take(void *user, const void *bytes, size_t size) {
    const struct otp_record *record = bytes;
    (void)user;
    NEED(record->version == OTP_RECORD_VERSION);
    NEED(record->type == OTP_RECORD_WAIT || record->type == OTP_RECORD_RELEASE);
    NEED(size == sizeof(*record) + record->user_frames * sizeof(uint64_t) + record->context_size);
    NEED(record->user_frames > 0 && seen.count < MANY);
    memcpy(&seen.leaves[seen.count], record + 1, sizeof(uint64_t));
    seen.records[seen.count++] = *record;
}

static size_t drain(void) { return otp_hook_ring_drain(take, NULL); }

static size_t drain_anew(void) {
    seen.count = 0;
    return drain();
}

/* The one record of the type about the lock; NULL if there is none. */
static const struct otp_record *one(enum otp_record_type type, const volatile void *lock) {
    const struct otp_record *found = NULL;
    for (size_t i = 0; i < seen.count; i++) {
        if (seen.records[i].type != type || seen.records[i].lock != (uintptr_t)lock)
            continue;
        if (found)
            ck_abort_msg("two records of type %u, kinds %u and %u", type, found->kind, seen.records[i].kind);
        found = &seen.records[i];
    }
    return found;
}

static uint64_t leaf_of(const struct otp_record *record) { return seen.leaves[record - seen.records]; }

/* Functions here are shorter than that. */
static bool inside(uint64_t address, const void *function) { return address - (uint64_t)(uintptr_t)function < 2000; }

static uint64_t soon(void) { return otp_clock_ns(CLOCK_MONOTONIC) + 10u * SECOND_NS; }

static void begin(uint64_t interval) {
    NEED(otp_fork_guard_arm() == 0);
    own = own_new(2);
    NEED(otp_hooks_install(OTP_HOOK_LOCK, 0) == 0);
    otp_hook_show_tables(&own.memory, NULL);
    NEED(otp_stack_ranges_look(soon()));
    otp_locks_enable(interval);
    drain_anew();
}

static void end(void) {
    NEED(otp_locks_disable(soon()));
    drain_anew();
    NEED(otp_hook_hide_tables(soon()));
    otp_hooks_remove(OTP_HOOK_LOCK);
    own_free(&own);
}

/* ------------------------------------------------------------------------------------- two threads and a lock */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spinlock;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static mtx_t c11_mutex;
static cnd_t c11_cond;
static pthread_t partner_thread;
static _Atomic bool held, turn;

static struct timespec far_off(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += 30;
    return time;
}

/* Says that it holds, and does for a while. */
static void hold(void) {
    atomic_store(&held, true);
    usleep(HOLD_US);
}

/* What the other thread holds or does, and lets go of. */
static NOINLINE void *hold_mutex(void *unused) {
    pthread_mutex_lock(&mutex);
    hold();
    pthread_mutex_unlock(&mutex);
    sink++;
    return unused;
}

static NOINLINE void *hold_to_write(void *unused) {
    pthread_rwlock_wrlock(&rwlock);
    hold();
    pthread_rwlock_unlock(&rwlock);
    sink++;
    return unused;
}

static NOINLINE void *hold_to_read(void *unused) {
    pthread_rwlock_rdlock(&rwlock);
    hold();
    pthread_rwlock_unlock(&rwlock);
    sink++;
    return unused;
}

static NOINLINE void *hold_spin(void *unused) {
    pthread_spin_lock(&spinlock);
    hold();
    pthread_spin_unlock(&spinlock);
    sink++;
    return unused;
}

static NOINLINE void *hold_c11(void *unused) {
    mtx_lock(&c11_mutex);
    hold();
    mtx_unlock(&c11_mutex);
    sink++;
    return unused;
}

static void *signal_cond(void *unused) {
    hold();
    pthread_mutex_lock(&mutex);
    atomic_store(&turn, true);
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
    return unused;
}

static void *signal_c11(void *unused) {
    hold();
    mtx_lock(&c11_mutex);
    atomic_store(&turn, true);
    cnd_signal(&c11_cond);
    mtx_unlock(&c11_mutex);
    return unused;
}

static void *post(void *unused) {
    hold();
    sem_post(&semaphore);
    return unused;
}

static void *arrive(void *unused) {
    hold();
    pthread_barrier_wait(&barrier);
    return unused;
}

static void *leave(void *unused) {
    hold();
    return unused;
}

/* How this thread waits. */
static NOINLINE void by_lock(void) {
    NEED(pthread_mutex_lock(&mutex) == 0);
    pthread_mutex_unlock(&mutex);
}

static NOINLINE void by_timedlock(void) {
    struct timespec until = far_off(CLOCK_REALTIME);
    NEED(pthread_mutex_timedlock(&mutex, &until) == 0);
    pthread_mutex_unlock(&mutex);
}

static NOINLINE void by_clocklock(void) {
    struct timespec until = far_off(CLOCK_MONOTONIC);
    NEED(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until) == 0);
    pthread_mutex_unlock(&mutex);
}

static NOINLINE void by_rdlock(void) {
    NEED(pthread_rwlock_rdlock(&rwlock) == 0);
    pthread_rwlock_unlock(&rwlock);
}

static NOINLINE void by_timedrdlock(void) {
    struct timespec until = far_off(CLOCK_REALTIME);
    NEED(pthread_rwlock_timedrdlock(&rwlock, &until) == 0);
    pthread_rwlock_unlock(&rwlock);
}

static NOINLINE void by_clockrdlock(void) {
    struct timespec until = far_off(CLOCK_MONOTONIC);
    NEED(pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &until) == 0);
    pthread_rwlock_unlock(&rwlock);
}

static NOINLINE void by_wrlock(void) {
    NEED(pthread_rwlock_wrlock(&rwlock) == 0);
    pthread_rwlock_unlock(&rwlock);
}

static NOINLINE void by_timedwrlock(void) {
    struct timespec until = far_off(CLOCK_REALTIME);
    NEED(pthread_rwlock_timedwrlock(&rwlock, &until) == 0);
    pthread_rwlock_unlock(&rwlock);
}

static NOINLINE void by_clockwrlock(void) {
    struct timespec until = far_off(CLOCK_MONOTONIC);
    NEED(pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &until) == 0);
    pthread_rwlock_unlock(&rwlock);
}

static NOINLINE void by_spin_lock(void) {
    NEED(pthread_spin_lock(&spinlock) == 0);
    pthread_spin_unlock(&spinlock);
}

static NOINLINE void by_mtx_lock(void) {
    NEED(mtx_lock(&c11_mutex) == thrd_success);
    mtx_unlock(&c11_mutex);
}

static NOINLINE void by_mtx_timedlock(void) {
    struct timespec until = far_off(CLOCK_REALTIME);
    NEED(mtx_timedlock(&c11_mutex, &until) == thrd_success);
    mtx_unlock(&c11_mutex);
}

static NOINLINE void by_cond_wait(void) {
    pthread_mutex_lock(&mutex);
    while (!atomic_load(&turn))
        NEED(pthread_cond_wait(&cond, &mutex) == 0);
    pthread_mutex_unlock(&mutex);
}

static NOINLINE void by_cond_timedwait(void) {
    struct timespec until = far_off(CLOCK_REALTIME);
    pthread_mutex_lock(&mutex);
    while (!atomic_load(&turn))
        NEED(pthread_cond_timedwait(&cond, &mutex, &until) == 0);
    pthread_mutex_unlock(&mutex);
}

static NOINLINE void by_cond_clockwait(void) {
    struct timespec until = far_off(CLOCK_MONOTONIC);
    pthread_mutex_lock(&mutex);
    while (!atomic_load(&turn))
        NEED(pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &until) == 0);
    pthread_mutex_unlock(&mutex);
}

static NOINLINE void by_cnd_wait(void) {
    mtx_lock(&c11_mutex);
    while (!atomic_load(&turn))
        NEED(cnd_wait(&c11_cond, &c11_mutex) == thrd_success);
    mtx_unlock(&c11_mutex);
}

static NOINLINE void by_cnd_timedwait(void) {
    struct timespec until = far_off(CLOCK_REALTIME);
    mtx_lock(&c11_mutex);
    while (!atomic_load(&turn))
        NEED(cnd_timedwait(&c11_cond, &c11_mutex, &until) == thrd_success);
    mtx_unlock(&c11_mutex);
}

static NOINLINE void by_sem_wait(void) { NEED(sem_wait(&semaphore) == 0); }

static NOINLINE void by_sem_timedwait(void) {
    struct timespec until = far_off(CLOCK_REALTIME);
    NEED(sem_timedwait(&semaphore, &until) == 0);
}

static NOINLINE void by_sem_clockwait(void) {
    struct timespec until = far_off(CLOCK_MONOTONIC);
    NEED(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until) == 0);
}

static NOINLINE void by_barrier(void) {
    int result = pthread_barrier_wait(&barrier);
    NEED(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
}

static NOINLINE void by_join(void) { NEED(pthread_join(partner_thread, NULL) == 0); }

static NOINLINE void by_timedjoin(void) {
    struct timespec until = far_off(CLOCK_REALTIME);
    NEED(pthread_timedjoin_np(partner_thread, NULL, &until) == 0);
}

static NOINLINE void by_clockjoin(void) {
    struct timespec until = far_off(CLOCK_MONOTONIC);
    NEED(pthread_clockjoin_np(partner_thread, NULL, CLOCK_MONOTONIC, &until) == 0);
}

static NOINLINE void by_thrd_join(void) { NEED(thrd_join(partner_thread, NULL) == thrd_success); }

static const struct way {
    void *(*partner)(void *unused);
    void (*wait)(void);
    const volatile void *lock;
    enum otp_lock_kind kind, holder; /* 0: it has none */
    bool joins, owner;
    enum otp_hook_number hook;
} ways[] = {
    {hold_mutex, by_lock, &mutex, OTP_LOCK_MUTEX, OTP_LOCK_MUTEX, false, true, OTP_HOOK_pthread_mutex_lock},
    {hold_mutex, by_timedlock, &mutex, OTP_LOCK_MUTEX, OTP_LOCK_MUTEX, false, true, OTP_HOOK_pthread_mutex_timedlock},
    {hold_mutex, by_clocklock, &mutex, OTP_LOCK_MUTEX, OTP_LOCK_MUTEX, false, true, OTP_HOOK_pthread_mutex_clocklock},
    {hold_to_write, by_rdlock, &rwlock, OTP_LOCK_READ, OTP_LOCK_WRITE, false, true, OTP_HOOK_pthread_rwlock_rdlock},
    {hold_to_write, by_timedrdlock, &rwlock, OTP_LOCK_READ, OTP_LOCK_WRITE, false, true,
     OTP_HOOK_pthread_rwlock_timedrdlock},
    {hold_to_write, by_clockrdlock, &rwlock, OTP_LOCK_READ, OTP_LOCK_WRITE, false, true,
     OTP_HOOK_pthread_rwlock_clockrdlock},
    {hold_to_write, by_wrlock, &rwlock, OTP_LOCK_WRITE, OTP_LOCK_WRITE, false, true, OTP_HOOK_pthread_rwlock_wrlock},
    {hold_to_read, by_wrlock, &rwlock, OTP_LOCK_WRITE, OTP_LOCK_READ, false, false, OTP_HOOK_pthread_rwlock_wrlock},
    {hold_to_read, by_timedwrlock, &rwlock, OTP_LOCK_WRITE, OTP_LOCK_READ, false, false,
     OTP_HOOK_pthread_rwlock_timedwrlock},
    {hold_to_read, by_clockwrlock, &rwlock, OTP_LOCK_WRITE, OTP_LOCK_READ, false, false,
     OTP_HOOK_pthread_rwlock_clockwrlock},
    {hold_spin, by_spin_lock, &spinlock, OTP_LOCK_SPIN, OTP_LOCK_SPIN, false, false, OTP_HOOK_pthread_spin_lock},
    {hold_c11, by_mtx_lock, &c11_mutex, OTP_LOCK_MUTEX, OTP_LOCK_MUTEX, false, true, OTP_HOOK_mtx_lock},
    {hold_c11, by_mtx_timedlock, &c11_mutex, OTP_LOCK_MUTEX, OTP_LOCK_MUTEX, false, true, OTP_HOOK_mtx_timedlock},
    {signal_cond, by_cond_wait, &cond, OTP_LOCK_CONDITION, 0, false, false, OTP_HOOK_pthread_cond_wait},
    {signal_cond, by_cond_timedwait, &cond, OTP_LOCK_CONDITION, 0, false, false, OTP_HOOK_pthread_cond_timedwait},
    {signal_cond, by_cond_clockwait, &cond, OTP_LOCK_CONDITION, 0, false, false, OTP_HOOK_pthread_cond_clockwait},
    {signal_c11, by_cnd_wait, &c11_cond, OTP_LOCK_CONDITION, 0, false, false, OTP_HOOK_cnd_wait},
    {signal_c11, by_cnd_timedwait, &c11_cond, OTP_LOCK_CONDITION, 0, false, false, OTP_HOOK_cnd_timedwait},
    {post, by_sem_wait, &semaphore, OTP_LOCK_SEMAPHORE, 0, false, false, OTP_HOOK_sem_wait},
    {post, by_sem_timedwait, &semaphore, OTP_LOCK_SEMAPHORE, 0, false, false, OTP_HOOK_sem_timedwait},
    {post, by_sem_clockwait, &semaphore, OTP_LOCK_SEMAPHORE, 0, false, false, OTP_HOOK_sem_clockwait},
    {arrive, by_barrier, &barrier, OTP_LOCK_BARRIER, 0, false, false, OTP_HOOK_pthread_barrier_wait},
    {leave, by_join, NULL, OTP_LOCK_JOIN, 0, true, false, OTP_HOOK_pthread_join},
    {leave, by_timedjoin, NULL, OTP_LOCK_JOIN, 0, true, false, OTP_HOOK_pthread_timedjoin_np},
    {leave, by_clockjoin, NULL, OTP_LOCK_JOIN, 0, true, false, OTP_HOOK_pthread_clockjoin_np},
    {leave, by_thrd_join, NULL, OTP_LOCK_JOIN, 0, true, false, OTP_HOOK_thrd_join},
};

static void make_locks(void) {
    NEED(pthread_spin_init(&spinlock, 0) == 0 && pthread_barrier_init(&barrier, NULL, 2) == 0);
    NEED(sem_init(&semaphore, 0, 0) == 0 && mtx_init(&c11_mutex, mtx_timed) == thrd_success);
    NEED(cnd_init(&c11_cond) == thrd_success);
}

static _Atomic pid_t partner_id;

static void *partner(void *way) {
    atomic_store(&partner_id, (pid_t)syscall(SYS_gettid));
    return ((const struct way *)way)->partner(NULL);
}

/* A sanitizer may stand before one of a kin of functions and not before the others: that one is not hooked then. */
static bool is_hooked(enum otp_hook_number number) { return otp_hooks[number].real != NULL; }

/* ThreadSanitizer of GCC 12 does not see what some functions do, and takes what follows for an error. */
#ifdef __SANITIZE_THREAD__
static const bool blind = true;
#else
static const bool blind = false;
#endif

static bool unseen(const struct way *way) {
    return blind && (way->wait == by_clocklock || way->wait == by_clockrdlock || way->wait == by_clockwrlock ||
                     way->wait == by_clockjoin || way->wait == by_thrd_join);
}

/* Waits in that way for a partner that is well in time. */
static void meet(const struct way *way) {
    atomic_store(&held, false);
    atomic_store(&turn, false);
    drain_anew();
    seen.count = 0;
    NEED(pthread_create(&partner_thread, NULL, partner, (void *)(uintptr_t)way) == 0);
    while (!atomic_load(&held))
        usleep(100);
    way->wait();
    sink++;
    if (!way->joins) {
        uint64_t until = soon();
        while (pthread_tryjoin_np(partner_thread, NULL) && otp_clock_ns(CLOCK_MONOTONIC) < until)
            usleep(200);
    }
    drain();
}

/* True if this thread waited, and had said so when the lock was let go. */
static bool has_waited(const struct way *way) {
    const struct otp_record *wait = one(OTP_RECORD_WAIT, way->lock);
    return wait && inside(leaf_of(wait), (const void *)way->wait) && (!way->holder || wait->release);
}

/* The same, again where a busy machine let this thread come too late to wait, or to say that it does. */
static void wait_once(const struct way *way) {
    for (int i = 0; i < 10 && !has_waited(way); i++)
        meet(way);
}

static void check_way(const struct way *way, size_t number) {
    const struct otp_record *wait = one(OTP_RECORD_WAIT, way->lock);
    if (!wait || wait->kind != way->kind || !inside(leaf_of(wait), (const void *)way->wait))
        ck_abort_msg("way %zu: wait of kind %u", number, wait ? wait->kind : 0);
    ck_assert_uint_lt(wait->weight, 20u * SECOND_NS);
    NEED(wait->weight > 0);
    NEED(wait->interval == 1 && wait->flags == 0);
    if (way->owner)
        ck_assert_int_eq(wait->tid, atomic_load(&partner_id));
    else
        NEED(wait->tid == 0);
    const struct otp_record *release = one(OTP_RECORD_RELEASE, way->lock);
    if (!way->holder) {
        NEED(!release && wait->release == 0 && wait->mass == wait->weight);
        return;
    }
    if (way->lock == &mutex && !is_hooked(OTP_HOOK_pthread_mutex_unlock))
        return;
    if (!release || release->kind != way->holder || !inside(leaf_of(release), (const void *)way->partner))
        ck_abort_msg("way %zu: release of kind %u", number, release ? release->kind : 0);
    ck_assert_uint_eq(wait->release, release->release);
    ck_assert_uint_le(wait->mass, wait->weight + OTP_WAKING_NS);
    NEED(!otp_lock_waited_for(way->lock));
}

START_TEST(each_way_to_wait) {
    make_locks();
    begin(1);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (unseen(&ways[i]))
            continue;
        seen.count = 0;
        (is_hooked(ways[i].hook) ? wait_once : meet)(&ways[i]);
        if (is_hooked(ways[i].hook))
            check_way(&ways[i], i);
    }
    end();
}
END_TEST

START_TEST(free_locks_are_silent) {
    struct timespec until = far_off(CLOCK_REALTIME);
    make_locks();
    begin(1);
    for (int i = 0; i < 1000; i++) {
        by_lock();
        by_timedlock();
        if (!blind)
            by_clocklock();
        by_rdlock();
        by_wrlock();
        by_timedrdlock();
        by_timedwrlock();
        by_spin_lock();
        by_mtx_lock();
        by_mtx_timedlock();
        NEED(sem_post(&semaphore) == 0 && sem_wait(&semaphore) == 0);
        NEED(sem_post(&semaphore) == 0 && sem_timedwait(&semaphore, &until) == 0);
    }
    NEED(drain_anew() == 0);
    end();
}
END_TEST

/* ------------------------------------------------------------------------------------------- as without us */

START_TEST(waits_given_up) {
    struct timespec past = {1, 0}, wrong = {1, -1};
    make_locks();
    begin(1);
    NEED(sem_init(&semaphore, 0, 0) == 0);
    pthread_mutex_lock(&mutex);
    errno = 4321;
    NEED(pthread_mutex_timedlock(&mutex, &past) == ETIMEDOUT);
    NEED(pthread_mutex_timedlock(&mutex, &wrong) == EINVAL);
    NEED(errno == 4321);
    drain_anew();
    const struct otp_record *wait = one(OTP_RECORD_WAIT, &mutex);
    NEED(!is_hooked(OTP_HOOK_pthread_mutex_timedlock) ||
         (wait && wait->flags == OTP_RECORD_TIMED_OUT && wait->release == 0 && wait->mass == wait->weight));
    pthread_mutex_unlock(&mutex);
    pthread_mutex_lock(&mutex);
    NEED(pthread_cond_timedwait(&cond, &mutex, &past) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    NEED(sem_timedwait(&semaphore, &past) == -1 && errno == ETIMEDOUT);
    drain_anew();
    wait = one(OTP_RECORD_WAIT, &semaphore);
    NEED(wait && wait->flags == OTP_RECORD_TIMED_OUT);
    wait = one(OTP_RECORD_WAIT, &cond);
    NEED(wait && wait->flags == OTP_RECORD_TIMED_OUT);
    NEED(!otp_lock_waited_for(&mutex));
    end();
}
END_TEST

START_TEST(errors_are_no_waits) {
    pthread_mutex_t checking;
    pthread_mutexattr_t attributes;
    begin(1);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&checking, &attributes);
    NEED(pthread_mutex_lock(&checking) == 0);
    NEED(pthread_mutex_lock(&checking) == EDEADLK);
    NEED(pthread_mutex_unlock(&checking) == 0);
    NEED(blind || pthread_mutex_unlock(&checking) == EPERM); /* which ThreadSanitizer complains of */
    NEED(pthread_rwlock_wrlock(&rwlock) == 0);
    NEED(pthread_rwlock_rdlock(&rwlock) == EDEADLK);
    NEED(pthread_rwlock_unlock(&rwlock) == 0);
    NEED(drain_anew() == 0);
    NEED(!otp_lock_waited_for(&checking) && !otp_lock_waited_for(&rwlock));
    end();
}
END_TEST

static void on_signal(int number) { (void)number; }

/* Again and again: one that comes before the other waits does not interrupt it. */
static void *interrupt(void *target) {
    while (!atomic_load(&turn)) {
        usleep(HOLD_US);
        pthread_kill(*(pthread_t *)target, SIGUSR1);
    }
    return NULL;
}

START_TEST(interrupted_by_a_signal) {
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t self = pthread_self(), thread;
    make_locks();
    begin(1);
    NEED(sigaction(SIGUSR1, &action, NULL) == 0);
    atomic_store(&turn, false);
    NEED(pthread_create(&thread, NULL, interrupt, &self) == 0);
    NEED(sem_wait(&semaphore) == -1 && errno == EINTR);
    atomic_store(&turn, true);
    pthread_join(thread, NULL);
    drain_anew();
    const struct otp_record *wait = one(OTP_RECORD_WAIT, &semaphore);
    NEED(wait && wait->flags == OTP_RECORD_INTERRUPTED);
    end();
}
END_TEST

static void *wait_for_nothing(void *unused) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push((void (*)(void *))(void (*)(void))pthread_mutex_unlock, &mutex);
    atomic_store(&held, true);
    for (;;)
        pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(0);
    return unused;
}

static void *wait_with_one_there(void *unused) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    atomic_store(&held, true);
    while (!atomic_load(&turn))
        usleep(100);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    sem_wait(&semaphore); /* is a point of cancellation, although nothing is to be waited for */
    return unused;
}

static void cancel(void *(*waits)(void *), void (*before)(void)) {
    pthread_t thread;
    void *value;
    atomic_store(&held, false);
    NEED(pthread_create(&thread, NULL, waits, NULL) == 0);
    while (!atomic_load(&held))
        usleep(100);
    before();
    NEED(pthread_cancel(thread) == 0);
    atomic_store(&turn, true);
    NEED(pthread_join(thread, &value) == 0 && value == PTHREAD_CANCELED);
}

static void let_it_wait(void) { usleep(HOLD_US); }
static void put_one_there(void) { sem_post(&semaphore); }

/* AddressSanitizer keeps the marks of frames that a cancellation unwinds, and complains of what comes there later. */
START_TEST(cancelled_while_waiting) {
#ifdef __SANITIZE_ADDRESS__
    return;
#endif
    int value;
    make_locks();
    begin(1);
    cancel(wait_for_nothing, let_it_wait);
    NEED(pthread_mutex_trylock(&mutex) == 0); /* the cleanup handler has let it go */
    pthread_mutex_unlock(&mutex);
    atomic_store(&turn, false);
    cancel(wait_with_one_there, put_one_there);
    NEED(sem_getvalue(&semaphore, &value) == 0 && value == 1);
    seen.count = 0;
    wait_once(&ways[3]); /* the hooks are as good as new */
    check_way(&ways[3], 3);
    end();
}
END_TEST

/* ---------------------------------------------------------------------------------------- who ended the wait */

static void *read_meanwhile(void *unused) {
    while (!atomic_load(&turn)) {
        if (!pthread_rwlock_tryrdlock(&rwlock))
            pthread_rwlock_unlock(&rwlock);
        sched_yield();
    }
    return unused;
}

/* A reader waits for the writer, whatever other readers do after it. */
START_TEST(readers_wait_for_writers) {
    pthread_t others[3];
    int rounds_that_waited = 0;
    begin(1);
    for (int round = 0; round < 20; round++) {
        atomic_store(&turn, false);
        for (int i = 0; i < 3; i++)
            NEED(pthread_create(&others[i], NULL, read_meanwhile, NULL) == 0);
        meet(&ways[3]);
        atomic_store(&turn, true);
        for (int i = 0; i < 3; i++)
            pthread_join(others[i], NULL);
        const struct otp_record *wait = NULL; /* the writer may have waited too */
        for (size_t i = 0; i < seen.count; i++)
            if (seen.records[i].type == OTP_RECORD_WAIT && seen.records[i].kind == OTP_LOCK_READ)
                wait = &seen.records[i];
        if (!wait) /* it came too late to wait */
            continue;
        rounds_that_waited++;
        NEED(wait->release);
        size_t credited = 0;
        for (size_t i = 0; i < seen.count; i++)
            if (seen.records[i].type == OTP_RECORD_RELEASE && seen.records[i].release == wait->release)
                credited += inside(seen.leaves[i], (const void *)hold_to_write);
        NEED(credited == 1);
    }
    NEED(rounds_that_waited > 0);
    end();
}
END_TEST

static NOINLINE void *release_by_waiting(void *unused) {
    struct timespec until = far_off(CLOCK_REALTIME);
    until.tv_sec -= 29;
    pthread_mutex_lock(&mutex);
    hold();
    while (!atomic_load(&turn))
        pthread_cond_timedwait(&cond, &mutex, &until);
    pthread_mutex_unlock(&mutex);
    sink++;
    return unused;
}

static NOINLINE void lock_and_signal(void) {
    pthread_mutex_lock(&mutex);
    atomic_store(&turn, true);
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
}

START_TEST(a_condition_releases_too) {
    const struct way way = {release_by_waiting, lock_and_signal, &mutex, OTP_LOCK_MUTEX,
                            OTP_LOCK_MUTEX,     false,           true,   OTP_HOOK_pthread_mutex_lock};
    begin(1);
    wait_once(&way);
    if (is_hooked(way.hook))
        check_way(&way, 0);
    end();
}
END_TEST

/* ------------------------------------------------------------------------------------------------- barging */

#define BARGERS 8
#define WAITS_WANTED 300

static struct { uint64_t right, wrong, by_leaf, unseen; } verdict;

static void spin_ns(uint64_t ns) {
    uint64_t until = otp_clock_ns(CLOCK_MONOTONIC) + ns;
    while (otp_clock_ns(CLOCK_MONOTONIC) < until)
        ;
}

#define BARGER(number, ns)                                                                                             \
    static NOINLINE void barge_##number(void) {                                                                        \
        pthread_mutex_lock(&mutex);                                                                                    \
        spin_ns(ns);                                                                                                   \
        pthread_mutex_unlock(&mutex);                                                                                  \
        sink++;                                                                                                        \
    }
BARGER(0, 2000)
BARGER(1, 20000)
BARGER(2, 100000)
static void (*const bargers[])(void) = {barge_0, barge_1, barge_2};

static void *barge(void *number) {
    while (!atomic_load(&turn)) {
        bargers[(uintptr_t)number % 3]();
        spin_ns((uint64_t)((uintptr_t)number * 7 % 5) * 3000);
    }
    return NULL;
}

static size_t waits_seen(void) {
    size_t count = 0;
    for (size_t i = 0; i < seen.count; i++)
        count += seen.records[i].type == OTP_RECORD_WAIT && seen.records[i].lock == (uintptr_t)&mutex;
    return count;
}

/* Each wait names a release; that release's record, if it is there, comes from a function that releases. */
static void judge(void) {
    for (size_t i = 0; i < seen.count; i++) {
        const struct otp_record *wait = &seen.records[i];
        if (wait->type != OTP_RECORD_WAIT || wait->kind != OTP_LOCK_MUTEX || wait->lock != (uintptr_t)&mutex)
            continue;
        verdict.unseen += !wait->release;
        if (!wait->release)
            continue;
        size_t j = 0;
        while (j < seen.count &&
               (seen.records[j].type != OTP_RECORD_RELEASE || seen.records[j].release != wait->release))
            j++;
        bool known = j < seen.count &&
                     (inside(seen.leaves[j], (const void *)barge_0) || inside(seen.leaves[j], (const void *)barge_1) ||
                      inside(seen.leaves[j], (const void *)barge_2));
        verdict.by_leaf += known && seen.records[j].stop == OTP_STOP_NOT_WALKED;
        *(known ? &verdict.right : &verdict.wrong) += 1;
    }
}

START_TEST(waits_and_releases_meet) {
    pthread_t threads[BARGERS];
    begin(1);
    if (!is_hooked(OTP_HOOK_pthread_mutex_lock)) {
        end();
        return;
    }
    atomic_store(&turn, false);
    uint64_t lost = otp_hook_counted(OTP_HOOK_WAITS_FULL) + otp_hook_counted(OTP_HOOK_RELEASES_FULL);
    for (uintptr_t i = 0; i < BARGERS; i++)
        NEED(pthread_create(&threads[i], NULL, barge, (void *)i) == 0);
    for (uint64_t until = soon(); waits_seen() < WAITS_WANTED && otp_clock_ns(CLOCK_MONOTONIC) < until;) {
        usleep(1000);
        drain();
    }
    atomic_store(&turn, true);
    for (size_t i = 0; i < BARGERS; i++)
        while (pthread_tryjoin_np(threads[i], NULL))
            usleep(1000);
    drain();
    lost = otp_hook_counted(OTP_HOOK_WAITS_FULL) + otp_hook_counted(OTP_HOOK_RELEASES_FULL) - lost;
    judge();
    ck_assert_uint_ge(verdict.right, 20);
    ck_assert_uint_le(verdict.wrong, lost);
    ck_assert_uint_le(verdict.unseen, verdict.right / 5); /* not posted in time, on a busy machine */
    NEED(!otp_lock_waited_for(&mutex));
    end();
}
END_TEST

/* ------------------------------------------------------------------------------------------- on and off */

START_TEST(words_by_type) {
    struct otp_patch_counts locks, both, heap;
    begin(1);
    otp_patch_counts(&locks);
    NEED(locks.words > 20 && locks.failed == 0);
    for (int i = 0; i < 50; i++) {
        NEED(otp_hooks_install(OTP_HOOK_HEAP, 1024) == 0);
        otp_patch_counts(&both);
        NEED(both.words > locks.words);
        otp_hooks_remove(OTP_HOOK_LOCK);
        otp_patch_counts(&heap);
        NEED(heap.words > 0 && heap.words < both.words);
        meet(&ways[3]);
        NEED(seen.count == 0);
        NEED(otp_hooks_install(OTP_HOOK_LOCK, 0) == 0);
        otp_hooks_remove(OTP_HOOK_HEAP);
        otp_patch_counts(&both);
        NEED(both.words == locks.words);
        seen.count = 0;
        wait_once(&ways[3]);
        check_way(&ways[3], 3);
    }
    end();
    otp_patch_counts(&heap);
    NEED(heap.words == 0);
}
END_TEST

static void *contend(void *unused) {
    while (!atomic_load(&turn)) {
        pthread_mutex_lock(&mutex);
        sink++;
        pthread_mutex_unlock(&mutex);
        pthread_rwlock_rdlock(&rwlock);
        pthread_rwlock_unlock(&rwlock);
        pthread_rwlock_wrlock(&rwlock);
        sink++;
        pthread_rwlock_unlock(&rwlock);
    }
    return unused;
}

START_TEST(the_account_is_exact) {
    pthread_t threads[4];
    begin(1000);
    uint64_t waits = otp_hook_counted(OTP_HOOK_WAITS), full = otp_hook_counted(OTP_HOOK_WAITS_FULL);
    atomic_store(&turn, false);
    for (int i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, contend, NULL) == 0);
    for (int i = 0; i < 40; i++) {
        size_t records = 0;
        for (int j = 0; j < 5; j++) {
            usleep(1000);
            drain_anew();
            for (size_t k = 0; k < seen.count; k++)
                records += seen.records[k].type == OTP_RECORD_WAIT;
        }
        NEED(otp_locks_disable(soon()));
        drain_anew();
        for (size_t k = 0; k < seen.count; k++)
            records += seen.records[k].type == OTP_RECORD_WAIT;
        NEED(otp_hook_counted(OTP_HOOK_WAITS) - waits == records + otp_hook_counted(OTP_HOOK_WAITS_FULL) - full);
        usleep(2000);
        NEED(drain_anew() == 0); /* nothing comes after it */
        otp_hooks_remove(OTP_HOOK_LOCK);
        NEED(otp_hooks_install(OTP_HOOK_LOCK, 0) == 0);
        waits = otp_hook_counted(OTP_HOOK_WAITS);
        full = otp_hook_counted(OTP_HOOK_WAITS_FULL);
        otp_locks_enable(1000);
    }
    atomic_store(&turn, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    NEED(!otp_lock_waited_for(&mutex) && !otp_lock_waited_for(&rwlock));
    end();
}
END_TEST

START_TEST(in_a_child) {
    begin(1);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (!pid) {
        meet(&ways[3]);
        _exit(seen.count || otp_patch_follows() || otp_lock_waited_for(&rwlock) ? 1 : 0);
    }
    int status;
    NEED(waitpid(pid, &status, 0) == pid);
    ck_assert_int_eq(status, 0);
    end();
}
END_TEST

/* The words are those of the functions that the program means. */
START_TEST(conditions_of_the_right_kind) {
    begin(1);
#ifndef __SANITIZE_THREAD__ /* which stands before it */
    NEED(OTP_REAL(pthread_cond_wait) == dlvsym(RTLD_DEFAULT, "pthread_cond_wait", "GLIBC_2.3.2"));
    NEED(OTP_REAL(pthread_cond_wait) != dlvsym(RTLD_DEFAULT, "pthread_cond_wait", "GLIBC_2.2.5"));
#endif
    end();
}
END_TEST

OTP_TEST_MAIN("lock_hooks", 120, each_way_to_wait, free_locks_are_silent, waits_given_up, errors_are_no_waits,
              interrupted_by_a_signal, cancelled_while_waiting, readers_wait_for_writers, a_condition_releases_too,
              waits_and_releases_meet, words_by_type, the_account_is_exact, in_a_child, conditions_of_the_right_kind)
