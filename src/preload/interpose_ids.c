// SPDX-License-Identifier: Apache-2.0
/*
 * The functions that change user and group. The C library repeats each on every thread, and aborts when it succeeds on
 * one and fails on another (glibc: __nptl_setxid_error). Capabilities belong to a thread: a program that has one
 * thread, and knows it, sets them on that one alone (setpriv and all that use libcap-ng), and ours stay behind. So
 * where they differ, the profiler is stopped first: with its threads gone the program is what it took itself for.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/preload.h"

#define INTERPOSE __attribute__((visibility("default")))

static struct {
    int (*setuid)(uid_t uid);
    int (*setgid)(gid_t gid);
    int (*seteuid)(uid_t uid);
    int (*setegid)(gid_t gid);
    int (*setreuid)(uid_t ruid, uid_t euid);
    int (*setregid)(gid_t rgid, gid_t egid);
    int (*setresuid)(uid_t ruid, uid_t euid, uid_t suid);
    int (*setresgid)(gid_t rgid, gid_t egid, gid_t sgid);
    int (*setgroups)(size_t n, const gid_t *groups);
    int (*initgroups)(const char *user, gid_t group);
} next;

__attribute__((constructor(101))) static void resolve(void) {
    next.setuid = (int (*)(uid_t))dlsym(RTLD_NEXT, "setuid");
    next.setgid = (int (*)(gid_t))dlsym(RTLD_NEXT, "setgid");
    next.seteuid = (int (*)(uid_t))dlsym(RTLD_NEXT, "seteuid");
    next.setegid = (int (*)(gid_t))dlsym(RTLD_NEXT, "setegid");
    next.setreuid = (int (*)(uid_t, uid_t))dlsym(RTLD_NEXT, "setreuid");
    next.setregid = (int (*)(gid_t, gid_t))dlsym(RTLD_NEXT, "setregid");
    next.setresuid = (int (*)(uid_t, uid_t, uid_t))dlsym(RTLD_NEXT, "setresuid");
    next.setresgid = (int (*)(gid_t, gid_t, gid_t))dlsym(RTLD_NEXT, "setresgid");
    next.setgroups = (int (*)(size_t, const gid_t *))dlsym(RTLD_NEXT, "setgroups");
    next.initgroups = (int (*)(const char *, gid_t))dlsym(RTLD_NEXT, "initgroups");
}

typedef struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];

static bool get_capabilities(int tid, capabilities *out) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, tid};
    memset(out, 0, sizeof(*out));
    return syscall(SYS_capget, &header, out) == 0;
}

/* Whether a thread named in this part of /proc/self/task has other capabilities than `own`. */
static bool one_differs(const char *entries, size_t size, const capabilities *own) {
    capabilities other;
    for (size_t at = 0; at < size;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);
        int tid = 0;
        for (const char *digit = entry->d_name; *digit >= '0' && *digit <= '9'; digit++)
            tid = tid * 10 + (*digit - '0');
        if (tid && get_capabilities(tid, &other) && memcmp(&other, own, sizeof(other)) != 0)
            return true;
        at += entry->d_reclen;
    }
    return false;
}

static bool threads_differ(void) {
    _Alignas(struct dirent64) char entries[1024];
    capabilities own;
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool differ = false;
    if (fd < 0)
        return false;
    long size = 0;
    while (get_capabilities(0, &own) && !differ && (size = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0)
        differ = one_differs(entries, (size_t)size, &own);
    close(fd);
    return differ;
}

/* True: the C library's function is there. */
static bool ready(void) {
    int saved = errno;
    if (!next.setuid)
        resolve();
    if (otp_preload_running() && threads_differ())
        otp_preload_stop();
    errno = saved;
    return next.setuid && next.setgid && next.seteuid && next.setegid && next.setreuid && next.setregid &&
           next.setresuid && next.setresgid && next.setgroups && next.initgroups;
}

static int unknown(void) {
    errno = ENOSYS;
    return -1;
}

INTERPOSE int setuid(uid_t uid) { return ready() ? next.setuid(uid) : unknown(); }

INTERPOSE int setgid(gid_t gid) { return ready() ? next.setgid(gid) : unknown(); }

INTERPOSE int seteuid(uid_t uid) { return ready() ? next.seteuid(uid) : unknown(); }

INTERPOSE int setegid(gid_t gid) { return ready() ? next.setegid(gid) : unknown(); }

INTERPOSE int setreuid(uid_t ruid, uid_t euid) { return ready() ? next.setreuid(ruid, euid) : unknown(); }

INTERPOSE int setregid(gid_t rgid, gid_t egid) { return ready() ? next.setregid(rgid, egid) : unknown(); }

INTERPOSE int setresuid(uid_t ruid, uid_t euid, uid_t suid) {
    return ready() ? next.setresuid(ruid, euid, suid) : unknown();
}

INTERPOSE int setresgid(gid_t rgid, gid_t egid, gid_t sgid) {
    return ready() ? next.setresgid(rgid, egid, sgid) : unknown();
}

INTERPOSE int setgroups(size_t n, const gid_t *groups) { return ready() ? next.setgroups(n, groups) : unknown(); }

INTERPOSE int initgroups(const char *user, gid_t group) { return ready() ? next.initgroups(user, group) : unknown(); }
