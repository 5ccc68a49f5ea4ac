// SPDX-License-Identifier: Apache-2.0
/* The hooks themselves. Their arguments are those of the functions that they stand in front of; see hook_table.h. */
#ifndef OTP_HOOKS_HOOK_FUNCTIONS_H
#define OTP_HOOKS_HOOK_FUNCTIONS_H

#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <threads.h>
#include <time.h>

#include "hooks/hook_capture.h"

struct otp_nothrow; /* std::nothrow_t */

OTP_HOOK_FUNCTION void *otp_hook_malloc(size_t size);
OTP_HOOK_FUNCTION void *otp_hook_calloc(size_t count, size_t size);
OTP_HOOK_FUNCTION void *otp_hook_realloc(void *block, size_t size);
OTP_HOOK_FUNCTION void *otp_hook_reallocarray(void *block, size_t count, size_t size);
OTP_HOOK_FUNCTION void otp_hook_free(void *block);
OTP_HOOK_FUNCTION void *otp_hook_aligned_alloc(size_t alignment, size_t size);
OTP_HOOK_FUNCTION int otp_hook_posix_memalign(void **block, size_t alignment, size_t size);
OTP_HOOK_FUNCTION void *otp_hook_memalign(size_t alignment, size_t size);
OTP_HOOK_FUNCTION void *otp_hook_valloc(size_t size);
OTP_HOOK_FUNCTION void *otp_hook_pvalloc(size_t size);

OTP_HOOK_FUNCTION void *otp_hook__Znwm(size_t size);
OTP_HOOK_FUNCTION void *otp_hook__Znam(size_t size);
OTP_HOOK_FUNCTION void *otp_hook__ZnwmRKSt9nothrow_t(size_t size, const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void *otp_hook__ZnamRKSt9nothrow_t(size_t size, const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void *otp_hook__ZnwmSt11align_val_t(size_t size, size_t alignment);
OTP_HOOK_FUNCTION void *otp_hook__ZnamSt11align_val_t(size_t size, size_t alignment);
OTP_HOOK_FUNCTION void *otp_hook__ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                                    const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void *otp_hook__ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                                    const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void otp_hook__ZdlPv(void *block);
OTP_HOOK_FUNCTION void otp_hook__ZdaPv(void *block);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvm(void *block, size_t size);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvm(void *block, size_t size);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvRKSt9nothrow_t(void *block, const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvRKSt9nothrow_t(void *block, const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvSt11align_val_t(void *block, size_t alignment);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvSt11align_val_t(void *block, size_t alignment);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment,
                                                                    const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment,
                                                                    const struct otp_nothrow *nothrow);

OTP_HOOK_FUNCTION int otp_hook_pthread_mutex_lock(pthread_mutex_t *mutex);
OTP_HOOK_FUNCTION int otp_hook_pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock,
                                                       const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_mutex_unlock(pthread_mutex_t *mutex);
OTP_HOOK_FUNCTION int otp_hook_pthread_rwlock_rdlock(pthread_rwlock_t *rwlock);
OTP_HOOK_FUNCTION int otp_hook_pthread_rwlock_timedrdlock(pthread_rwlock_t *rwlock, const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_rwlock_clockrdlock(pthread_rwlock_t *rwlock, clockid_t clock,
                                                          const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_rwlock_wrlock(pthread_rwlock_t *rwlock);
OTP_HOOK_FUNCTION int otp_hook_pthread_rwlock_timedwrlock(pthread_rwlock_t *rwlock, const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_rwlock_clockwrlock(pthread_rwlock_t *rwlock, clockid_t clock,
                                                          const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_rwlock_unlock(pthread_rwlock_t *rwlock);
OTP_HOOK_FUNCTION int otp_hook_pthread_spin_lock(pthread_spinlock_t *spinlock);
OTP_HOOK_FUNCTION int otp_hook_pthread_spin_unlock(pthread_spinlock_t *spinlock);
OTP_HOOK_FUNCTION int otp_hook_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
OTP_HOOK_FUNCTION int otp_hook_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                                      const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                                                      const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_sem_wait(sem_t *semaphore);
OTP_HOOK_FUNCTION int otp_hook_sem_timedwait(sem_t *semaphore, const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_join(pthread_t thread, void **value);
OTP_HOOK_FUNCTION int otp_hook_pthread_timedjoin_np(pthread_t thread, void **value, const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_clockjoin_np(pthread_t thread, void **value, clockid_t clock,
                                                    const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_pthread_barrier_wait(pthread_barrier_t *barrier);
OTP_HOOK_FUNCTION int otp_hook_mtx_lock(mtx_t *mutex);
OTP_HOOK_FUNCTION int otp_hook_mtx_timedlock(mtx_t *mutex, const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_mtx_unlock(mtx_t *mutex);
OTP_HOOK_FUNCTION int otp_hook_cnd_wait(cnd_t *cond, mtx_t *mutex);
OTP_HOOK_FUNCTION int otp_hook_cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until);
OTP_HOOK_FUNCTION int otp_hook_thrd_join(thrd_t thread, int *value);

OTP_HOOK_FUNCTION void *otp_hook_dlopen(const char *file, int flags);
OTP_HOOK_FUNCTION int otp_hook_dlclose(void *handle);

#endif
