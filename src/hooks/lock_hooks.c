// SPDX-License-Identifier: Apache-2.0
/*
 * The hooks of what waits for locks, and of what releases them. One that locks tries first, which does exactly what the
 * real function does where there is nothing to wait for; only where that fails is the clock read, and the real function
 * called. A release looks at one count.
 *
 * Where the real function looks at its arguments before it looks at the lock, so does the hook, and leaves those that
 * are refused to it. The inner lock of a condition's wait goes through no word: it is part of that wait.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>

#include "hooks/hook_functions.h"
#include "hooks/hook_table.h"
#include "hooks/lock_wait.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define SLOW OTP_HOOK_FUNCTION __attribute__((noinline, cold))
#define CALLER ((uint64_t)(uintptr_t)__builtin_return_address(0) - 1)

#define NS_PER_S 1000000000

static inline enum otp_wait_end end_of(int error) {
    if (error == 0 || error == EOWNERDEAD)
        return OTP_WAIT_GOT;
    return error == ETIMEDOUT ? OTP_WAIT_TIMED_OUT : OTP_WAIT_ERROR;
}

/* The real function `call`, and a record of the wait if it is chosen. */
#define WAIT(kind, lock, owner, call)                                                                                  \
    do {                                                                                                               \
        struct otp_lock_wait wait_;                                                                                    \
        if (!otp_lock_wait_begin(&wait_, kind, lock, owner))                                                           \
            return call;                                                                                               \
        if ((kind) < OTP_LOCK_CONDITION)                                                                               \
            otp_lock_wait_post(&wait_);                                                                                \
        int error_ = call;                                                                                             \
        otp_lock_wait_end(&wait_, end_of(error_), CALLER);                                                             \
        return error_;                                                                                                 \
    } while (0)

#define RELEASE(kind, lock, call)                                                                                      \
    do {                                                                                                               \
        struct otp_lock_release release_;                                                                              \
        if (!otp_lock_release_begin(&release_, kind, lock, CALLER))                                                    \
            return call;                                                                                               \
        int error_ = call;                                                                                             \
        otp_lock_release_end(&release_, !error_, CALLER);                                                              \
        return error_;                                                                                                 \
    } while (0)

/*
 * A hook that tries first. Where trying answers what waiting would answer too (the lock is there, its owner has died)
 * that is it. `arguments` are those of the real function; the slow half is a function of its own, so that the hook
 * itself needs no frame of its own for a wait.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): lists of parameters and of arguments bring their own */
#define LOCKING(name, kind, lock, owner, attempt, sound, parameters, arguments)                                        \
    static SLOW int wait_##name parameters { WAIT(kind, lock, owner, OTP_REAL(name) arguments); }                      \
    int otp_hook_##name parameters {                                                                                   \
        if (!(sound))                                                                                                  \
            return OTP_REAL(name) arguments;                                                                           \
        int tried = attempt(lock);                                                                                     \
        if (likely(!tried) || tried == EOWNERDEAD)                                                                     \
            return tried;                                                                                              \
        return tried == EBUSY ? wait_##name arguments : OTP_REAL(name) arguments;                                      \
    }

#define RELEASING(name, kind, lock, parameters, arguments)                                                             \
    static SLOW int release_##name parameters { RELEASE(kind, lock, OTP_REAL(name) arguments); }                       \
    int otp_hook_##name parameters {                                                                                   \
        if (!likely(!otp_lock_waited_for(lock)))                                                                       \
            return release_##name arguments;                                                                           \
        return OTP_REAL(name) arguments;                                                                               \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

static inline bool is_clock(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC; }

static inline bool is_time(const struct timespec *time) {
    return time && time->tv_nsec >= 0 && time->tv_nsec < NS_PER_S;
}

/* ------------------------------------------------------------------------------------------------- mutexes */

/* The thread that has it (nptl/pthreadP.h of glibc). Read while the host has the right to use the lock. */
static inline uint32_t mutex_owner(const pthread_mutex_t *mutex) {
    return (uint32_t)__atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED);
}

/*
 * Two kinds for which trying first is not the same (seen with glibc 2.36): a robust mutex that is not recoverable stays
 * locked after pthread_mutex_trylock() has said so, and pthread_mutex_lock() would wait for ever; one with a priority
 * ceiling gives other errors. They are looked at instead; if another thread takes one between the look and the lock,
 * that wait is not seen. The kinds and the word are those of glibc's nptl/pthreadP.h.
 */
#define KIND_ROBUST 16
#define KIND_CEILING 64
#define WORD_OF_CEILING 0xfff80000u
#define NOT_TRIED ENOSYS

