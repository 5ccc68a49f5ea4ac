// SPDX-License-Identifier: Apache-2.0
/* A program for `otelprof run`: tool_target HOW uses some CPU time and ends in the way that HOW names. */
#include <elf.h>
#include <link.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORK_NS 120000000

static int64_t cpu_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void work(void) {
    volatile uint64_t value = 1;
    int64_t start = cpu_ns(); /* after an exec there is time of the program before it */
    do {
        for (int i = 0; i < 10000; i++)
            value = value * 6364136223846793005u + 1;
    } while (cpu_ns() - start < WORK_NS);
}

static int wait_for(pid_t pid) {
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

/* A child, and a child of that one, each with its own exit status. */
static int forked(int generations) {
    pid_t pid = fork();
    if (pid < 0)
        return 98;
    if (pid > 0)
        return wait_for(pid);
    nanosleep(&(struct timespec){1, 500000000}, NULL); /* 200 ms until a followed child starts, and time to do so */
    int result = generations > 1 ? forked(generations - 1) : 9;
    work();
    return result;
}

static int spawned(void) {
    char *arguments[] = {"sh", "-c", "env | grep -c -e LD_PRELOAD -e OTELPROF; exit 8", NULL};
    pid_t pid;
    return posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ) ? 97 : wait_for(pid);
}

static int vforked(void) {
    pid_t pid = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): vfork is what is tested
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "exit 10", (char *)NULL);
        _exit(96);
    }
    return pid > 0 ? wait_for(pid) : 96;
}

/* The process ends inside daemon(); the child says who it is by a file. */
static int detached(const char *path) {
    if (daemon(1, 1) != 0)
        return 95;
    work();
    FILE *file = fopen(path, "w");
    if (!file)
        return 94;
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
    return 0;
}

/* What is left of us in the environment: nothing. */
static int shown(void) {
    int count = 0;
    for (char **entry = environ; entry && *entry; entry++) {
        if (strstr(*entry, "OTELPROF") || strstr(*entry, "otelprof-preload"))
            count += puts(*entry) >= 0;
    }
    return count ? 94 : 11;
}

/* Finds the size of a page as a program does that never asks the C library: behind the environment on the stack. */
static int on_the_stack(char **arguments) {
    char **at = arguments;
    for (int list = 0; list < 2; at++)
        list += *at == NULL;
    const ElfW(auxv_t) *entry = (const ElfW(auxv_t) *)(void *)at;
    while (entry->a_type != AT_NULL && entry->a_type != AT_PAGESZ)
        entry++;
    return entry->a_type == AT_PAGESZ && (long)entry->a_un.a_val == sysconf(_SC_PAGESIZE) ? 12 : 93;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "return";
    work();
    if (strcmp(how, "exit") == 0)
        exit(4);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(5);
    if (strcmp(how, "_exit") == 0)
        _exit(6);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "fork") == 0)
        return forked(2);
    if (strcmp(how, "spawn") == 0)
        return spawned();
    if (strcmp(how, "vfork") == 0)
        return vforked();
    if (strcmp(how, "show") == 0)
        return shown();
    if (strcmp(how, "stack") == 0)
        return on_the_stack(argv);
    if (strcmp(how, "daemon") == 0 && argc > 2)
        return detached(argv[2]);
    return 3;
}
