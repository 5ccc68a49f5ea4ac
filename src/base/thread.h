// SPDX-License-Identifier: Apache-2.0
/* Threads of ours in a process that is not ours: they take nothing over from the thread that happens to start them. */
#ifndef OTP_BASE_THREAD_H
#define OTP_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

#define OTP_THREAD_STACK_BYTES ((size_t)512 << 10)

/*
 * Starts a joinable thread: all signals blocked, normal scheduling class, allowed on every CPU that the process's main
 * thread or the caller may use, named `name` (15 bytes at most, copied), a stack of OTP_THREAD_STACK_BYTES, or of the
 * system's default size where that is too small (large thread-local storage). 0, OTELPROF_E_MEMORY or
 * OTELPROF_E_SYSTEM.
 */
int otp_thread_start(const char *name, void *(*body)(void *argument), void *argument, pthread_t *thread);

#endif
