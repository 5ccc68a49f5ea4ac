// SPDX-License-Identifier: Apache-2.0
/*
 * The functions that hooks stand in front of: names, hooks, and the real functions as the loader resolves them for the
 * program. A hook calls the real one through OTP_REAL(), never by its name, which may lead back to the hook.
 */
#ifndef OTP_HOOKS_HOOK_TABLE_H
#define OTP_HOOKS_HOOK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What allocates or frees. */
#define OTP_HOOKS_OF_MALLOC(X)                                                                                         \
    X(malloc) X(calloc) X(realloc) X(free) X(aligned_alloc) X(posix_memalign) X(memalign) X(valloc) X(pvalloc)

/*
 * Functions that may be made of those: the C++ library's call malloc through a word like any other's, and a hook of
 * both would count twice. They are hooked where the allocator itself brings them (jemalloc, tcmalloc, mimalloc).
 */
#define OTP_HOOKS_OVER_MALLOC(X)                                                                                       \
    X(reallocarray)                                                                                                    \
    X(_Znwm)                                                                                                           \
    X(_Znam)                                                                                                           \
    X(_ZnwmRKSt9nothrow_t)                                                                                             \
    X(_ZnamRKSt9nothrow_t)                                                                                             \
    X(_ZnwmSt11align_val_t)                                                                                            \
    X(_ZnamSt11align_val_t)                                                                                            \
    X(_ZnwmSt11align_val_tRKSt9nothrow_t)                                                                              \
    X(_ZnamSt11align_val_tRKSt9nothrow_t)                                                                              \
    X(_ZdlPv)                                                                                                          \
    X(_ZdaPv)                                                                                                          \
    X(_ZdlPvm)                                                                                                         \
    X(_ZdaPvm)                                                                                                         \
    X(_ZdlPvRKSt9nothrow_t)                                                                                            \
    X(_ZdaPvRKSt9nothrow_t)                                                                                            \
    X(_ZdlPvSt11align_val_t)                                                                                           \
    X(_ZdaPvSt11align_val_t)                                                                                           \
    X(_ZdlPvmSt11align_val_t)                                                                                          \
    X(_ZdaPvmSt11align_val_t)                                                                                          \
    X(_ZdlPvSt11align_val_tRKSt9nothrow_t)                                                                             \
    X(_ZdaPvSt11align_val_tRKSt9nothrow_t)

/* What waits for a lock, or for another thread, and what lets go of a lock. */
#define OTP_HOOKS_OF_LOCKS(X)                                                                                          \
    X(pthread_mutex_lock)                                                                                              \
    X(pthread_mutex_timedlock)                                                                                         \
    X(pthread_mutex_clocklock)                                                                                         \
    X(pthread_mutex_unlock)                                                                                            \
    X(pthread_rwlock_rdlock)                                                                                           \
    X(pthread_rwlock_timedrdlock)                                                                                      \
    X(pthread_rwlock_clockrdlock)                                                                                      \
    X(pthread_rwlock_wrlock)                                                                                           \
    X(pthread_rwlock_timedwrlock)                                                                                      \
    X(pthread_rwlock_clockwrlock)                                                                                      \
    X(pthread_rwlock_unlock)                                                                                           \
    X(pthread_spin_lock)                                                                                               \
    X(pthread_spin_unlock)                                                                                             \
    X(pthread_cond_wait)                                                                                               \
    X(pthread_cond_timedwait)                                                                                          \
    X(pthread_cond_clockwait)                                                                                          \
    X(sem_wait)                                                                                                        \
    X(sem_timedwait)                                                                                                   \
    X(sem_clockwait)                                                                                                   \
    X(pthread_join)                                                                                                    \
    X(pthread_timedjoin_np)                                                                                            \
    X(pthread_clockjoin_np)                                                                                            \
    X(pthread_barrier_wait)                                                                                            \
    X(mtx_lock)                                                                                                        \
    X(mtx_timedlock)                                                                                                   \
    X(mtx_unlock)                                                                                                      \
    X(cnd_wait)                                                                                                        \
    X(cnd_timedwait)                                                                                                   \
    X(thrd_join)

/* What loads and unloads objects, whose words come and go. */
#define OTP_HOOKS_OF_LOADER(X) X(dlopen) X(dlclose)

#define OTP_HOOKS_ALL(X) OTP_HOOKS_OF_MALLOC(X) OTP_HOOKS_OVER_MALLOC(X) OTP_HOOKS_OF_LOCKS(X) OTP_HOOKS_OF_LOADER(X)

#define OTP_HOOK_NUMBER(name) OTP_HOOK_##name,
enum otp_hook_number { OTP_HOOKS_ALL(OTP_HOOK_NUMBER) OTP_HOOK_COUNT };
#undef OTP_HOOK_NUMBER

struct otp_hook {
    const char *name;
    void (*hook)(void);
    void (*real)(void); /* NULL: there is none, or it is not to be hooked */
    uint32_t types;     /* enum otp_hook_type: of what it is needed for */
    /* The version of the real function, where older programs may mean another of the name; NULL: there is only one. */
    const char *version;
};

/* `real` is set by otp_hooks_resolve(), before any word leads to a hook, and not changed afterwards. */
extern struct otp_hook otp_hooks[OTP_HOOK_COUNT] __attribute__((visibility("hidden")));

/* The real function, of its hook's type (hook_functions.h). */
#define OTP_REAL(name) ((__typeof__(otp_hook_##name) *)otp_hooks[OTP_HOOK_##name].real)

/* Where the allocator is. */
struct otp_hook_owner {
    uint64_t base; /* of the object that has malloc */
    bool is_libc;
    bool is_program; /* the program has one of its own: what it calls itself goes through no word */
};

/* Finds the real functions. Takes the loader's lock. False: there is no malloc to be found (a static program). */
bool otp_hooks_resolve(struct otp_hook_owner *owner);

/* The hook of that name whose real function is known, or NULL. */
const struct otp_hook *otp_hooks_find(const char *name);

#endif
