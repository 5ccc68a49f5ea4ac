// SPDX-License-Identifier: Apache-2.0
#include "preload/preload.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#include "preload/environment.h"

/*
 * Exported by the library for this object alone, see core/follow.h. Weak: another release of the library beside this
 * object must not keep the program from starting.
 */
OTELPROF_API __attribute__((weak)) int otelprof_private_child_start(unsigned delay_ms);

static _Atomic pid_t owner;         /* the process that was started; 0: none */
static pid_t entered;               /* the process whose main we entered, if it was started */
static _Atomic int waiting;         /* threads inside a stop or flush of the library */
static _Atomic uint64_t flushed_ns; /* CPU time of the process when the last window went out */

/* One line, by one write, and only before the program itself runs. */
static void complain(void) {
    char line[512];
    const char *reason = otelprof_last_error();
    int length = snprintf(line, sizeof(line) - 1, "otelprof: not profiling: %s (`otelprof doctor` says more)",
                          *reason ? reason : "the library gives no reason");
    if (length < 0)
        return;
    size_t end = (size_t)length < sizeof(line) - 1 ? (size_t)length : sizeof(line) - 2;
    line[end] = '\n';
    ssize_t written = write(STDERR_FILENO, line, end + 1);
    (void)written; /* a program without stderr does not get the line */
}

static uint64_t cpu_time_ns(void) {
    struct timespec time = {0, 0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

__attribute__((constructor)) static void start(void) {
    int saved = errno;
    otp_environment_keep(environ);
    const char *quiet = secure_getenv("OTELPROF_QUIET");
    bool talk = !quiet || strcmp(quiet, "1") != 0;
    int error = otelprof_init(NULL);
    if (error == OTELPROF_OK || error == OTELPROF_E_TIMEOUT)
        atomic_store(&owner, getpid());
    else if (error != OTELPROF_E_DISABLED && error != OTELPROF_E_ALREADY && talk)
        complain();
    if (error == OTELPROF_OK || error == OTELPROF_E_TIMEOUT || error == OTELPROF_E_ALREADY)
        entered = getpid();
    if (!otp_environment_for_children())
        environ = otp_environment_restore(environ);
    atomic_store(&flushed_ns, cpu_time_ns());
    errno = saved;
}

/* A child of vfork() shares this memory, so what it does is told apart by its process id. */
static bool mine(void) { return atomic_load(&owner) == getpid(); }

void otp_preload_stop(void) {
    pid_t pid = getpid();
    int saved = errno;
    if (atomic_compare_exchange_strong(&owner, &pid, 0)) {
        atomic_fetch_add(&waiting, 1);
        otelprof_shutdown(OTP_PRELOAD_STOP_MS);
        atomic_fetch_sub(&waiting, 1);
    }
    errno = saved;
}

/* Not a place where the thread may be cancelled: the calls in front of which this stands are none. */
static void flush(void) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    otelprof_flush(OTP_PRELOAD_FLUSH_MS);
    pthread_setcancelstate(state, NULL);
    atomic_store(&flushed_ns, cpu_time_ns());
}

void otp_preload_flush(void) {
    int saved = errno;
    if (!mine())
        return;
    atomic_fetch_add(&waiting, 1);
    flush();
    atomic_fetch_sub(&waiting, 1);
    errno = saved;
}

bool otp_preload_running(void) { return mine(); }

bool otp_preload_entered(void) { return entered == getpid(); }

/* The counters lag behind by up to a tick of the profiler thread: CPU time tells of what they do not show yet. */
static bool something_sampled(void) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    if (cpu_time_ns() - atomic_load(&flushed_ns) >= OTP_PRELOAD_WORTH_NS)
        return true;
    otelprof_stats(&stats);
    return stats.samples_fired > stats.samples_exported + stats.lost_ring_full + stats.lost_decode + stats.lost_memory +
                                     stats.lost_window_dropped + stats.lost_export_failed + stats.lost_rejected +
                                     stats.lost_shutdown + stats.lost_scratch + stats.delivery_unknown;
}

void otp_preload_before_exec(void) {
    int saved = errno;
    /* In a signal handler that interrupted such a wait, another one might never end. */
    if (!mine())
        return;
    if (atomic_fetch_add(&waiting, 1) == 0 && something_sampled())
        flush();
    atomic_fetch_sub(&waiting, 1);
    errno = saved;
}

/* User 0 with both capabilities: a server that is about to drop them, and could not start later. */
static bool privileged(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    memset(data, 0, sizeof(data));
    if (geteuid() != 0 || syscall(SYS_capget, &header, data) != 0)
        return false;
    uint32_t wanted = CAP_TO_MASK(CAP_BPF) | CAP_TO_MASK(CAP_PERFMON); /* both above 31: the second word */
    return (data[CAP_TO_INDEX(CAP_BPF)].effective & wanted) == wanted;
}

void otp_preload_child(void) {
    int saved = errno;
    bool was_started = atomic_load(&owner) != 0;
    atomic_store(&owner, 0);
    atomic_store(&waiting, 0);
    if (was_started && otelprof_private_child_start) {
        int error = otelprof_private_child_start(privileged() ? 0 : OTP_PRELOAD_CHILD_DELAY_MS);
        if (error >= 0 || error == OTELPROF_E_TIMEOUT)
            atomic_store(&owner, getpid());
    }
    errno = saved;
}
