// SPDX-License-Identifier: Apache-2.0
/*
 * Children of every kind, of a host that is profiled: none is sampled, none finds anything of ours to trip over. Prints
 * one JSON object for forks.py: the process, its threads, CPU time of parent and children.
 *
 *     forks HOW OUTPUT_DIR
 *     forks descriptors        exit status: the number of open descriptors
 */
#include <dirent.h>
#include <errno.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"

#define CHILD_MS 150
#define SHORT_THREADS 200
#define SHORTER_THREADS 2000
#define MOST_THREADS (SHORTER_THREADS + 1)

static const char *directory, *program;
static const uint8_t trace[16] = {1}, span[8] = {2};
static int descriptors_before;
static pid_t threads[MOST_THREADS];
static _Atomic int thread_count;

/* Two functions that the compiler may not take for one. */
__attribute__((noinline)) static void parent_work(uint64_t milliseconds) {
    burn_ms(milliseconds);
    __asm__ volatile("# parent" ::: "memory");
}

__attribute__((noinline)) static void child_work(uint64_t milliseconds) {
    burn_ms(milliseconds);
    __asm__ volatile("# child" ::: "memory");
}

/* Those that an executed program would inherit. */
static int descriptors(void) {
    int count = -1; /* the one of the list */
    DIR *list = opendir("/proc/self/fd");
    for (struct dirent *entry; list && (entry = readdir(list));)
        count += entry->d_name[0] != '.';
    if (list)
        closedir(list);
    return count;
}

static struct otelprof_options usual(void) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.output_dir = directory;
    options.service_name = "forks";
    options.rate_hz = 997;
    options.window_ms = 500;
    options.start_timeout_ms = 20000;
    return options;
}

static void spans(void) {
    struct otelprof_span_token token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute("http.route", "/forked");
    otelprof_thread_name("a thread of some process");
    otelprof_span_exit(token);
}

/* What a child finds: off, and every call harmless. Its exit status counts what was wrong. */
static int in_child(void) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    expect_failures = 0;
    GIVES(OTELPROF_STATE_OFF, otelprof_state());
    for (int i = 0; i < 100; i++)
        spans();
    child_work(CHILD_MS);
    GIVES(OTELPROF_E_STATE, otelprof_flush(100));
    GIVES(OTELPROF_E_STATE, otelprof_disable(OTELPROF_CPU));
    GIVES(OTELPROF_E_STATE, otelprof_shutdown(100));
    GIVES(OTELPROF_E_STATE, otelprof_wait_ready(0));
    GIVES(0, otelprof_stats(&stats));
    GIVES(0, stats.samples_fired);
    GIVES(OTELPROF_STATE_OFF, otelprof_state());
    return expect_failures;
}

static void reap(pid_t child, int wanted) {
    int status = -1;
    EXPECT(child > 0 && waitpid(child, &status, 0) == child);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == wanted, __LINE__, "the child ended with 0x%x", (unsigned)status);
}

/* --------------------------------------------------------------------------------- kinds of children */

static void by_fork(void) {
    pid_t child = fork();
    if (!child)
        _exit(in_child());
    parent_work(300);
    reap(child, 0);
}

/* Ends as a program does: exit handlers, destructors. */
static void by_fork_exit(void) {
    pid_t child = fork();
    if (!child)
        exit(in_child());
    reap(child, 0);
}

static void by_second_fork(void) {
    pid_t child = fork();
    if (!child) {
        pid_t grandchild = fork();
        if (!grandchild)
            _exit(in_child());
        reap(grandchild, 0);
        _exit(in_child() + expect_failures);
    }
    reap(child, 0);
}

static void by_plain_fork(void) {
    pid_t child = _Fork();
    if (!child)
        _exit(in_child());
    reap(child, 0);
}

static void by_clone(void) {
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (!child)
        _exit(in_child());
    reap(child, 0);
}

/* Starts the profiler in the child: a life of its own, which leaves the parent's alone. */
static void by_fork_and_init(void) {
    struct otelprof_options options = usual();
    pid_t child = fork();
    if (!child) {
        expect_failures = 0;
        GIVES(0, otelprof_init(&options));
        spans();
        child_work(CHILD_MS);
        GIVES(0, otelprof_shutdown(10000));
        _exit(expect_failures);
    }
    reap(child, 0);
}

static char *const list_arguments[] = {(char *)"forks", (char *)"descriptors", NULL};

static void by_vfork(void) {
    pid_t child = vfork();
    if (!child) {
        execve(program, list_arguments, environ);
        _exit(99);
    }
    reap(child, descriptors_before);
}

static void by_spawn(void) {
    pid_t child = -1;
    GIVES(0, posix_spawn(&child, program, NULL, NULL, list_arguments, environ));
    reap(child, descriptors_before);
}

static void by_exec(pid_t (*how)(void)) {
    pid_t child = how();
    if (!child) {
        execve(program, list_arguments, environ);
        _exit(99);
    }
    reap(child, descriptors_before);
}

