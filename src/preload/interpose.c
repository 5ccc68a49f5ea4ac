// SPDX-License-Identifier: Apache-2.0
/*
 * The functions of the C library that the preload object stands in front of. Each calls the next definition, the C
 * library's or that of another preloaded object. vfork, posix_spawn, _Fork and _exit are left alone on purpose.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "preload/preload.h"

#define INTERPOSE __attribute__((visibility("default")))

typedef int (*main_fn)(int argc, char **argv, char **environment);
typedef int (*start_fn)(main_fn host_main, int argc, char **argv, main_fn init, void (*fini)(void),
                        void (*loader_fini)(void), void *stack_end);

INTERPOSE int __libc_start_main(main_fn host_main, int argc, char **argv, main_fn init, void (*fini)(void),
                                void (*loader_fini)(void), void *stack_end);

static main_fn wrapped_main;

static struct {
    start_fn start_main;
    pid_t (*fork)(void);
    int (*daemon)(int nochdir, int noclose);
    void (*exit)(int status);
    void (*quick_exit)(int status);
} next;

/* Once, while there is one thread: the loader's lock is not for exit() in a signal handler. */
__attribute__((constructor(101))) static void resolve(void) {
    next.start_main = (start_fn)dlsym(RTLD_NEXT, "__libc_start_main");
    next.fork = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
    next.daemon = (int (*)(int, int))dlsym(RTLD_NEXT, "daemon");
    next.exit = (void (*)(int))dlsym(RTLD_NEXT, "exit");
    next.quick_exit = (void (*)(int))dlsym(RTLD_NEXT, "quick_exit");
}

/* exit() inside __libc_start_main is bound within the C library: a return from main must be caught here. */
static int otelprof_main(int argc, char **argv, char **environment) {
    int status = wrapped_main(argc, argv, environment);
    otp_preload_stop();
    return status;
}

int __libc_start_main(main_fn host_main, int argc, char **argv, main_fn init, void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end) {
    if (!next.start_main)
        _exit(127); /* there is no C library that could run the program */
    wrapped_main = host_main;
    return next.start_main(otelprof_main, argc, argv, init, fini, loader_fini, stack_end);
}

/* A constructor of another object may come here before resolve(): it is the only thread then. */
static bool known(void) {
    if (!next.fork)
        resolve();
    return next.fork && next.daemon && next.exit && next.quick_exit;
}

INTERPOSE pid_t fork(void) {
    if (!known()) {
        errno = ENOSYS;
        return -1;
    }
    pid_t pid = next.fork();
    if (pid == 0)
        otp_preload_child();
    return pid;
}

/* The fork inside daemon() is bound within the C library, and the parent leaves by _exit(). */
INTERPOSE int daemon(int nochdir, int noclose) {
    if (!known()) {
        errno = ENOSYS;
        return -1;
    }
    otp_preload_flush();
    pid_t before = getpid();
    int result = next.daemon(nochdir, noclose);
    if (getpid() != before)
        otp_preload_child();
    return result;
}

INTERPOSE void exit(int status) {
    otp_preload_stop();
    if (known())
        next.exit(status);
    _exit(status);
}

INTERPOSE void quick_exit(int status) {
    otp_preload_stop();
    if (known())
        next.quick_exit(status);
    _exit(status);
}
