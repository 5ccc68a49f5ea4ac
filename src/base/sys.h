// SPDX-License-Identifier: Apache-2.0
/*
 * Calls that can fail and have a defined failure answer go through this table, so that tests can make each of them
 * fail. In release builds the table is constant and the compiler calls the functions directly; with
 * OTP_SYS_SWAPPABLE (tests) it is a variable.
 *
 * Only calls of our own code: what libbpf, libdw or protobuf-c allocate is theirs.
 */
#ifndef OTP_BASE_SYS_H
#define OTP_BASE_SYS_H

#include <linux/perf_event.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct otp_sys {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void *(*mmap)(void *address, size_t length, int protection, int flags, int fd, off_t offset);
    int (*madvise)(void *address, size_t length, int advice);
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*read)(int fd, void *buffer, size_t size);
    ssize_t (*pread)(int fd, void *buffer, size_t size, off_t offset);
    ssize_t (*write)(int fd, const void *buffer, size_t size);
    int (*fstat)(int fd, struct stat *status);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    ssize_t (*getrandom)(void *buffer, size_t size, unsigned int flags);
    ssize_t (*read_memory)(const struct iovec *local, const struct iovec *remote); /* process_vm_readv on ourselves */
    int (*pipe2)(int ends[2], int flags);
    int (*memfd_create)(const char *name, unsigned int flags);
    int (*thread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument);
    int (*perf_event_open)(struct perf_event_attr *attributes, pid_t pid, int cpu, int group, unsigned long flags);
    int (*clock_gettime)(clockid_t clock, struct timespec *time);
};

/*
 * From now on read_memory fails with EPERM, without a system call: a filter came that may kill for it. Any thread; for
 * good, as filters are.
 */
void otp_sys_forbid_read_memory(void);

#ifdef OTP_SYS_SWAPPABLE
extern struct otp_sys otp_sys;
extern const struct otp_sys otp_sys_real;
#else
extern const struct otp_sys otp_sys;
#endif

#endif
