// SPDX-License-Identifier: Apache-2.0
/*
 * The exec family. Only where the process whose main we entered becomes another program (a wrapper script, env,
 * setpriv), our variables go along, so that the profile goes on. In a child, forked or vforked, and for a program that
 * cannot be preloaded, the call is passed on as it is. A call that fails leaves everything as it was.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include "preload/environment.h"
#include "preload/exec_target.h"
#include "preload/preload.h"

#define INTERPOSE __attribute__((visibility("default")))

static struct {
    int (*path)(const char *path, char *const *arguments, char *const *environment);
    int (*name)(const char *name, char *const *arguments, char *const *environment);
    int (*fd)(int fd, char *const *arguments, char *const *environment);
    int (*at)(int fd, const char *path, char *const *arguments, char *const *environment, int flags);
} next;

typedef int (*path_fn)(const char *, char *const *, char *const *);

__attribute__((constructor(101))) static void resolve(void) {
    next.path = (path_fn)dlsym(RTLD_NEXT, "execve");
    next.name = (path_fn)dlsym(RTLD_NEXT, "execvpe");
    next.fd = (int (*)(int, char *const *, char *const *))dlsym(RTLD_NEXT, "fexecve");
    next.at = (int (*)(int, const char *, char *const *, char *const *, int))dlsym(RTLD_NEXT, "execveat");
}

static int unknown(void) {
    errno = ENOSYS;
    return -1;
}

static int pass(const struct otp_exec *call, char *const *environment) {
    switch (call->how) {
    case OTP_EXEC_PATH:
        return next.path ? next.path(call->path, call->arguments, environment) : unknown();
    case OTP_EXEC_NAME:
        return next.name ? next.name(call->path, call->arguments, environment) : unknown();
    case OTP_EXEC_FD:
        return next.fd ? next.fd(call->fd, call->arguments, environment) : unknown();
    default:
        return next.at ? next.at(call->fd, call->path, call->arguments, environment, call->flags) : unknown();
    }
}

static int execute(const struct otp_exec *call, char *const *environment) {
    if (!next.path)
        resolve(); /* a constructor of another object came first */
    if (!otp_preload_entered())
        return pass(call, environment);
    size_t mapped = 0;
    int saved = errno;
    enum otp_exec_outlook outlook = otp_exec_outlook(call);
    char **ours = outlook == OTP_EXEC_TAKES_US ? otp_environment_with(environment, &mapped) : NULL;
    if (outlook != OTP_EXEC_FAILS)
        otp_preload_before_exec();
    errno = saved;
    int result = pass(call, ours ? ours : environment);
    if (ours && errno == E2BIG) /* ours may be what is too much */
        result = pass(call, environment);
    saved = errno;
    otp_environment_release(ours, mapped);
    errno = saved;
    return result;
}

INTERPOSE int execve(const char *path, char *const argv[], char *const envp[]) {
    return execute(&(struct otp_exec){.how = OTP_EXEC_PATH, .path = path, .arguments = argv}, envp);
}

INTERPOSE int execv(const char *path, char *const argv[]) {
    return execute(&(struct otp_exec){.how = OTP_EXEC_PATH, .path = path, .arguments = argv}, environ);
}

INTERPOSE int execvp(const char *file, char *const argv[]) {
    return execute(&(struct otp_exec){.how = OTP_EXEC_NAME, .path = file, .arguments = argv}, environ);
}

INTERPOSE int execvpe(const char *file, char *const argv[], char *const envp[]) {
    return execute(&(struct otp_exec){.how = OTP_EXEC_NAME, .path = file, .arguments = argv}, envp);
}

INTERPOSE int fexecve(int fd, char *const argv[], char *const envp[]) {
    return execute(&(struct otp_exec){.how = OTP_EXEC_FD, .fd = fd, .arguments = argv}, envp);
}

INTERPOSE int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags) {
    return execute(&(struct otp_exec){.how = OTP_EXEC_AT, .fd = fd, .path = path, .arguments = argv, .flags = flags},
                   envp);
}

/* How many arguments there are, the NULL at the end not counted. */
static size_t count(const char *first, va_list *rest) {
    size_t arguments = 0;
    for (const char *each = first; each; each = va_arg(*rest, const char *))
        arguments++;
    return arguments;
}

static char *const *collect(const char **list, const char *first, va_list *rest) {
    const char **at = list;
    for (*at = first; *at; *at = va_arg(*rest, const char *))
        at++;
    return (char *const *)(void *)list;
}

/* Room on the stack, as the C library makes it, for the arguments from `first` on. */
#define ROOM_FOR(arguments) __builtin_alloca(((arguments) + 1) * sizeof(const char *))

INTERPOSE int execl(const char *path, const char *arg, ...) {
    va_list rest;
    va_start(rest, arg);
    const char **list = ROOM_FOR(count(arg, &rest));
    va_end(rest);
    va_start(rest, arg);
    char *const *arguments = collect(list, arg, &rest);
    va_end(rest);
    return execv(path, arguments);
}

INTERPOSE int execlp(const char *file, const char *arg, ...) {
    va_list rest;
    va_start(rest, arg);
    const char **list = ROOM_FOR(count(arg, &rest));
    va_end(rest);
    va_start(rest, arg);
    char *const *arguments = collect(list, arg, &rest);
    va_end(rest);
    return execvp(file, arguments);
}

INTERPOSE int execle(const char *path, const char *arg, ...) {
    va_list rest;
    va_start(rest, arg);
    const char **list = ROOM_FOR(count(arg, &rest));
    va_end(rest);
    va_start(rest, arg);
    char *const *arguments = collect(list, arg, &rest);
    char *const *environment = va_arg(rest, char *const *);
    va_end(rest);
    return execve(path, arguments, environment);
}