static OTP_HOOK_FUNCTION __attribute__((noinline)) int look_at_mutex(const pthread_mutex_t *mutex, int kind) {
    uint32_t word = (uint32_t)__atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED);
    return word & (kind & KIND_CEILING ? ~WORD_OF_CEILING : FUTEX_TID_MASK) ? EBUSY : NOT_TRIED;
}

static inline int try_mutex(pthread_mutex_t *mutex) {
    int kind = __atomic_load_n(&mutex->__data.__kind, __ATOMIC_RELAXED);
    return likely(!(kind & (KIND_ROBUST | KIND_CEILING))) ? pthread_mutex_trylock(mutex) : look_at_mutex(mutex, kind);
}

LOCKING(pthread_mutex_lock, OTP_LOCK_MUTEX, mutex, mutex_owner(mutex), try_mutex, true, (pthread_mutex_t * mutex),
        (mutex))
LOCKING(pthread_mutex_timedlock, OTP_LOCK_MUTEX, mutex, mutex_owner(mutex), try_mutex, is_time(until),
        (pthread_mutex_t * mutex, const struct timespec *until), (mutex, until))
LOCKING(pthread_mutex_clocklock, OTP_LOCK_MUTEX, mutex, mutex_owner(mutex), try_mutex,
        is_clock(clock) && is_time(until), (pthread_mutex_t * mutex, clockid_t clock, const struct timespec *until),
        (mutex, clock, until))
RELEASING(pthread_mutex_unlock, OTP_LOCK_MUTEX, mutex, (pthread_mutex_t * mutex), (mutex))

/* ------------------------------------------------------------------------------------------ read/write locks */

static inline uint32_t writer(const pthread_rwlock_t *rwlock) {
    return (uint32_t)__atomic_load_n(&rwlock->__data.__cur_writer, __ATOMIC_RELAXED);
}

/*
 * Trying loads the word and then exchanges it, where the real function adds to it at once: with many readers the line
 * would come twice. Asked for as one's own it comes once (81 ns a pair of two readers: 8 more without this, 4 with it).
 */
static inline int try_read(pthread_rwlock_t *rwlock) {
#ifdef __x86_64__
    __asm__ volatile("prefetchw %0" : : "m"(rwlock->__data.__readers));
#endif
    return pthread_rwlock_tryrdlock(rwlock);
}

LOCKING(pthread_rwlock_rdlock, OTP_LOCK_READ, rwlock, writer(rwlock), try_read, true, (pthread_rwlock_t * rwlock),
        (rwlock))
LOCKING(pthread_rwlock_timedrdlock, OTP_LOCK_READ, rwlock, writer(rwlock), try_read, is_time(until),
        (pthread_rwlock_t * rwlock, const struct timespec *until), (rwlock, until))
LOCKING(pthread_rwlock_clockrdlock, OTP_LOCK_READ, rwlock, writer(rwlock), try_read, is_clock(clock) && is_time(until),
        (pthread_rwlock_t * rwlock, clockid_t clock, const struct timespec *until), (rwlock, clock, until))
LOCKING(pthread_rwlock_wrlock, OTP_LOCK_WRITE, rwlock, writer(rwlock), pthread_rwlock_trywrlock, true,
        (pthread_rwlock_t * rwlock), (rwlock))
LOCKING(pthread_rwlock_timedwrlock, OTP_LOCK_WRITE, rwlock, writer(rwlock), pthread_rwlock_trywrlock, is_time(until),
        (pthread_rwlock_t * rwlock, const struct timespec *until), (rwlock, until))
LOCKING(pthread_rwlock_clockwrlock, OTP_LOCK_WRITE, rwlock, writer(rwlock), pthread_rwlock_trywrlock,
        is_clock(clock) && is_time(until), (pthread_rwlock_t * rwlock, clockid_t clock, const struct timespec *until),
        (rwlock, clock, until))
RELEASING(pthread_rwlock_unlock, writer(rwlock) ? OTP_LOCK_WRITE : OTP_LOCK_READ, rwlock, (pthread_rwlock_t * rwlock),
          (rwlock))

/* ---------------------------------------------------------------------------------------------- spin locks */

/*
 * Most waits here are over in less time than it takes to post one: for the first SPINS looks the thread spins as the
 * real function does, unseen by the holder, on the clock all the same.
 */
#define SPINS 32

static inline bool spun(pthread_spinlock_t *spinlock) {
    for (int i = 0; i < SPINS; i++) {
#ifdef __x86_64__
        __builtin_ia32_pause();
#endif
        if (!pthread_spin_trylock(spinlock))
            return true;
    }
    return false;
}

