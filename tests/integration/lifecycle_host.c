// SPDX-License-Identifier: Apache-2.0
/*
 * What a host sees of the library inside it: its signals, limits and environment stay, its descriptors are apart, its
 * end is its own.
 *
 *     lifecycle_host unchanged|own-threads|descriptors OUTPUT_DIR
 *     lifecycle_host return|exit|quick_exit|_exit|abort|signal OUTPUT_DIR   ends without shutdown
 */
#include <dirent.h>
#include <fcntl.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "expect.h"

static const char *directory;

static int start(void) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.output_dir = directory;
    options.rate_hz = 997;
    options.start_timeout_ms = 20000;
    return otelprof_init(&options);
}

/* ------------------------------------------------------------------------------------ what must stay */

struct host {
    struct sigaction actions[64];
    sigset_t blocked;
    struct rlimit limits[RLIMIT_NLIMITS];
    char environment[16384];
    char cwd[4096];
    mode_t mask;
    int dumpable, no_new_privileges;
    char name[16];
};

static void look(struct host *host) {
    memset(host, 0, sizeof(*host));
    for (int i = 1; i <= 64; i++)
        sigaction(i, NULL, &host->actions[i - 1]);
    pthread_sigmask(SIG_SETMASK, NULL, &host->blocked);
    for (int i = 0; i < (int)RLIMIT_NLIMITS; i++)
        getrlimit((__rlimit_resource_t)i, &host->limits[i]);
    size_t length = 0;
    for (char **at = environ; *at && length < sizeof(host->environment); at++)
        length += (size_t)snprintf(host->environment + length, sizeof(host->environment) - length, "%s\n", *at);
    EXPECT(getcwd(host->cwd, sizeof(host->cwd)));
    host->mask = umask(0);
    umask(host->mask);
    host->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    host->no_new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    prctl(PR_GET_NAME, host->name, 0, 0, 0);
}

/* By member: beyond the signals that there are, the C library leaves a set as it was. */
static bool same_signals(const sigset_t *a, const sigset_t *b) {
    for (int i = 1; i <= 64; i++) {
        if (sigismember(a, i) != sigismember(b, i))
            return false;
    }
    return true;
}

static void compare(const struct host *a, const struct host *b) {
    for (int i = 0; i < 64; i++) {
        EXPECT(a->actions[i].sa_handler == b->actions[i].sa_handler &&
               a->actions[i].sa_flags == b->actions[i].sa_flags);
        EXPECT(same_signals(&a->actions[i].sa_mask, &b->actions[i].sa_mask));
    }
    EXPECT(same_signals(&a->blocked, &b->blocked));
    EXPECT(!memcmp(a->limits, b->limits, sizeof(a->limits)));
    EXPECT(!strcmp(a->environment, b->environment));
    EXPECT(!strcmp(a->cwd, b->cwd));
    EXPECT(a->mask == b->mask);
    EXPECT(a->dumpable == b->dumpable && a->no_new_privileges == b->no_new_privileges);
    EXPECT(!strcmp(a->name, b->name));
}

static void on_signal(int number) { (void)number; }

static void test_unchanged(void) {
    static struct host before, running, after;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    sigaction(SIGPROF, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_BLOCK, &some, NULL);
    look(&before);
    GIVES(0, start());
    burn_ms(200);
    look(&running);
    GIVES(0, otelprof_flush(10000));
    GIVES(0, otelprof_shutdown(10000));
    look(&after);
    compare(&before, &running);
    compare(&before, &after);
}

/* --------------------------------------------------------------------------------------- our threads */

static void thread_facts(const char *id, char name[64], unsigned long long *blocked) {
    char path[320], line[256];
    *blocked = 0;
    name[0] = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%s/status", id);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        sscanf(line, "Name: %63s", name);
        sscanf(line, "SigBlk: %llx", blocked);
    }
    if (file)
        fclose(file);
}

/* All that can be blocked; 32 and 33 are the thread library's own. */
#define BLOCKABLE (~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1) | 1ull << 31 | 1ull << 32))

struct own_threads {
    int profilers, exporters, others, open_to_signals;
};

static struct own_threads count_threads(void) {
    struct own_threads seen = {0};
    DIR *list = opendir("/proc/self/task");
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char name[64];
        unsigned long long blocked;
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
            continue;
        thread_facts(entry->d_name, name, &blocked);
        seen.profilers += !strcmp(name, "otelprof");
        seen.exporters += !strcmp(name, "otelprof-export");
        seen.others += strncmp(name, "otelprof", 8) != 0;
        seen.open_to_signals += (blocked & BLOCKABLE) != BLOCKABLE;
    }
    if (list)
        closedir(list);
    return seen;
}

/* A thread names itself: until it first runs it has the name of the one that made it. Signals are blocked from birth.
 */
static void test_own_threads(void) {
    GIVES(0, start());
    struct own_threads seen = count_threads();
    for (int i = 0; i < 500 && !seen.exporters; i++) {
        GIVES(0, seen.open_to_signals);
        usleep(10000);
        seen = count_threads();
    }
    GIVES(1, seen.profilers);
    GIVES(1, seen.exporters);
    GIVES(0, seen.others);
    GIVES(0, seen.open_to_signals);
    GIVES(0, otelprof_shutdown(10000));
}

/* ---------------------------------------------------------------------------------------- descriptors */

#define MOST 4096

/* Exit status 3: one is where it must not be. With stderr closed there is no other way to say it. */
static void test_descriptors(void) {
    bool before[MOST];
    int ours = 0;
    for (int i = 0; i < MOST; i++)
        before[i] = fcntl(i, F_GETFD) >= 0;
    int result = start();
    if (result)
        exit(4);
    burn_ms(100);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MOST; i++) {
            int flags = fcntl(i, F_GETFD);
            if (before[i] || flags < 0)
                continue;
            ours++;
            if (i <= STDERR_FILENO || !(flags & FD_CLOEXEC))
                exit(3);
        }
        if (otelprof_flush(10000))
            exit(5);
    }
    if (ours < 2)
        exit(6);
    if (otelprof_shutdown(10000))
        exit(7);
    for (int i = 0; i < MOST; i++) {
        if ((fcntl(i, F_GETFD) >= 0) != before[i])
            exit(8);
    }
}

/* --------------------------------------------------------------------------------------------- the end */

static int end(const char *how) {
    GIVES(0, start());
    burn_ms(100);
    if (!strcmp(how, "return"))
        return 7;
    if (!strcmp(how, "exit"))
        exit(8);
    if (!strcmp(how, "quick_exit"))
        quick_exit(9);
    if (!strcmp(how, "_exit"))
        _exit(10);
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "signal"))
        kill(getpid(), SIGTERM);
    return 2;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    directory = argv[2];
    if (!strcmp(argv[1], "unchanged"))
        test_unchanged();
    else if (!strcmp(argv[1], "own-threads"))
        test_own_threads();
    else if (!strcmp(argv[1], "descriptors"))
        test_descriptors();
    else
        return end(argv[1]);
    return expect_failures ? 1 : 0;
}
