// SPDX-License-Identifier: Apache-2.0
/*
 * A wrapper for `otelprof run`: tool_exec HOW PROGRAM ARGS uses some CPU time and becomes PROGRAM in the way that HOW
 * names: one of the exec family, from a "thread" or a "signal" handler, or in a child ("fork", "vfork"). "fail" makes
 * calls that fail, says how, and goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORK_NS 60000000

static char **target; /* PROGRAM ARGS NULL */

__attribute__((noinline)) static void burn(void) {
    struct timespec time, start;
    volatile uint64_t value = 1;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do {
        for (int i = 0; i < 10000; i++)
            value = value * 6364136223846793005u + 1;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    } while ((time.tv_sec - start.tv_sec) * 1000000000 + time.tv_nsec - start.tv_nsec < WORK_NS);
}

__attribute__((noinline)) static void before_exec(void) {
    burn();
    __asm__ volatile("");
}

__attribute__((noinline)) static void after_failure(void) {
    burn();
    __asm__ volatile("");
}

static void by_name(const char *how) {
    const char *path = target[0], *first = target[1];
    char *null = NULL;
    if (strcmp(how, "execve") == 0)
        execve(path, target, environ);
    else if (strcmp(how, "execv") == 0)
        execv(path, target);
    else if (strcmp(how, "execvp") == 0)
        execvp(path, target);
    else if (strcmp(how, "execvpe") == 0)
        execvpe(path, target, environ);
    else if (strcmp(how, "execl") == 0)
        execl(path, path, first, null);
    else if (strcmp(how, "execlp") == 0)
        execlp(path, path, first, null);
    else if (strcmp(how, "execle") == 0)
        execle(path, path, first, null, environ);
    else if (strcmp(how, "fexecve") == 0)
        fexecve(open(path, O_RDONLY | O_CLOEXEC), target, environ);
    else if (strcmp(how, "execveat") == 0)
        execveat(AT_FDCWD, path, target, environ, 0);
    else if (strcmp(how, "execveat-empty") == 0)
        execveat(open(path, O_PATH | O_CLOEXEC), "", target, environ, AT_EMPTY_PATH);
    else if (strcmp(how, "clean") == 0)
        execve(path, target, &null);
    else if (strcmp(how, "null") == 0)
        execve(path, target, NULL);
}

static int wait_for(pid_t pid) {
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static int in_child(void) {
    pid_t pid = fork();
    if (pid == 0) {
        execv(target[0], target);
        _exit(98);
    }
    return wait_for(pid);
}

static int in_vforked_child(void) {
    pid_t pid = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): vfork is what is tested
    if (pid == 0) {
        execv(target[0], target);
        _exit(97);
    }
    return wait_for(pid);
}

static void *on_thread(void *unused) {
    execv(target[0], target);
    return unused;
}

static void on_signal(int signal) {
    (void)signal;
    execv(target[0], target);
}

static void say(const char *what, int result) { printf("%s: %d %s\n", what, result, strerrorname_np(errno)); }

/* An argument list that is too long for the kernel. */
static void too_long(void) {
    size_t count = 1000000;
    char **list = malloc((count + 1) * sizeof(*list));
    if (!list)
        return;
    for (size_t i = 0; i < count; i++)
        list[i] = "12345678";
    list[count] = NULL;
    say("too long", execv("/bin/true", list));
    free(list);
}

static int failing(void) {
    char *arguments[] = {"x", NULL};
    errno = 0;
    say("no file", execv("/nowhere/x", arguments));
    say("no file, argument list", execl("/nowhere/x", "x", (char *)NULL));
    say("no file, environment", execle("/nowhere/x", "x", (char *)NULL, environ));
    say("no name", execvp("no-such-program-anywhere", arguments));
    say("no name, argument list", execlp("no-such-program-anywhere", "x", (char *)NULL));
    say("empty", execvp("", arguments));
    say("a folder", execve("/tmp", arguments, environ));
    say("a folder below a file", execve("/etc/passwd/x", arguments, environ));
    say("not executable", execvpe("/etc/passwd", arguments, environ));
    say("bad descriptor", fexecve(-1, arguments, environ));
    say("bad folder", execveat(-1, "x", arguments, environ, 0));
    const char *volatile nowhere = (const char *)8;
    say("bad address", execve(nowhere, arguments, environ));
    say("not a program", execv(target[0], arguments));
    too_long();
    fflush(stdout);
    after_failure();
    return 7;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    const char *how = argv[1];
    pthread_t thread;
    target = argv + 2;
    before_exec();
    if (strcmp(how, "fork") == 0)
        return in_child();
    if (strcmp(how, "vfork") == 0)
        return in_vforked_child();
    if (strcmp(how, "fail") == 0)
        return failing();
    if (strcmp(how, "thread") == 0 && pthread_create(&thread, NULL, on_thread, NULL) == 0)
        pthread_join(thread, NULL);
    if (strcmp(how, "signal") == 0 && signal(SIGUSR1, on_signal) != SIG_ERR)
        raise(SIGUSR1);
    by_name(how);
    perror("tool_exec");
    return 96;
}