static SLOW int wait_pthread_spin_lock(pthread_spinlock_t *spinlock) {
    struct otp_lock_wait wait;
    int result = 0;
    if (!otp_lock_wait_begin(&wait, OTP_LOCK_SPIN, spinlock, 0))
        return OTP_REAL(pthread_spin_lock)(spinlock);
    if (!spun(spinlock)) {
        otp_lock_wait_post(&wait);
        result = OTP_REAL(pthread_spin_lock)(spinlock);
    }
    otp_lock_wait_end(&wait, end_of(result), CALLER);
    return result;
}

int otp_hook_pthread_spin_lock(pthread_spinlock_t *spinlock) {
    return likely(!pthread_spin_trylock(spinlock)) ? 0 : wait_pthread_spin_lock(spinlock);
}

RELEASING(pthread_spin_unlock, OTP_LOCK_SPIN, spinlock, (pthread_spinlock_t * spinlock), (spinlock))

/* ----------------------------------------------------------------------------------------------- conditions */

/*
 * The mutex is released inside, where no hook sees it; so it is said here, and if a waiter is chosen the record is made
 * now: nobody knows when this thread will come back.
 */
static SLOW void release_inside(const void *mutex, uint64_t caller) {
    struct otp_lock_release release;
    if (otp_lock_release_begin(&release, OTP_LOCK_MUTEX, mutex, caller))
        otp_lock_release_end(&release, true, caller);
}

/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define CONDITION(name, parameters, arguments)                                                                         \
    int otp_hook_##name parameters {                                                                                   \
        if (!likely(!otp_lock_waited_for(mutex)))                                                                      \
            release_inside(mutex, CALLER);                                                                             \
        WAIT(OTP_LOCK_CONDITION, cond, 0, OTP_REAL(name) arguments);                                                   \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

CONDITION(pthread_cond_wait, (pthread_cond_t * cond, pthread_mutex_t *mutex), (cond, mutex))
CONDITION(pthread_cond_timedwait, (pthread_cond_t * cond, pthread_mutex_t *mutex, const struct timespec *until),
          (cond, mutex, until))
CONDITION(pthread_cond_clockwait,
          (pthread_cond_t * cond, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until),
          (cond, mutex, clock, until))

/* ----------------------------------------------------------------------------------------------- semaphores */

/*
 * These are points of cancellation even where there is nothing to wait for, and trying is none; errno is only theirs to
 * set. They say -1 where the others give an error.
 */
static OTP_HOOK_FUNCTION inline bool taken(sem_t *semaphore) {
    int saved = errno;
    pthread_testcancel();
    if (likely(!sem_trywait(semaphore)))
        return true;
    errno = saved;
    return false;
}

static inline enum otp_wait_end semaphore_end(int result) {
    if (!result)
        return OTP_WAIT_GOT;
    return errno == ETIMEDOUT ? OTP_WAIT_TIMED_OUT : errno == EINTR ? OTP_WAIT_INTERRUPTED : OTP_WAIT_ERROR;
}

/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define SEMAPHORE(name, sound, parameters, arguments)                                                                  \
    static SLOW int wait_##name parameters {                                                                           \
        struct otp_lock_wait wait;                                                                                     \
        if (!otp_lock_wait_begin(&wait, OTP_LOCK_SEMAPHORE, semaphore, 0))                                             \
            return OTP_REAL(name) arguments;                                                                           \
        int result = OTP_REAL(name) arguments;                                                                         \
        otp_lock_wait_end(&wait, semaphore_end(result), CALLER);                                                       \
        return result;                                                                                                 \
    }                                                                                                                  \
    int otp_hook_##name parameters {                                                                                   \
        if (!(sound))                                                                                                  \
            return OTP_REAL(name) arguments;                                                                           \
        return taken(semaphore) ? 0 : wait_##name arguments;                                                           \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

SEMAPHORE(sem_wait, true, (sem_t * semaphore), (semaphore))
SEMAPHORE(sem_timedwait, is_time(until), (sem_t * semaphore, const struct timespec *until), (semaphore, until))
SEMAPHORE(sem_clockwait, is_clock(clock) && is_time(until),
          (sem_t * semaphore, clockid_t clock, const struct timespec *until), (semaphore, clock, until))

/* ------------------------------------------------------------------------------------ threads and barriers */

int otp_hook_pthread_join(pthread_t thread, void **value) {
    WAIT(OTP_LOCK_JOIN, NULL, 0, OTP_REAL(pthread_join)(thread, value));
}

