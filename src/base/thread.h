// SPDX-License-Identifier: Apache-2.0
/* Threads of ours in a process that is not ours: they take nothing over from the thread that happens to start them. */
#ifndef OTP_BASE_THREAD_H
#define OTP_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a thread of ours may use of its stack: libdw takes 260 KiB at once for a line table. */
#define OTP_THREAD_STACK_BYTES ((size_t)768 << 10)

/*
 * What the C library takes of each thread's stack for itself: static thread-local storage, which may be large. Before
 * the first otp_thread_start(), on a thread that may take the loader's lock. 0: not known.
 */
void otp_thread_set_overhead(size_t bytes);
size_t otp_thread_overhead(void);

/*
 * Starts a joinable thread: all signals blocked, normal scheduling class, allowed on every CPU that the process's main
 * thread or the caller may use, named `name` (15 bytes at most, copied), with OTP_THREAD_STACK_BYTES of stack for
 * itself. 0, OTELPROF_E_MEMORY or OTELPROF_E_SYSTEM.
 */
int otp_thread_start(const char *name, void *(*body)(void *argument), void *argument, pthread_t *thread);

/*
 * True on a thread of ours: the hooks leave it alone. otp_thread_start() says so for its threads. The network object
 * has a copy of this variable that no hook reads: there a call of the library's own otp_thread_becomes_ours() says it.
 */
extern _Thread_local bool otp_thread_is_ours __attribute__((tls_model("initial-exec")));
void otp_thread_becomes_ours(void);

#endif
