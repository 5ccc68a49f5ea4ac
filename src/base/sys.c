// SPDX-License-Identifier: Apache-2.0
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static int real_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }

static _Atomic bool read_memory_forbidden;

void otp_sys_forbid_read_memory(void) { atomic_store(&read_memory_forbidden, true); }

static ssize_t real_read_memory(const struct iovec *local, const struct iovec *remote) {
    if (atomic_load(&read_memory_forbidden)) {
        errno = EPERM;
        return -1;
    }
    return process_vm_readv(getpid(), local, 1, remote, 1, 0);
}

static int real_perf_event_open(struct perf_event_attr *attributes, pid_t pid, int cpu, int group,
                                unsigned long flags) {
    return (int)syscall(SYS_perf_event_open, attributes, pid, cpu, group, flags);
}

#define OTP_SYS_CALLS                                                                                                  \
    {                                                                                                                  \
        .malloc = malloc, .calloc = calloc, .realloc = realloc, .mmap = mmap, .madvise = madvise, .open = real_open,   \
        .read = read, .pread = pread, .write = write, .fstat = fstat, .fsync = fsync, .rename = rename,                \
        .unlink = unlink, .mkdir = mkdir, .getrandom = getrandom, .read_memory = real_read_memory, .pipe2 = pipe2,     \
        .memfd_create = memfd_create, .thread_create = pthread_create, .perf_event_open = real_perf_event_open,        \
        .clock_gettime = clock_gettime,                                                                                \
    }

#ifdef OTP_SYS_SWAPPABLE
const struct otp_sys otp_sys_real = OTP_SYS_CALLS;
struct otp_sys otp_sys = OTP_SYS_CALLS;
#else
const struct otp_sys otp_sys = OTP_SYS_CALLS;
#endif
