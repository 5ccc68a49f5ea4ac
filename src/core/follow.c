// SPDX-License-Identifier: Apache-2.0
#include "core/follow.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork_guard.h"
#include "base/thread.h"
#include "context/context.h"

static struct {
    pthread_once_t once;
    const struct otp_follow_calls *calls;
    int result;
    pid_t pid;            /* of the process for which the handler ran last, or that registered */
    _Atomic int starting; /* 1: a thread is on its way to start this child */
} follow = {.once = PTHREAD_ONCE_INIT};

static void in_child(void) {
    follow.pid = getpid();
    atomic_store(&follow.starting, 0);
    follow.calls->forked_child();
}

static void child_call(void);

static void do_register(void) {
    follow.pid = getpid();
    otp_context_child_call = child_call;
    follow.result = pthread_atfork(NULL, NULL, in_child);
}

int otp_follow_register(const struct otp_follow_calls *calls) {
    follow.calls = calls; /* one thread starts at a time */
    pthread_once(&follow.once, do_register);
    return follow.result ? otp_error_errno(OTELPROF_E_MEMORY, follow.result, "pthread_atfork") : 0;
}

bool otp_follow_missed(void) {
    if (follow.pid == getpid())
        return false;
    follow.pid = getpid();
    atomic_store(&follow.starting, 0);
    return true;
}

static void *start_later(void *argument) {
    unsigned delay_ms = (unsigned)(uintptr_t)argument;
    struct timespec delay = {delay_ms / 1000, (long)(delay_ms % 1000) * 1000000};
    while (nanosleep(&delay, &delay) && errno == EINTR)
        ;
    follow.calls->start();
    return NULL;
}

static int start_on_a_thread(unsigned delay_ms) {
    pthread_t thread;
    if (atomic_exchange(&follow.starting, 1))
        return 0;
    int result = otp_thread_start("otelprof", start_later, (void *)(uintptr_t)delay_ms, &thread);
    if (!result)
        pthread_detach(thread);
    return result;
}

/* A span call in a child that is off. */
static void child_call(void) {
    if (!follow.calls->follows() || atomic_load(&follow.starting))
        return;
    start_on_a_thread(0);
}

int otelprof_private_child_start(unsigned delay_ms) {
    if (!follow.calls || !follow.calls->follows() || otp_fork_guard_mine())
        return OTELPROF_E_STATE;
    return delay_ms ? start_on_a_thread(delay_ms) : follow.calls->start();
}