static pid_t raw_clone(void) { return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL); }

static void every_kind(void) {
    for (int round = 0; round < 3; round++) {
        by_fork();
        by_fork_exit();
        by_second_fork();
        by_plain_fork();
        by_clone();
        by_vfork();
        by_spawn();
        by_exec(fork);
        by_exec(_Fork);
        by_exec(raw_clone);
        parent_work(100);
        GIVES(OTELPROF_STATE_RUNNING, otelprof_state());
    }
}

/* ------------------------------------------------------------------------------------- short threads */

static void *short_thread(void *milliseconds) {
    threads[atomic_fetch_add(&thread_count, 1)] = (pid_t)syscall(SYS_gettid);
    spans();
    parent_work((uint64_t)(uintptr_t)milliseconds);
    return NULL;
}

/* Eight at a time; some fork meanwhile. */
static void short_threads(int count, unsigned least_ms, unsigned most_ms) {
    pthread_t batch[8];
    for (int done = 0; done < count; done += 8) {
        int size = count - done < 8 ? count - done : 8;
        for (int i = 0; i < size; i++) {
            uintptr_t length = least_ms + (unsigned)(done + i) % (most_ms - least_ms + 1);
            GIVES(0, pthread_create(&batch[i], NULL, short_thread, (void *)length));
        }
        if (done % 400 == 0)
            by_plain_fork();
        for (int i = 0; i < size; i++)
            pthread_join(batch[i], NULL);
    }
}

/* ---------------------------------------------------------------------------------------- the others */

/* The parent of daemon() ends in it; the rest is the child's. */
static int as_daemon(void) {
    GIVES(0, daemon(1, 1));
    EXPECT(in_child() == 0);
    struct otelprof_options options = usual();
    GIVES(0, otelprof_init(&options));
    parent_work(300);
    GIVES(0, otelprof_shutdown(10000));
    printf("{\"pid\": %d, \"failures\": %d}\n", (int)getpid(), expect_failures);
    return expect_failures ? 1 : 0;
}

/* With OTELPROF_FORK=follow: span calls start the child, its end writes the profile. */
static void by_following(pid_t (*how)(void)) {
    pid_t child = how();
    if (!child) {
        expect_failures = 0;
        GIVES(OTELPROF_STATE_OFF, otelprof_state());
        uint64_t until = expect_clock_ms(CLOCK_MONOTONIC) + 20000;
        while (otelprof_state() != OTELPROF_STATE_RUNNING && expect_clock_ms(CLOCK_MONOTONIC) < until) {
            spans();
            usleep(1000);
        }
        GIVES(OTELPROF_STATE_RUNNING, otelprof_state());
        child_work(300);
        GIVES(0, otelprof_shutdown(10000));
        _exit(expect_failures);
    }
    parent_work(300);
    reap(child, 0);
}

static void every_following(void) {
    by_following(fork);
    by_following(_Fork);
    by_following(raw_clone);
}

static void finish(void) {
    GIVES(0, otelprof_disable(OTELPROF_CPU | OTELPROF_HEAP | OTELPROF_LOCK));
    GIVES(0, otelprof_flush(10000));
    struct otelprof_stats s = {.size = sizeof(s)};
    otelprof_stats(&s);
    uint64_t others = s.heap_samples + s.lock_samples + s.lock_holders; /* not of CPU time */
    printf("{\"pid\": %d, \"fired\": %llu, \"exported\": %llu, \"expected\": %llu, \"threads\": [", (int)getpid(),
           (unsigned long long)(s.samples_fired - others), (unsigned long long)(s.samples_exported - others),
           (unsigned long long)s.samples_expected);
    for (int i = 0; i < thread_count; i++)
        printf("%s%d", i ? ", " : "", (int)threads[i]);
    printf("]}\n");
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "descriptors"))
        return descriptors();
    if (argc != 3)
        return 2;
    directory = argv[2];
    program = "/proc/self/exe";
    descriptors_before = descriptors();
    threads[atomic_fetch_add(&thread_count, 1)] = getpid();
    struct otelprof_options options = usual();
    GIVES(0, otelprof_init(&options));
    if (expect_failures)
        return 1;
    spans();
    parent_work(100);
    if (!strcmp(argv[1], "daemon"))
        return as_daemon();
    if (!strcmp(argv[1], "kinds"))
        every_kind();
    else if (!strcmp(argv[1], "own"))
        by_fork_and_init();
    else if (!strcmp(argv[1], "threads"))
        short_threads(SHORT_THREADS, 5, 10);
    else if (!strcmp(argv[1], "many-threads"))
        short_threads(SHORTER_THREADS, 1, 3);
    else if (!strcmp(argv[1], "follow"))
        every_following();
    else
        return 2;
    finish();
    GIVES(0, otelprof_shutdown(10000));
    return expect_failures ? 1 : 0;
}