int otp_hook_pthread_timedjoin_np(pthread_t thread, void **value, const struct timespec *until) {
    WAIT(OTP_LOCK_JOIN, NULL, 0, OTP_REAL(pthread_timedjoin_np)(thread, value, until));
}

int otp_hook_pthread_clockjoin_np(pthread_t thread, void **value, clockid_t clock, const struct timespec *until) {
    WAIT(OTP_LOCK_JOIN, NULL, 0, OTP_REAL(pthread_clockjoin_np)(thread, value, clock, until));
}

int otp_hook_pthread_barrier_wait(pthread_barrier_t *barrier) {
    struct otp_lock_wait wait;
    if (!otp_lock_wait_begin(&wait, OTP_LOCK_BARRIER, barrier, 0))
        return OTP_REAL(pthread_barrier_wait)(barrier);
    int result = OTP_REAL(pthread_barrier_wait)(barrier);
    /* PTHREAD_BARRIER_SERIAL_THREAD is for the last one to arrive (nptl/pthread_barrier_wait.c of glibc): no wait. */
    otp_lock_wait_end(&wait, result == 0 ? OTP_WAIT_GOT : OTP_WAIT_ERROR, CALLER);
    return result;
}

/* ---------------------------------------------------------------------------------------------- C11 threads */

/* mtx_t is a pthread_mutex_t in another coat (nptl/thrd_priv.h of glibc), and errors have names of their own. */
static inline uint32_t c11_owner(const mtx_t *mutex) {
    return mutex_owner((const pthread_mutex_t *)(const void *)mutex);
}

static inline enum otp_wait_end c11_end(int result) {
    if (result == thrd_success)
        return OTP_WAIT_GOT;
    return result == thrd_timedout ? OTP_WAIT_TIMED_OUT : OTP_WAIT_ERROR;
}

/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define C11_WAIT(name, kind, lock, owner, parameters, arguments)                                                       \
    static SLOW int wait_##name parameters {                                                                           \
        struct otp_lock_wait wait;                                                                                     \
        if (!otp_lock_wait_begin(&wait, kind, lock, owner))                                                            \
            return OTP_REAL(name) arguments;                                                                           \
        if ((kind) < OTP_LOCK_CONDITION)                                                                               \
            otp_lock_wait_post(&wait);                                                                                 \
        int result = OTP_REAL(name) arguments;                                                                         \
        otp_lock_wait_end(&wait, c11_end(result), CALLER);                                                             \
        return result;                                                                                                 \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

C11_WAIT(mtx_lock, OTP_LOCK_MUTEX, mutex, c11_owner(mutex), (mtx_t * mutex), (mutex))
C11_WAIT(mtx_timedlock, OTP_LOCK_MUTEX, mutex, c11_owner(mutex), (mtx_t * mutex, const struct timespec *until),
         (mutex, until))
C11_WAIT(cnd_wait, OTP_LOCK_CONDITION, cond, 0, (cnd_t * cond, mtx_t *mutex), (cond, mutex))
C11_WAIT(cnd_timedwait, OTP_LOCK_CONDITION, cond, 0, (cnd_t * cond, mtx_t *mutex, const struct timespec *until),
         (cond, mutex, until))
C11_WAIT(thrd_join, OTP_LOCK_JOIN, NULL, 0, (thrd_t thread, int *value), (thread, value))

int otp_hook_mtx_lock(mtx_t *mutex) {
    int tried = mtx_trylock(mutex);
    if (likely(tried == thrd_success))
        return tried;
    return tried == thrd_busy ? wait_mtx_lock(mutex) : OTP_REAL(mtx_lock)(mutex);
}

int otp_hook_mtx_timedlock(mtx_t *mutex, const struct timespec *until) {
    int tried = is_time(until) ? mtx_trylock(mutex) : thrd_error;
    if (likely(tried == thrd_success))
        return tried;
    return tried == thrd_busy ? wait_mtx_timedlock(mutex, until) : OTP_REAL(mtx_timedlock)(mutex, until);
}

RELEASING(mtx_unlock, OTP_LOCK_MUTEX, mutex, (mtx_t * mutex), (mutex))

int otp_hook_cnd_wait(cnd_t *cond, mtx_t *mutex) {
    if (!likely(!otp_lock_waited_for(mutex)))
        release_inside(mutex, CALLER);
    return wait_cnd_wait(cond, mutex);
}

int otp_hook_cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    if (!likely(!otp_lock_waited_for(mutex)))
        release_inside(mutex, CALLER);
    return wait_cnd_timedwait(cond, mutex, until);
}

int otp_hook_thrd_join(thrd_t thread, int *value) { return wait_thrd_join(thread, value); }
