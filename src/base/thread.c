// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"

/* Where the C library does not say what it takes of a stack. Pages that are not touched cost nothing. */
#define OVERHEAD_GUESS ((size_t)4 << 20)

static size_t overhead = OVERHEAD_GUESS;

_Thread_local bool otp_thread_is_ours __attribute__((tls_model("initial-exec")));

void otp_thread_becomes_ours(void) { otp_thread_is_ours = true; }

void otp_thread_set_overhead(size_t bytes) { overhead = bytes ? bytes : OVERHEAD_GUESS; }

size_t otp_thread_overhead(void) { return overhead; }

/* Room for 8192 CPUs, the most that Linux can be built for on x86-64. */
#define CPU_WORDS (8192 / 8 / sizeof(unsigned long))

struct start {
    void *(*body)(void *argument);
    void *argument;
    char name[16];
    unsigned long cpus[CPU_WORDS];
    bool cpus_known;
};

/* The CPUs of the main thread and of the caller: what taskset gave the process, and not what one thread pinned. */
static void find_cpus(struct start *start) {
    unsigned long more[CPU_WORDS] = {0};
    cpu_set_t *cpus = (cpu_set_t *)(void *)start->cpus;
    bool main_known = !sched_getaffinity(getpid(), sizeof(start->cpus), cpus);
    bool own_known = !sched_getaffinity(0, sizeof(more), (cpu_set_t *)(void *)more);
    for (size_t i = 0; own_known && i < CPU_WORDS; i++)
        start->cpus[i] |= more[i];
    start->cpus_known = main_known || own_known;
}

static void *run(void *argument) {
    struct start *start = argument;
    void *(*body)(void *) = start->body;
    void *body_argument = start->argument;
    otp_thread_becomes_ours();
    prctl(PR_SET_NAME, start->name, 0, 0, 0);
    if (start->cpus_known)
        sched_setaffinity(0, sizeof(start->cpus), (const cpu_set_t *)(const void *)start->cpus);
    free(start);
    return body(body_argument);
}

static void set_normal_class(pthread_attr_t *attributes) {
    struct sched_param parameter = {.sched_priority = 0};
    pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(attributes, SCHED_OTHER);
    pthread_attr_setschedparam(attributes, &parameter);
}

/* EINVAL: thread-local storage leaves no room in the stack all the same. EPERM: the class may not be changed. */
static int create(struct start *start, pthread_t *thread) {
    int error = EINVAL;
    for (int attempt = 0; attempt < 4; attempt++) {
        bool own_stack = attempt < 2, normal_class = attempt % 2 == 0;
        pthread_attr_t attributes;
        error = pthread_attr_init(&attributes);
        if (error)
            return error;
        if (own_stack)
            pthread_attr_setstacksize(&attributes, OTP_THREAD_STACK_BYTES + overhead);
        if (normal_class)
            set_normal_class(&attributes);
        error = otp_sys.thread_create(thread, &attributes, run, start);
        pthread_attr_destroy(&attributes);
        if (error != EINVAL && error != EPERM)
            break;
    }
    return error;
}

int otp_thread_start(const char *name, void *(*body)(void *argument), void *argument, pthread_t *thread) {
    struct start *start = otp_sys.calloc(1, sizeof(*start));
    if (!start)
        return otp_error(OTELPROF_E_MEMORY, "no memory to start the thread %s", name);
    start->body = body;
    start->argument = argument;
    snprintf(start->name, sizeof(start->name), "%s", name);
    find_cpus(start);

    sigset_t all, before;
    sigfillset(&all);
    int error = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!error) {
        error = create(start, thread);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (!error)
        return 0;
    free(start);
    return otp_error_errno(OTELPROF_E_SYSTEM, error, "cannot start the thread %s", name);
}
